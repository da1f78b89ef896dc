"""Whether a system knows when it is right: the area under its risk-coverage curve (docs/metrics.md)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmner.core.records import Record, Sample
from gmner.evaluation.compared import Convention, SystemRecord
from gmner.evaluation.error_analysis import judge


def judged_confidences(
    convention: Convention, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool
) -> list[tuple[float, bool]]:
    """Return the confidence of each prediction that states one, and whether it is right for GMNER."""
    compared = convention.compare_each(sample, predicted, iou, fine)
    right = {one.predicted for one in judge(compared.predicted, compared.gold, iou) if one.outcome == "correct"}
    return [
        (record.confidence, number in right)
        for number, record in enumerate(predicted)
        if isinstance(record, SystemRecord) and record.confidence is not None
    ]


def calibration(judged: Sequence[tuple[float, bool]]) -> dict[str, Any] | None:
    """Return the areas under the risk-coverage curve (0 to 1, less is better), None without confidences.

    `aurc`: the mean share of wrong predictions (risk) among the surest k, over all k; predictions of equal confidence
    come in random order, in expectation. `aurc_best`: the least that any confidences could reach with these
    predictions; `aurc_random`: what confidences that say nothing reach, the share of wrong predictions.
    """
    if not judged:
        return None
    confidence = np.array([one for one, _ in judged])
    wrong = np.array([not right for _, right in judged], dtype=np.float64)
    return {
        "predictions": len(judged),
        "aurc": _area(wrong, confidence),
        "aurc_best": _area(wrong, -wrong),
        "aurc_random": float(wrong.mean()),
    }


def _area(wrong: NDArray[np.float64], confidence: NDArray[np.float64]) -> float:
    order = np.argsort(-confidence, kind="stable")
    _, group, sizes = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    share = np.bincount(group, weights=wrong[order]) / sizes
    risks = np.cumsum(share[group]) / np.arange(1, len(wrong) + 1)
    return float(risks.mean())
