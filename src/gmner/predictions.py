"""Predictions: outputs parsed, with boxes back in pixels of the original picture."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gmner.answer import UNREADABLE_BOX, ParsedOutput, Problem, parse_output
from gmner.config.stages import PredictionsStage
from gmner.errors import DataError
from gmner.frame import Frame
from gmner.records import Box, Record, Sample
from gmner.schemas import OUTPUTS, PREDICTIONS, read_samples, read_table, write_table

log = logging.getLogger(__name__)


def make_predictions(stage: PredictionsStage, samples_path: Path, outputs_path: Path, split: str, out: Path) -> None:
    """Write a row of PREDICTIONS for every sample of the split, in the order of the samples.

    Raises DataError for outputs of samples that are not in the split, or two outputs of one sample.
    """
    samples = read_samples(samples_path, split)
    outputs = _outputs(outputs_path, samples, split)
    frame = Frame(**stage.frame.model_dump())
    rows = [prediction_row(sample, outputs.get(sample.sample_id), frame, stage.types) for sample in samples]
    problems = Counter(problem["code"] for row in rows for problem in row["problems"])
    write_table(out, rows, PREDICTIONS, {"split": split})
    found = ", ".join(f"{code} {count}" for code, count in sorted(problems.items())) or "none"
    log.info("predictions: %d samples, problems: %s", len(rows), found)


def _outputs(path: Path, samples: Sequence[Sample], split: str) -> dict[str, dict[str, Any]]:
    rows = read_table(path, OUTPUTS).to_pylist()
    outputs = {row["sample_id"]: row for row in rows}
    if len(outputs) != len(rows):
        twice = [name for name, count in Counter(row["sample_id"] for row in rows).items() if count > 1]
        raise DataError(f"{path}: {len(twice)} samples have several outputs, first {twice[0]}; expected one each")
    unknown = sorted(set(outputs) - {sample.sample_id for sample in samples})
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} outputs are of samples that are not in the {split} split, first {unknown[0]}; "
            "run the generate stage again on these samples"
        )
    return outputs


def prediction_row(sample: Sample, output: dict[str, Any] | None, frame: Frame, types: Sequence[str]) -> dict[str, Any]:
    """Return a sample's row of PREDICTIONS; `output` is its row of OUTPUTS or None where there is none."""
    if output is None:
        parsed = ParsedOutput(None, (), (Problem("no_output", "the sample has no output"),))
    else:
        parsed = parse_output(output["output"])
    problems = list(parsed.problems)
    if output is not None and output["finish_reason"] == "length":
        problems.append(Problem("truncated", f"stopped after {output['output_tokens']} tokens"))
    records = [to_original(record, sample, frame, types, problems) for record in parsed.records]
    return {
        "sample_id": sample.sample_id,
        "reasoning": parsed.reasoning,
        "entities": [
            {"mention": one.mention, "type": one.type, "boxes": [list(box) for box in one.boxes]} for one in records
        ],
        "problems": [{"code": problem.code, "detail": problem.detail} for problem in problems],
    }


def to_original(record: Record, sample: Sample, frame: Frame, types: Sequence[str], problems: list[Problem]) -> Record:
    """Return a parsed record with boxes in pixels of the original picture and its type spelled as in `types`.

    A type that is none of `types` is kept as it was written and noted in `problems`.
    """
    kind = {known.lower(): known for known in types}.get(record.type.lower(), record.type)
    if kind not in types:
        problems.append(Problem("unknown_type", record.type[:60]))
    boxes: tuple[Box, ...] = ()
    if record.boxes:
        mapped = frame.to_original(record.boxes, sample.size_wh).tolist()
        boxes = tuple(
            UNREADABLE_BOX if box == UNREADABLE_BOX else (new[0], new[1], new[2], new[3])
            for box, new in zip(record.boxes, mapped, strict=True)
        )
    return Record(record.mention, kind, boxes)
