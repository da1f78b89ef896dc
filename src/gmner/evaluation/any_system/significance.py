"""Two systems on the same tweets, each with the output of one seed or of several: a statement about the methods."""

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gmner.core.records import Sample
from gmner.errors import MissingInputError
from gmner.evaluation.any_system.score import Request, Scored, score_gold
from gmner.evaluation.metrics import METRICS, metric_of
from gmner.evaluation.seeds import MethodComparison, compare_over_seeds

ENDINGS = {".jsonl", ".json", ".tsv", ".csv", ".txt", ".parquet"}


def files_of(system: str) -> list[Path]:
    """Return the files of a system's seeds: one file, several joined by commas, a pattern, or a folder of them."""
    found: list[Path] = []
    for part in system.split(","):
        if Path(part).is_dir():
            found += sorted(path for path in Path(part).iterdir() if path.suffix in ENDINGS)
        elif Path(part).exists() or not glob.has_magic(part):
            found.append(Path(part))
        else:
            found += sorted(map(Path, glob.glob(part)))  # noqa: PTH207 - Path.glob knows no absolute patterns
    if not found:
        raise MissingInputError(f"{system}: no file of predictions there; expected one per seed")
    return found


def score_seeds(request: Request, system: str, gold: list[Sample]) -> list[Scored]:
    """Return the scores of each of a system's seeds."""
    return [score_gold(replace(request, predictions=path), gold) for path in files_of(system)]


def compare_systems(ours: Sequence[Scored], theirs: Sequence[Scored]) -> dict[str, MethodComparison]:
    """Return the comparison of each metric over seeds and tweets."""
    return {
        name: compare_over_seeds(
            [one.tally.rows(name) for one in ours],
            [one.tally.rows(name) for one in theirs],
            metric_of(name).value,
        )
        for name in METRICS
    }
