"""What an answer is worth: the scorer's own counts, made smooth.

A reward is asked for by an optimiser, which finds every hole in it. So each part is a set F1: what is said too much
costs as much as what is missing, duplicates find no partner, and a record that lists boxes until one fits is worth
less with each box (the scorer's `any box` rule would pay it in full).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from gmner.config.refine import RewardSettings
from gmner.core.answer import ParsedOutput, parse_output
from gmner.core.records import Box, Record
from gmner.evaluation.matching import best_iou, group_records, mention_key, mention_type_key

RIGHT_IOU = 0.5
# Standard deviations of the Gaussian reward, in sides of the gold box (centre) and in log-ratios (sides).
_CENTRE_SIGMA = 0.25
_SIDE_SIGMA = 0.5


@dataclass(frozen=True, slots=True)
class Reward:
    """The parts of one answer's reward, each in [0, 1], and their weighted sum `total`, in [0, 1]."""

    mention: float
    mner: float
    gmner: float
    form: float
    total: float


def reward_of(
    output: str, gold: Sequence[Record], tokens: Sequence[str], settings: RewardSettings, whole: bool = True
) -> Reward:
    """Return the reward of an output against the gold records, boxes of both in the model's frame.

    `tokens` are the tweet's; `whole` says that the output was not cut by the token limit. An output without an answer
    is worth nothing, also where the tweet has no entity.
    """
    parsed = parse_output(output)
    if _has_no_answer(parsed):
        return Reward(0.0, 0.0, 0.0, 0.0, 0.0)
    records = parsed.records
    mention = _f1(sum(g.pairs for g in group_records(records, gold, mention_key)), len(records), len(gold))
    groups = group_records(records, gold, mention_type_key)
    mner = _f1(sum(group.pairs for group in groups), len(records), len(gold))
    matched = sum(_region_sum(group.predicted, group.gold, settings.iou) for group in groups)
    gmner = _f1(matched, len(records), len(gold))
    form = float(whole and not parsed.problems and _of_the_tweet(records, tokens) and _without_doubles(records))
    weights = (settings.mention, settings.mner, settings.gmner, settings.form)
    total = sum(w * part for w, part in zip(weights, (mention, mner, gmner, form), strict=True)) / sum(weights)
    return Reward(mention, mner, gmner, form, total)


def is_right(output: str, gold: Sequence[Record], least: float = 1.0) -> bool:
    """Say whether an output has set F1 of at least `least` under the scorer's rule, and no problem."""
    parsed = parse_output(output)
    if parsed.problems:
        return False
    groups = group_records(parsed.records, gold, mention_type_key)
    found = sum(group.region_pairs(RIGHT_IOU) for group in groups)
    return _f1(found, len(parsed.records), len(gold)) >= least


def region_worth(predicted: Sequence[Box], gold: Sequence[Box], shape: str) -> float:
    """Return what a predicted region is worth, in [0, 1]: 1 if both are absent, 0 if one is.

    Several boxes are paired one to one; boxes without a partner on either side lower the mean.
    """
    if not predicted or not gold:
        return float(not predicted and not gold)
    worth = np.array([[_box_worth(p, g, shape) for g in gold] for p in predicted])
    rows, columns = linear_sum_assignment(-worth)
    return float(worth[rows, columns].sum() / max(worth.shape))


def _box_worth(predicted: Box, gold: Box, shape: str) -> float:
    iou = best_iou((predicted,), (gold,))
    if shape == "hard":
        return float(iou >= RIGHT_IOU)
    return iou if shape == "linear" else _gaussian(predicted, gold)


def _gaussian(predicted: Box, gold: Box) -> float:
    width, height = gold[2] - gold[0], gold[3] - gold[1]
    other_width, other_height = predicted[2] - predicted[0], predicted[3] - predicted[1]
    if min(width, height, other_width, other_height) <= 0:
        return 0.0
    shift_x = (predicted[0] + predicted[2] - gold[0] - gold[2]) / 2 / width
    shift_y = (predicted[1] + predicted[3] - gold[1] - gold[3]) / 2 / height
    ratio_x, ratio_y = math.log(other_width / width), math.log(other_height / height)
    exponent = (shift_x**2 + shift_y**2) / _CENTRE_SIGMA**2 + (ratio_x**2 + ratio_y**2) / _SIDE_SIGMA**2
    return math.exp(-exponent / 2)


def _region_sum(predicted: Sequence[Record], gold: Sequence[Record], shape: str) -> float:
    """Return the highest sum of regions' worths when records with equal mention and type are paired one to one."""
    worth = np.array([[region_worth(p.boxes, g.boxes, shape) for g in gold] for p in predicted])
    rows, columns = linear_sum_assignment(-worth)
    return float(worth[rows, columns].sum())


def _f1(matched: float, predicted: int, gold: int) -> float:
    return 1.0 if predicted == gold == 0 else 2.0 * matched / (predicted + gold)


def _has_no_answer(parsed: ParsedOutput) -> bool:
    return any(problem.code in ("no_answer", "empty_answer") for problem in parsed.problems)


def _of_the_tweet(records: Sequence[Record], tokens: Sequence[str]) -> bool:
    text = f" {' '.join(tokens)} "
    return all(f" {record.mention} " in text for record in records)


def _without_doubles(records: Sequence[Record]) -> bool:
    return len({(record.mention, record.type, record.boxes) for record in records}) == len(records)
