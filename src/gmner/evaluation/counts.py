"""The paper's metrics (appendix A): counts of each tweet, and what is made of their sums (docs/metrics.md)."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from gmner.core.records import Record
from gmner.evaluation.compared import ComparedTweet
from gmner.evaluation.matching import best_iou, group_records, mention_key, mention_type_key

TASKS = ("gmner", "mner", "eeg")
ACCURACY_IOUS = (0.5, 0.75)
REGION_COUNTS = ("groundable", "acc_50", "acc_75", "paired", "iou_sum")


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted of one tweet, or summed over many.

    `gmner`, `mner`, `eeg`: correct predictions; `predicted` and `gold` the records that GMNER compares, and those of
    the other two tasks, which a few conventions count differently. `groundable`: gold entities with a box; `acc_50`
    and `acc_75`: those whose matched prediction has a box with at least that IoU; `paired`: those matched with a
    prediction that has a box, and `iou_sum` the sum of these pairs' IoU.
    """

    predicted: int = 0
    gold: int = 0
    gmner: int = 0
    mner: int = 0
    mner_predicted: int = 0
    mner_gold: int = 0
    eeg: int = 0
    eeg_predicted: int = 0
    eeg_gold: int = 0
    groundable: int = 0
    acc_50: int = 0
    acc_75: int = 0
    paired: int = 0
    iou_sum: float = 0.0

    def of_task(self, task: str) -> tuple[int, int, int]:
        """Return a task's correct, predicted and gold records."""
        if task == "gmner":
            return self.gmner, self.predicted, self.gold
        if task == "mner":
            return self.mner, self.mner_predicted, self.mner_gold
        return self.eeg, self.eeg_predicted, self.eeg_gold

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))


COUNT_NAMES = tuple(field.name for field in fields(Counts))
_values: Callable[[Counts], tuple[Any, ...]] = attrgetter(*COUNT_NAMES)


def total(counts: Iterable[Counts]) -> Counts:
    """Return the sum of tweets' counts."""
    columns = zip(*map(_values, counts), strict=True)
    return Counts(*(sum(column) for column in columns))


def count_tweet(tweet: ComparedTweet, iou: float) -> Counts:
    """Count one tweet as its convention compares it; a region is right from an IoU of `iou` on."""
    counts = count_sample(tweet.predicted, tweet.gold, iou)
    if tweet.by_task is None:
        return counts
    found = {task: count_sample(*tweet.of(task), iou) for task in tweet.by_task}
    mner, eeg, regions = (found.get(task, counts) for task in ("mner", "eeg", "regions"))
    return replace(
        counts,
        mner=mner.mner,
        mner_predicted=mner.mner_predicted,
        mner_gold=mner.mner_gold,
        eeg=eeg.eeg,
        eeg_predicted=eeg.eeg_predicted,
        eeg_gold=eeg.eeg_gold,
        **{name: getattr(regions, name) for name in REGION_COUNTS},
    )


def count_sample(predicted: Sequence[Record], gold: Sequence[Record], iou: float) -> Counts:
    """Count one tweet. Both sides' boxes are in one frame; a region is right from an IoU of `iou` on."""
    typed = group_records(predicted, gold, mention_type_key)
    gmner, mner, acc_50, acc_75 = 0, 0, 0, 0
    ious: list[float] = []
    for group in typed:
        mner += group.pairs
        if len(group.predicted) == len(group.gold) == 1:  # nearly always: nothing to choose
            value = _single_iou(group.predicted[0], group.gold[0])
            gmner += value is not None and value >= iou
            if value is not None and group.gold[0].boxes:
                ious.append(value)
                acc_50 += value >= ACCURACY_IOUS[0]
                acc_75 += value >= ACCURACY_IOUS[1]
            continue
        gmner += group.region_pairs(iou)
        acc_50 += group.grounded_pairs(ACCURACY_IOUS[0])
        acc_75 += group.grounded_pairs(ACCURACY_IOUS[1])
        ious += group.best_ious().tolist()
    return Counts(
        predicted=len(predicted),
        gold=len(gold),
        gmner=gmner,
        mner=mner,
        mner_predicted=len(predicted),
        mner_gold=len(gold),
        eeg=_eeg(predicted, gold, iou, gmner),
        eeg_predicted=len(predicted),
        eeg_gold=len(gold),
        groundable=sum(bool(record.boxes) for record in gold),
        acc_50=acc_50,
        acc_75=acc_75,
        paired=len(ious),
        iou_sum=float(sum(sorted(ious))),  # sorted: the same sum in any order of the records
    )


