"""Rejection sampling: the model's own right answers, with its own reasoning, as the next targets.

Of a right answer the reasoning is kept and the answer itself is said by the annotation: an IoU of 0.5 is right for the
scorer, and a box that is only just right would teach sloppy ones. A tweet that is never right keeps the target it had.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gmner.config.refine import RefineSettings
from gmner.core.answer import parse_output, render_answer
from gmner.core.frame import Frame
from gmner.training.refine.pool import Pooled
from gmner.training.refine.rollouts import gold_records


def next_targets(
    pool: Sequence[Pooled], before: Mapping[str, str], settings: RefineSettings, frame: Frame, fine: bool, seed: int
) -> list[dict[str, Any]]:
    """Return rows (sample_id, epoch, completion) of the training that follows, the same samples in each epoch.

    `before` has the completion that each sample had in its first epoch of supervised training. Easy tweets stay with
    the share `settings.easy`, drawn by seed; each epoch takes a tweet's next right answer, of `settings.most_kept`
    different ones.
    """
    generator = np.random.default_rng([seed, len(pool)])
    rows = []
    for pooled in pool:
        keep_easy = generator.random() < settings.easy
        if pooled.difficulty == "easy" and not keep_easy:
            continue
        texts = _right_answers(pooled, frame, fine)[: settings.most_kept] or [before[pooled.sample.sample_id]]
        rows += [
            {"sample_id": pooled.sample.sample_id, "epoch": epoch, "completion": texts[epoch % len(texts)]}
            for epoch in range(settings.epochs)
        ]
    return rows


def _right_answers(pooled: Pooled, frame: Frame, fine: bool) -> list[str]:
    """Return the different completions that the right answers make, the most rewarded first."""
    gold = gold_records(pooled.sample, frame, fine)
    ranked = sorted((answer for answer in pooled.answers if answer.right), key=lambda answer: -answer.reward)
    texts = (render_answer(gold, parse_output(answer.text).reasoning) for answer in ranked)
    return list(dict.fromkeys(texts))
