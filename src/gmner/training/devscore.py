"""The dev scores that choose the best epoch: the paper's metrics, counted in the original image's pixels."""

from collections.abc import Sequence
from typing import Any

from gmner.answer import parse_output
from gmner.frame import Frame
from gmner.generation.decode import Output
from gmner.metrics import TASKS, count_sample, task_scores, total
from gmner.records import Box, Record, Sample
from gmner.training.judge import Scorer


def dev_scorer(score: Any, fine: bool, frame: Frame) -> Scorer:
    """Return the scorer of a run: F1 in per cent by `score.iou`, of fine types where `fine` is set."""

    def scorer(samples: Sequence[Sample], outputs: Sequence[Output]) -> dict[str, float]:
        counts = total(
            count_sample(predicted_records(output.output, sample, frame), gold_records(sample, fine), score.iou)
            for sample, output in zip(samples, outputs, strict=True)
        )
        return {f"{task}_f1": 100 * task_scores(counts, task)["f1"] for task in TASKS}

    return scorer


def predicted_records(text: str, sample: Sample, frame: Frame) -> list[Record]:
    """Return what a model's output says, its boxes in pixels of the original image."""
    return [
        Record(record.mention, record.type, _to_original(record.boxes, sample, frame))
        for record in parse_output(text).records
    ]


def gold_records(sample: Sample, fine: bool) -> list[Record]:
    """Return a sample's annotation as records."""
    return [
        Record(entity.mention, (entity.fine_type or entity.type) if fine else entity.type, entity.boxes)
        for entity in sample.entities
    ]


def _to_original(boxes: Sequence[Box], sample: Sample, frame: Frame) -> tuple[Box, ...]:
    if not boxes:
        return ()
    return tuple(tuple(box) for box in frame.to_original(boxes, sample.size_wh).tolist())
