"""The stage `predictions`: from raw outputs to entities, with their boxes in pixels of the original images."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.config.stages import PredictionsStage
from gmner.core.answer import PROBLEMS as ANSWER_PROBLEMS
from gmner.core.answer import parse_output
from gmner.core.frame import Frame
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.evaluation.compared import Span, align, normalised
from gmner.storage.tables import OUTPUTS, PREDICTIONS, read_metadata, read_samples, read_table, write_table

PROBLEMS = {
    **ANSWER_PROBLEMS,
    "no_output": "the model was not asked, or gave nothing back",
    "truncated": "the model was stopped at the limit of its output",
    "unknown_type": "a type that is not one of those asked for; kept as it is",
    "outside_image": "a box lies outside the image; clipped to it",
    "not_in_text": "a mention that is not words of the tweet; kept as it is",
}
"""What a row of predictions reports: code to meaning."""

OUTSIDE_SLACK = 0.01
"""Share of a side by which a box may leave the image before that is reported."""


def make_predictions(
    stage: PredictionsStage, samples_path: Path, outputs_path: Path, split: str, out: Path
) -> dict[str, int]:
    """Write the table of predictions of a split, one row per sample in their order; return how often each problem came.

    A sample without an output has a row that says so. Raises DataError for an output of no sample of the split, for a
    sample with two, and where the outputs were generated in another frame than the settings name.
    """
    samples = read_samples(samples_path, split)
    if not samples:
        raise DataError(f"{samples_path}: no sample of the split '{split}'; name another with --split")
    outputs = _read_outputs(outputs_path, samples, split)
    frame = Frame(**stage.frame.model_dump())
    _check_frame(outputs_path, frame)
    types = frozenset(stage.types)
    rows = [predict_sample(sample, outputs.get(sample.sample_id), frame, types) for sample in samples]
    codes = Counter(problem["code"] for row in rows for problem in row["problems"])
    counts = dict(sorted(codes.items()))
    metadata = {"split": split, "samples": str(len(rows)), "problems": json.dumps(counts)}
    write_table(out, rows, PREDICTIONS, metadata)
    return counts


def _check_frame(path: Path, frame: Frame) -> None:
    """Refuse outputs whose coordinates mean something else: a perfect model's boxes would miss."""
    told = read_metadata(path).get("frame")  # a provider's answers know no frame
    if told is not None and Frame.from_json(json.loads(told)) != frame:
        asked = json.dumps(frame.to_json(), sort_keys=True)
        raise DataError(
            f"{path}: generated in the frame {told}, but --settings name {asked}; give the frame of the run's run.json"
        )


def _read_outputs(path: Path, samples: Sequence[Sample], split: str) -> dict[str, Mapping[str, Any]]:
    table = read_table(path, OUTPUTS).to_pylist()
    outputs = {row["sample_id"]: row for row in table}
    if len(outputs) != len(table):
        twice = next(name for name, count in Counter(row["sample_id"] for row in table).items() if count > 1)
        raise DataError(f"{path}: sample '{twice}' has more than one output; run the generate stage again")
    unknown = sorted(outputs.keys() - {sample.sample_id for sample in samples})
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} outputs belong to no sample of the split '{split}', for instance '{unknown[0]}'; "
            "the tables come from different data: run the generate stage again, or name another --split"
        )
    return outputs


def predict_sample(
    sample: Sample, output: Mapping[str, Any] | None, frame: Frame, types: frozenset[str]
) -> dict[str, Any]:
    """Return a row of PREDICTIONS from a row of OUTPUTS, or from None if there is none.

    `confidences` in the output, one per record of its answer, is passed on.
    """
    if output is None:
        problem = {"code": "no_output", "detail": PROBLEMS["no_output"]}
        return {"sample_id": sample.sample_id, "reasoning": None, "entities": [], "problems": [problem]}
    parsed = parse_output(output["output"])
    problems = [{"code": problem.code, "detail": problem.detail} for problem in parsed.problems]
    if output["finish_reason"] == "length":
        problems.append({"code": "truncated", "detail": f"after {output['output_tokens']} tokens"})
    entities = []
    width, height = frame.coordinate_size(sample.size_wh)
    # All at once: an answer may have tens of thousands of records.
    flat = [box for record in parsed.records for box in record.boxes]
    original = iter(frame.to_original(flat, sample.size_wh).tolist() if flat else ())
    spans = align([normalised(record) for record in parsed.records], sample.tokens)
    confidences = output.get("confidences") or ()
    for number, (record, span) in enumerate(zip(parsed.records, spans, strict=True)):
        if record.type and record.type not in types:
            problems.append({"code": "unknown_type", "detail": f"{record.mention}|{record.type}"[:80]})
        if _leaves_image(record, width, height):
            problems.append({"code": "outside_image", "detail": record.mention[:80]})
        if span is None:
            problems.append({"code": "not_in_text", "detail": record.mention[:80]})
        entities.append(
            {
                "mention": record.mention,
                "type": record.type,
                "boxes": list(itertools.islice(original, len(record.boxes))),
                **place_of(sample, span),
                "confidence": confidences[number] if len(confidences) == len(parsed.records) else None,
            }
        )
    return {
        "sample_id": sample.sample_id,
        "reasoning": parsed.reasoning,
        "entities": entities,
        "problems": problems,
    }


def place_of(sample: Sample, span: Span | None) -> dict[str, int | None]:
    """Return a span as `start`, `end` in tokens and `char_start`, `char_end` in characters of the text."""
    if span is None or span[0] >= span[1]:
        return dict.fromkeys(("start", "end", "char_start", "char_end"))
    before = sum(len(token) + 1 for token in sample.tokens[: span[0]])  # the text is the tokens joined by one blank
    length = len(" ".join(sample.tokens[span[0] : span[1]]))
    return {"start": span[0], "end": span[1], "char_start": before, "char_end": before + length}


def _leaves_image(record: Record, width: float, height: float) -> bool:
    x, y = width * OUTSIDE_SLACK, height * OUTSIDE_SLACK
    return any(x1 < -x or y1 < -y or x2 > width + x or y2 > height + y for x1, y1, x2, y2 in record.boxes)
