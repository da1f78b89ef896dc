"""What a system gets wrong: each gold entity and each prediction under exactly one heading, and slices of the gold."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gmner.core.mentions import normalise_mention
from gmner.core.records import Box, Entity, Record, Sample
from gmner.evaluation.compared import ComparedTweet, Convention, span_name
from gmner.evaluation.counts import count_tweet, precision_recall_f1, ratio, task_scores, total
from gmner.evaluation.matching import best_iou, group_records, maximum_matching, mention_type_key

OUTCOMES = {
    "correct": "mention, type and region are right",
    "ungrounded": "visible, but predicted without a region; mention and type are right",
    "grounded_absent": "not visible, but predicted with a region; mention and type are right",
    "wrong_region": "predicted with a region that agrees with none of the entity's; mention and type are right",
    "type": "mention is right, type is not",
    "boundary": "predicted with a mention that only overlaps",
    "missed": "a gold entity that no prediction resembles",
    "spurious": "a prediction that resembles no gold entity",
}
"""Gold entities: all but `spurious` sum to them. Predictions: all but `missed` sum to them."""

CURVE_IOUS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_SPAN = re.compile(r"tokens (\d+) to (\d+)")
_SMALL, _LARGE = 0.05, 0.25  # of the image's area


@dataclass(frozen=True)
class Judged:
    """One pair, or one record that is left over: its numbers among the tweet's gold and predicted records."""

    outcome: str
    gold: int | None
    predicted: int | None


def judge(predicted: Sequence[Record], gold: Sequence[Record], iou: float) -> list[Judged]:
    """Put each gold and each predicted record of one tweet under one heading of OUTCOMES.

    First come the pairs that GMNER counts as right, then what is left with equal mention and type, with equal
    mention, with overlapping mentions (most shared words first, then in order); the rest is missed or spurious.
    """
    if len({id(record) for record in (*predicted, *gold)}) < len(predicted) + len(gold):
        predicted, gold = [replace(r) for r in predicted], [replace(r) for r in gold]  # told apart by identity below
    found: list[Judged] = []
    free_gold, free_predicted = dict(enumerate(gold)), dict(enumerate(predicted))

    def pair(outcome: str, g: int, p: int) -> None:
        found.append(Judged(outcome, g, p))
        del free_gold[g], free_predicted[p]

    for g, p in _right_pairs(predicted, gold, iou):
        pair("correct", g, p)
    for g, p in _pairs(free_gold, free_predicted, lambda a, b: a.mention == b.mention and a.type == b.type):
        pair(_region_error(gold[g], predicted[p]), g, p)
    for g, p in _pairs(free_gold, free_predicted, lambda a, b: a.mention == b.mention):
        pair("type", g, p)
    for g, p in _overlapping(free_gold, free_predicted):
        pair("boundary", g, p)
    found += [Judged("missed", g, None) for g in free_gold]
    found += [Judged("spurious", None, p) for p in free_predicted]
    return found


def _right_pairs(predicted: Sequence[Record], gold: Sequence[Record], iou: float) -> list[tuple[int, int]]:
    numbers_gold = {id(record): number for number, record in enumerate(gold)}
    numbers_predicted = {id(record): number for number, record in enumerate(predicted)}
    found = []
    for group in group_records(predicted, gold, mention_type_key):
        absent = [[r for r in side if not r.boxes] for side in (group.gold, group.predicted)]
        found += list(zip(*absent, strict=False))
        seen_gold, seen = ([r for r in side if r.boxes] for side in (group.gold, group.predicted))
        if seen_gold and seen:
            found += [(seen_gold[column], seen[row]) for row, column in maximum_matching(group.iou >= iou)]
    return [(numbers_gold[id(g)], numbers_predicted[id(p)]) for g, p in found]


def _pairs(
    gold: dict[int, Record], predicted: dict[int, Record], alike: Callable[[Record, Record], bool]
) -> list[tuple[int, int]]:
    found, used = [], set()
    for g, record in gold.items():
        p = next((p for p, other in predicted.items() if p not in used and alike(record, other)), None)
        if p is not None:
            used.add(p)
            found.append((g, p))
    return found


