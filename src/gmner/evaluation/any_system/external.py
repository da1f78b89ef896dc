"""Another system's file of predictions as a run's table: from there on it is scored, tested and shown as ours are."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gmner.config.stages import ExternalStage
from gmner.core.records import Record, Sample
from gmner.errors import ConfigError, DataError
from gmner.evaluation.any_system.predictions import read_predictions
from gmner.evaluation.any_system.swapped import GOLD, kind_of
from gmner.evaluation.compared import SystemRecord, align, normalised
from gmner.evaluation.predictions import PROBLEMS, place_of
from gmner.storage.tables import PREDICTIONS, read_samples, write_table


def make_external_predictions(stage: ExternalStage, samples_path: Path, split: str, out: Path) -> dict[str, int]:
    """Write the table of predictions of a split from a file that `gmner score` reads; return the problems' counts.

    Raises DataError if the split is empty, if the file holds gold annotations, and as `read_predictions` does.
    """
    samples = read_samples(samples_path, split)
    if not samples:
        raise DataError(f"{samples_path}: no sample of the split '{split}'; name another with --split")
    path = Path(stage.file)
    if kind_of(path) == GOLD:
        raise DataError(f"{path}: holds gold annotations; expected a system's predictions")
    found = read_predictions(path, samples)
    if stage.format is not None and stage.format != found.form:
        raise ConfigError(f"{path}: its form is '{found.form}', but external.format says '{stage.format}'")
    types = frozenset(stage.types)
    rows = [_row(sample, records, types) for sample, records in zip(samples, found.records, strict=True)]
    counts = dict(sorted(Counter(problem["code"] for row in rows for problem in row["problems"]).items()))
    metadata = {"split": split, "samples": str(len(rows)), "problems": json.dumps(counts), "form": found.form}
    write_table(out, rows, PREDICTIONS, {**metadata, "tweets_without": str(found.missing)})
    return counts


def _row(sample: Sample, records: Sequence[Record], types: frozenset[str]) -> dict[str, Any]:
    problems, entities = [], []
    spans = align([normalised(record) for record in records], sample.tokens)
    for record, span in zip(records, spans, strict=True):
        if record.type and record.type not in types:
            problems.append({"code": "unknown_type", "detail": f"{record.mention}|{record.type}"[:80]})
        place = place_of(sample, span if span is None or span[1] <= len(sample.tokens) else None)
        if place["start"] is None:
            problems.append({"code": "not_in_text", "detail": record.mention[:80]})
        confidence = record.confidence if isinstance(record, SystemRecord) else None
        entities.append(
            {
                "mention": record.mention,
                "type": record.type,
                "boxes": [list(box) for box in record.boxes],
                **place,
                "confidence": confidence,
            }
        )
    assert all(problem["code"] in PROBLEMS for problem in problems)
    return {"sample_id": sample.sample_id, "reasoning": None, "entities": entities, "problems": problems}
