"""The dev scores that choose the best epoch: those of the test set, on what the model answers for dev."""

from collections.abc import Sequence
from dataclasses import asdict

from gmner.config.run import ScoreSettings
from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.evaluation.f1 import f1_scores, records_of_row
from gmner.evaluation.predictions import predict_sample
from gmner.generation.decode import Output
from gmner.training.best_epoch import Scorer


def dev_scorer(score: ScoreSettings, fine: bool, types: Sequence[str], frame: Frame) -> Scorer:
    """Return the scorer of a run: F1 in per cent as `score` counts, of fine types where `fine` is set."""

    def scorer(samples: Sequence[Sample], outputs: Sequence[Output]) -> dict[str, float]:
        predictions = [
            records_of_row(predict_sample(sample, asdict(output), frame, frozenset(types)))
            for sample, output in zip(samples, outputs, strict=True)
        ]
        return f1_scores(samples, predictions, score, fine)

    return scorer