def _overlapping(gold: dict[int, Record], predicted: dict[int, Record]) -> list[tuple[int, int]]:
    shared = [(_shared(a.mention, b.mention), g, p) for g, a in gold.items() for p, b in predicted.items()]
    found: list[tuple[int, int]] = []
    for words, g, p in sorted(shared, key=lambda item: (-item[0], item[1], item[2])):
        if words and all(g != other and p != another for other, another in found):
            found.append((g, p))
    return found


def _shared(a: str, b: str) -> int:
    """Return how many words two mentions share, or tokens where a convention names mentions by their tokens."""
    spans = [_SPAN.fullmatch(mention) for mention in (a, b)]
    if spans[0] and spans[1]:
        first, second = ((int(span[1]), int(span[2])) for span in spans if span)
        return max(0, min(first[1], second[1]) - max(first[0], second[0]))
    return (Counter(a.lower().split()) & Counter(b.lower().split())).total()


def _region_error(gold: Record, predicted: Record) -> str:
    if not gold.boxes:
        return "grounded_absent"
    return "wrong_region" if predicted.boxes else "ungrounded"


def analyse(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    convention: Convention,
    iou: float,
    fine: bool = False,
    train_mentions: frozenset[str] | None = None,
) -> dict[str, Any]:
    """Return the error taxonomy, the confusion of types, slices and the IoU curve, as plain JSON.

    `predictions` are in the order of `samples`, boxes in pixels of the original images; `train_mentions` are mentions
    of the training set, normalised, None if it is not known.
    """
    compared = [convention.compare(s, p, iou, fine) for s, p in zip(samples, predictions, strict=True)]
    pairs = [(tweet.predicted, tweet.gold) for tweet in compared]
    judged = [judge(predicted, gold, iou) for predicted, gold in pairs]
    outcomes = Counter(one.outcome for tweet in judged for one in tweet)
    if convention.depends_on_iou:
        curve = [_point(samples, predictions, convention, at, fine) for at in CURVE_IOUS]
    else:
        curve = _curve(pairs)
    return {
        "outcomes": {name: outcomes[name] for name in OUTCOMES},
        "gold": sum(len(gold) for _, gold in pairs),
        "predicted": sum(len(predicted) for predicted, _ in pairs),
        "confusion": _confusion(pairs, judged),
        "by_type": _by_type(compared, iou),
        "slices": _slices(samples, pairs, judged, train_mentions, not convention.depends_on_iou),
        "by_number_of_entities": _by_number(compared, iou),
        "iou_curve": curve,
    }


def _point(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    convention: Convention,
    iou: float,
    fine: bool,
) -> dict[str, float]:
    pairs = zip(samples, predictions, strict=True)
    scores = task_scores(total(count_tweet(convention.compare(s, p, iou, fine), iou) for s, p in pairs), "gmner")
    return {"iou": iou, **{name: scores[name] for name in ("precision", "recall", "f1")}}


def _confusion(
    prepared: Sequence[tuple[list[Record], list[Record]]], judged: Sequence[Sequence[Judged]]
) -> dict[str, dict[str, int]]:
    """Return gold type -> predicted type -> pairs with equal mention; `-` stands for none (missed, spurious)."""
    pairs: Counter[tuple[str, str]] = Counter()
    for (predicted, gold), tweet in zip(prepared, judged, strict=True):
        for one in tweet:
            if one.outcome == "boundary":
                continue
            given = gold[one.gold].type if one.gold is not None else "-"
            said = predicted[one.predicted].type if one.predicted is not None else "-"
            pairs[given, said] += 1
    rows = sorted({given for given, _ in pairs})
    return {given: {said: n for (row, said), n in sorted(pairs.items()) if row == given} for given in rows}


def _by_type(compared: Sequence[ComparedTweet], iou: float) -> dict[str, Any]:
    types = sorted({record.type for tweet in compared for side in tweet.of("mner") for record in side})
    found = {}
    for name in types:
        counts = total(count_tweet(tweet.of_type(name), iou) for tweet in compared)
        found[name] = {task: task_scores(counts, task) for task in ("gmner", "mner")}
    return found


