"""The three F1 scores and nothing else: what the best epoch is chosen by.

Training depends on this module; what only describes scores (`gmner.evaluation.scores`) retrains nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gmner.config.run import ScoreSettings
from gmner.core.records import Record, Sample
from gmner.evaluation.compared import Convention, SystemRecord
from gmner.evaluation.conventions import convention_of
from gmner.evaluation.counts import TASKS, Counts, count_tweet, task_scores, total


def count_tweets(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    convention: Convention,
    iou: float,
    fine: bool = False,
) -> list[Counts]:
    """Count each tweet; `predictions` are in the order of `samples`, boxes in pixels of the original images."""
    pairs = zip(samples, predictions, strict=True)
    return [count_tweet(convention.compare(s, p, iou, fine), iou) for s, p in pairs]


def f1_scores(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    score: ScoreSettings | None = None,
    fine: bool = False,
) -> dict[str, float]:
    """Return gmner_f1, mner_f1 and eeg_f1 in per cent, counted as `score` says (default: as the paper).

    `predictions` are in the order of `samples`, boxes in pixels of the original images.
    """
    how = score or ScoreSettings()
    counts = total(count_tweets(samples, predictions, convention_of(how.profile), how.iou, fine))
    return {f"{task}_f1": 100 * task_scores(counts, task)["f1"] for task in TASKS}


def gmner_f1(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    score: ScoreSettings | None = None,
    fine: bool = False,
) -> float:
    """Return GMNER F1 in per cent: what the best epoch is chosen by. Arguments as of `f1_scores`."""
    return f1_scores(samples, predictions, score, fine)["gmner_f1"]


def records_of_row(row: Mapping[str, Any]) -> list[Record]:
    """Return the records of a row of PREDICTIONS."""
    return [record_of_entity(entity) for entity in row["entities"]]


def record_of_entity(entity: Mapping[str, Any]) -> Record:
    """Return the record of an entity of PREDICTIONS; a system's own tokens and confidence are kept."""
    boxes = tuple(tuple(box) for box in entity["boxes"])
    confidence = entity.get("confidence")
    if confidence is None:
        return Record(entity["mention"], entity["type"], boxes)
    return SystemRecord(entity["mention"], entity["type"], boxes, None, confidence)
