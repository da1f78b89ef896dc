"""The stage `scores`: from samples and predictions to one run's scores, as JSON."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gmner.config.run import ScoreSettings
from gmner.config.stages import ScoresStage
from gmner.errors import DataError
from gmner.files import write_json
from gmner.metrics import (
    TASKS,
    Counts,
    box_statistics,
    count_by_type,
    count_sample,
    region_scores,
    task_scores,
    total,
)
from gmner.profiles import Profile, profile_of
from gmner.records import Record, Sample
from gmner.schemas import PREDICTIONS, read_samples, read_table
from gmner.significance import f1_interval

TWEET_COUNTS = ("predicted", "gold", *TASKS)
"""What scores.json keeps of each tweet, for paired tests between runs."""


def count_tweets(
    samples: Sequence[Sample], predictions: Sequence[Sequence[Record]], profile: Profile, iou: float, fine: bool = False
) -> list[Counts]:
    """Count each tweet; `predictions` stand in the order of `samples`, boxes in pixels of the original images."""
    prepared = (profile.prepare(s, p, fine) for s, p in zip(samples, predictions, strict=True))
    return [count_sample(predicted, gold, iou) for predicted, gold in prepared]


def f1_scores(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    score: ScoreSettings | None = None,
    fine: bool = False,
) -> dict[str, float]:
    """Return gmner_f1, mner_f1 and eeg_f1 in per cent, counted as `score` says (default: as the paper).

    `predictions` stand in the order of `samples`, boxes in pixels of the original images.
    """
    how = score or ScoreSettings()
    counts = total(count_tweets(samples, predictions, profile_of(how.profile), how.iou, fine))
    return {f"{task}_f1": 100 * task_scores(counts, task)["f1"] for task in TASKS}


def gmner_f1(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    score: ScoreSettings | None = None,
    fine: bool = False,
) -> float:
    """Return GMNER F1 in per cent: what the best epoch is chosen by. Arguments as of `f1_scores`."""
    return f1_scores(samples, predictions, score, fine)["gmner_f1"]


def make_scores(stage: ScoresStage, samples_path: Path, predictions_path: Path, split: str, out: Path) -> None:
    """Score a table of predictions against a split of a table of samples and write scores.json.

    Raises DataError where the two tables do not hold the same samples.
    """
    samples = read_samples(samples_path, split)
    rows = rows_of_samples(samples, predictions_path, f"{samples_path} ({split})")
    predictions = [records_of_row(row) for row in rows]
    profile = profile_of(stage.score.profile)
    report = score_report(samples, predictions, profile, stage.score.iou, stage.fine)
    report["parsing"] = parse_report(rows)
    write_json(out, report)


def rows_of_samples(samples: Sequence[Sample], predictions_path: Path, where: str) -> list[dict[str, Any]]:
    """Return the rows of a table of predictions in the order of `samples`, one for each."""
    table = read_table(predictions_path, PREDICTIONS).to_pylist()
    rows = {row["sample_id"]: row for row in table}
    wanted = [sample.sample_id for sample in samples]
    missing = [name for name in wanted if name not in rows]
    extra = sorted(rows.keys() - set(wanted))
    if missing or extra or len(table) != len(wanted):
        raise DataError(
            f"{predictions_path}: expected one row for each of the {len(wanted)} samples of {where}; found "
            f"{len(table)} rows, {len(missing)} samples without one (first: {missing[:3]}), {len(extra)} of other "
            f"samples (first: {extra[:3]}): rerun the stage that writes it"
        )
    return [rows[name] for name in wanted]


def records_of_row(row: dict[str, Any]) -> list[Record]:
    """Return the records of a row of PREDICTIONS."""
    return [Record(e["mention"], e["type"], tuple(tuple(box) for box in e["boxes"])) for e in row["entities"]]


def score_report(
    samples: Sequence[Sample], predictions: Sequence[Sequence[Record]], profile: Profile, iou: float, fine: bool
) -> dict[str, Any]:
    """Return all that scores.json says of predictions in the order of `samples`, but for their parsing."""
    prepared = [profile.prepare(s, p, fine) for s, p in zip(samples, predictions, strict=True)]
    tweets = [count_sample(predicted, gold, iou) for predicted, gold in prepared]
    counts = total(tweets)
    by_type = _sum_by_type(count_by_type(predicted, gold, iou) for predicted, gold in prepared)
    regions = region_scores(counts)
    return {
        "signature": profile.signature(iou, fine),
        "samples": len(samples),
        **{task: task_scores(counts, task) for task in TASKS},
        "regions": regions,
        "percent": {
            **{f"{task}_f1": 100 * task_scores(counts, task)["f1"] for task in TASKS},
            **{name: 100 * regions[name] for name in ("acc_50", "acc_75", "mean_iou")},
        },
        "intervals": {f"{task}_f1": asdict(f1_interval(_columns(tweets, task))) for task in TASKS},
        "by_type": {
            name: {**{task: task_scores(one, task) for task in ("gmner", "mner")}, "regions": region_scores(one)}
            for name, one in sorted(by_type.items())
        },
        "boxes": box_statistics(predictions),
        "tweets": {
            "sample_id": [sample.sample_id for sample in samples],
            **{name: [int(getattr(tweet, name)) for tweet in tweets] for name in TWEET_COUNTS},
        },
    }


def _columns(tweets: Iterable[Counts], task: str) -> list[tuple[int, int, int]]:
    return [(getattr(tweet, task), tweet.predicted, tweet.gold) for tweet in tweets]


def _sum_by_type(tweets: Iterable[dict[str, Counts]]) -> dict[str, Counts]:
    sums: dict[str, Counts] = defaultdict(Counts)
    for tweet in tweets:
        for name, counts in tweet.items():
            sums[name] = sums[name] + counts
    return sums


def parse_report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how many answers had problems, and how often each came."""
    codes = Counter(problem["code"] for row in rows for problem in row["problems"])
    return {
        "answers": len(rows),
        "with_problems": sum(bool(row["problems"]) for row in rows),
        "problems": dict(sorted(codes.items())),
    }
