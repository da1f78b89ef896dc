"""What the page says of each run: scores, analysis of errors, answers to the test tweets."""

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from gmner.config.stages import ReportRun
from gmner.core.records import Record, Sample
from gmner.errors import DataError, MissingInputError
from gmner.evaluation.calibration import judged_confidences
from gmner.evaluation.conventions import convention_of
from gmner.evaluation.error_analysis import analyse
from gmner.evaluation.f1 import records_of_row
from gmner.evaluation.scores import rows_of_samples
from gmner.reporting.html.tweets import answer_json
from gmner.storage.files import read_json

CURVE_POINTS = 240
STAGE_OF_ADAPTER = {"tuned": "train", "refined": "refine"}
"""Which stage's folder tells how a kind's adapter was made."""
SCORES = ("signature", "samples", "percent", "gmner", "mner", "eeg", "intervals", "parsing", "boxes", "calibration")
CURVES = ("loss", "learning_rate", "grad_norm", "token_accuracy", "dev_gmner_f1", "dev_mner_f1", "dev_eeg_f1")


def place_of(run: ReportRun) -> str:
    """Return where a run's files lie below results/<stage>/."""
    return f"{run.dataset}/{run.run}/seed{run.seed}"


def missing_of_run(results: Path, run: ReportRun) -> str:
    """Return which result of a run is not there yet, nothing if it can be shown."""
    for stage, name in (("predictions", "predictions.parquet"), ("scores", "scores.json")):
        if not (results / stage / place_of(run) / name).exists():
            return f"its {stage}"
    return ""


def run_json(
    results: Path, run: ReportRun, samples: Sequence[Sample], shown: int, train_mentions: frozenset[str]
) -> dict[str, Any]:
    """Return a run for the page; `samples` are its test tweets, of which the first `shown` stand in the gallery."""
    place = place_of(run)
    predictions = results / "predictions" / place / "predictions.parquet"
    rows = rows_of_samples(samples, predictions, f"{run.dataset} (test)")
    said = [records_of_row(row) for row in rows]
    convention = convention_of(run.score.profile)
    scores = read_report(results / "scores" / place / "scores.json")
    about = run.model_dump(mode="json", exclude={"score", "scores"})
    return {
        **about,
        "iou": run.score.iou,
        "scores": {name: scores[name] for name in SCORES if name in scores},
        "analysis": analyse(samples, said, convention, run.score.iou, run.fine, train_mentions),
        "risk_coverage": risk_coverage(run, samples, said),
        "answers": list(_answers(run, samples[:shown], rows, said)),
        "curves": curves_json(results / "train" / place / "curves.csv") if run.kind == "tuned" else None,
        "made": made_json(results / STAGE_OF_ADAPTER[run.kind] / place / "run.json")
        if run.kind in STAGE_OF_ADAPTER
        else None,
    }


def risk_coverage(run: ReportRun, samples: Sequence[Sample], said: Sequence[list[Record]]) -> list[list[float]] | None:
    """Return points (predictions kept, of them wrong), both in per cent, surest first; None without confidences."""
    convention = convention_of(run.score.profile)
    judged = [
        one
        for sample, records in zip(samples, said, strict=True)
        for one in judged_confidences(convention, sample, records, run.score.iou, run.fine)
    ]
    if not judged:
        return None
    frame = pd.DataFrame(judged, columns=["confidence", "right"]).groupby("confidence")["right"].agg(["size", "sum"])
    kept = frame.iloc[::-1].cumsum()
    points = [[100 * size / len(judged), 100 * (size - right) / size] for size, right in kept.itertuples(index=False)]
    return points[:: -max(1, -(-len(points) // CURVE_POINTS))][::-1]


def _answers(
    run: ReportRun, samples: Sequence[Sample], rows: Sequence[Mapping[str, Any]], said: Sequence[list[Record]]
) -> Iterator[dict[str, Any]]:
    convention = convention_of(run.score.profile)
    for sample, row, predicted in zip(samples, rows, said, strict=False):
        yield answer_json(sample, row, predicted, convention, run.score.iou, run.fine)


def read_report(path: Path) -> dict[str, Any]:
    """Read one of the workflow's JSON files. Raises MissingInputError or DataError naming it."""
    if not path.exists():
        raise MissingInputError(f"{path}: missing; make it with: snakemake --cores 1 {path}")
    try:
        found = read_json(path)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); delete it and rerun its stage") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object; delete it and rerun its stage")
    return found


def curves_json(path: Path) -> dict[str, Any] | None:
    """Return the columns of a training's curves.csv, at most about 240 steps, None if there is no file."""
    if not path.exists():
        return None
    rows = pd.read_csv(path)
    found: dict[str, Any] = {"steps": int(rows["step"].iloc[-1]) if len(rows) else 0}
    # Counted from the end: the last step is always among those that are kept.
    kept = rows.iloc[:: -max(1, -(-len(rows) // CURVE_POINTS))].iloc[::-1]
    for name in CURVES:
        # Scores of dev stand at the last step of an epoch only: none of them may be thinned out.
        chosen = rows if name.startswith("dev_") else kept
        points = [(without_nan(x), without_nan(y)) for x, y in zip(chosen["step"], chosen.get(name, []), strict=False)]
        found[name] = [[x, y] for x, y in points if x is not None and y is not None]
    return found


def without_nan(value: Any) -> float | None:
    """Return a number, None for anything that is none or not finite: JSON has no NaN."""
    return float(value) if isinstance(value, Real) and math.isfinite(value) else None


def made_json(path: Path) -> dict[str, Any] | None:
    """Return from what a trained run was made, for readers, None if there is no run.json."""
    if not path.exists():
        return None
    found = read_report(path)
    details, backbone = found.get("details", {}), found.get("backbone", {})
    train = details.get("train", {})
    return {
        "backbone": backbone.get("id"),
        "revision": backbone.get("revision"),
        "prompt": found.get("prompt_version"),
        "steps": details.get("steps"),
        "epoch": details.get("epoch"),
        "selected_by": details.get("selected_by"),
        "samples": details.get("samples"),
        "longest": details.get("rows", {}).get("longest"),
        "epochs": train.get("epochs"),
        "learning_rate": train.get("learning_rate"),
        "rows_an_update": (train.get("batch_size") or 0) * (train.get("accumulation") or 0),
        "rank": train.get("lora", {}).get("r"),
        "precision": train.get("precision"),
    }