def _single_iou(predicted: Record, gold: Record) -> float | None:
    """Return the IoU of two records' regions: 1 where both are absent, None where one is."""
    if not predicted.boxes or not gold.boxes:
        return 1.0 if not predicted.boxes and not gold.boxes else None
    return best_iou(predicted.boxes, gold.boxes)


def _eeg(predicted: Sequence[Record], gold: Sequence[Record], iou: float, gmner: int) -> int:
    # Where every mention has one type, on both sides together, the groups by mention are those by mention and type.
    both = (*predicted, *gold)
    if len({(record.mention, record.type) for record in both}) == len({record.mention for record in both}):
        return gmner
    return sum(group.region_pairs(iou) for group in group_records(predicted, gold, mention_key))


def count_by_type(tweet: ComparedTweet, iou: float) -> dict[str, Counts]:
    """Count one tweet per type: gold entities and predictions of that type alone.

    A pair for EEG may disagree about its type, so that a sum over types would not be EEG: `eeg` is left 0.
    """
    sides = (tweet.of(task) for task in ("gmner", "mner", "regions"))
    names = {record.type for predicted, gold in sides for record in (*predicted, *gold)}
    return {name: replace(count_tweet(tweet.of_type(name), iou), eeg=0) for name in names}


def ratio(part: float, whole: float) -> float:
    """Return part / whole, and 0 where there is nothing to divide by."""
    return part / whole if whole else 0.0


def precision_recall_f1(correct: int, predicted: int, gold: int) -> tuple[float, float, float]:
    """Return precision, recall and F1 (appendix A, equations 9 and 10), each between 0 and 1."""
    precision, recall = ratio(correct, predicted), ratio(correct, gold)
    return precision, recall, ratio(2 * precision * recall, precision + recall)


def task_scores(counts: Counts, task: str) -> dict[str, float]:
    """Return one task's counts and its precision, recall and F1 between 0 and 1."""
    correct, predicted, gold = counts.of_task(task)
    precision, recall, f1 = precision_recall_f1(correct, predicted, gold)
    return {
        "correct": correct,
        "predicted": predicted,
        "gold": gold,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def region_scores(counts: Counts) -> dict[str, float]:
    """Return Acc@0.5, Acc@0.75 and mean IoU, between 0 and 1, each with what it is a share or a mean of."""
    return {
        "acc_50": ratio(counts.acc_50, counts.groundable),
        "acc_75": ratio(counts.acc_75, counts.groundable),
        "mean_iou": ratio(counts.iou_sum, counts.paired),
        "mean_iou_all": ratio(counts.iou_sum, counts.groundable),
        "correct_50": counts.acc_50,
        "correct_75": counts.acc_75,
        "groundable": counts.groundable,
        "paired": counts.paired,
    }


def box_statistics(predictions: Iterable[Sequence[Record]]) -> dict[str, Any]:
    """Return how many boxes predictions have: under 'any box counts', many boxes are a way to be right by luck."""
    return statistics_of_sizes(Counter(len(record.boxes) for records in predictions for record in records))


def statistics_of_sizes(sizes: Counter[int]) -> dict[str, Any]:
    """Return the same from how many predictions have so many boxes."""
    boxes = sum(size * times for size, times in sizes.items())
    grounded = sum(times for size, times in sizes.items() if size)
    return {
        "predictions": sum(sizes.values()),
        "grounded": grounded,
        "boxes": boxes,
        "mean_of_grounded": ratio(boxes, grounded),
        "most": max(sizes, default=0),
        "more_than_one": sum(times for size, times in sizes.items() if size > 1),
    }