def _by_number(compared: Sequence[ComparedTweet], iou: float) -> dict[str, Any]:
    groups: dict[str, list[ComparedTweet]] = {}
    for tweet in compared:
        groups.setdefault(str(len(tweet.gold)) if len(tweet.gold) < 5 else "5 or more", []).append(tweet)
    found = {}
    for name in sorted(groups):
        counts = total(count_tweet(tweet, iou) for tweet in groups[name])
        found[name] = {"tweets": len(groups[name]), **{task: task_scores(counts, task) for task in ("gmner", "mner")}}
    return found


def _slices(
    samples: Sequence[Sample],
    prepared: Sequence[tuple[list[Record], list[Record]]],
    judged: Sequence[Sequence[Judged]],
    train_mentions: frozenset[str] | None,
    in_order: bool,
) -> dict[str, dict[str, Any]]:
    """Return recall of gold entities by kind."""
    found: dict[str, Counter[str]] = {}
    for sample, (_, gold), tweet in zip(samples, prepared, judged, strict=True):
        entities = _entities_of(sample, gold, in_order)
        for one in tweet:
            if one.gold is not None:
                for name in _kinds(entities[one.gold], sample.size_wh, train_mentions):
                    found.setdefault(name, Counter())[one.outcome] += 1
    return {name: _recalls(found[name]) for name in sorted(found)}


def _entities_of(sample: Sample, gold: Sequence[Record], in_order: bool) -> list[Entity]:
    """Return the entity behind each gold record; if a convention collapsed some, the last of the equal ones."""
    if in_order and len(gold) == len(sample.entities):
        return list(sample.entities)
    names: dict[tuple[str, str | None, bool], Entity] = {}
    for entity in sample.entities:
        for kind in (entity.type, entity.fine_type, "MISC" if entity.type == "OTHER" else None):
            for mention in (normalise_mention(entity.mention), span_name((entity.start, entity.end))):
                names[mention, kind, bool(entity.boxes)] = entity
    return [names[record.mention, record.type, bool(record.boxes)] for record in gold]


def _recalls(outcomes: Counter[str]) -> dict[str, Any]:
    gold = outcomes.total()
    named = sum(outcomes[name] for name in ("correct", "ungrounded", "grounded_absent", "wrong_region"))
    return {
        "gold": gold,
        "gmner_recall": ratio(outcomes["correct"], gold),
        "mner_recall": ratio(named, gold),
        "outcomes": {name: outcomes[name] for name in OUTCOMES if name != "spurious"},
    }


def _kinds(entity: Entity, size_wh: tuple[int, int], train_mentions: frozenset[str] | None) -> Iterable[str]:
    yield "groundable" if entity.boxes else "not groundable"
    if train_mentions is not None:
        yield "seen in train" if normalise_mention(entity.mention) in train_mentions else "unseen in train"
    if entity.boxes and min(size_wh) > 0:
        share = max(_area(box) for box in entity.boxes) / (size_wh[0] * size_wh[1])
        size = "small" if share < _SMALL else "large" if share > _LARGE else "medium"
        yield f"{size} box"


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _curve(prepared: Sequence[tuple[list[Record], list[Record]]]) -> list[dict[str, float]]:
    """Return GMNER's precision, recall and F1 at each IoU threshold."""
    predicted = sum(len(one) for one, _ in prepared)
    gold = sum(len(other) for _, other in prepared)
    correct: Counter[float] = Counter()
    for guesses, truth in prepared:
        for group in group_records(guesses, truth, mention_type_key):
            if len(group.predicted) == len(group.gold) == 1:
                correct.update(_right_at(group.predicted[0], group.gold[0]))
            else:
                correct.update({iou: group.region_pairs(iou) for iou in CURVE_IOUS})
    names = ("precision", "recall", "f1")
    return [
        {"iou": iou, **dict(zip(names, precision_recall_f1(correct[iou], predicted, gold), strict=True))}
        for iou in CURVE_IOUS
    ]


def _right_at(predicted: Record, gold: Record) -> dict[float, int]:
    if not predicted.boxes or not gold.boxes:
        return dict.fromkeys(CURVE_IOUS, int(not predicted.boxes and not gold.boxes))
    value = best_iou(predicted.boxes, gold.boxes)
    return {iou: int(value >= iou) for iou in CURVE_IOUS}
