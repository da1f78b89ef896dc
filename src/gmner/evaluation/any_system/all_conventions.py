"""The same predictions under every convention, as one table: what a published number would have been elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gmner.core.records import Sample
from gmner.evaluation.any_system.predictions import read_predictions
from gmner.evaluation.any_system.score import Request, score_predictions
from gmner.evaluation.conventions import CONVENTIONS, convention_of
from gmner.evaluation.counts import TASKS

HEADS = ("profile", "GMNER F1", "MNER F1", "EEG F1", "correct (GMNER)", "predicted", "gold")


def score_all(request: Request, gold: list[Sample]) -> list[dict[str, Any]]:
    """Return the scores of the request's predictions under each convention, in the registry's order."""
    found = read_predictions(request.predictions, gold)
    return [
        {"profile": name, **score_predictions(replace(request, convention=convention_of(name)), gold, found).to_json()}
        for name in CONVENTIONS
    ]


def conventions_table(scores: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table with a row per convention. Each row is counted in its own way: compare none of them."""
    lines = [f"| {' | '.join(HEADS)} |", f"|---|{'---:|' * (len(HEADS) - 1)}"]
    for one in scores:
        f1 = [f"{one['percent'][f'{task}_f1']:.2f}" for task in TASKS]
        counts = [str(one["gmner"][name]) for name in ("correct", "predicted", "gold")]
        name = f"`{one['profile']}`"
        lines.append(f"| {' | '.join([name, *f1, *counts])} |")
    return "\n".join(lines)
