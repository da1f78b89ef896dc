"""Targets: what the model learns to write for each train sample, with boxes perturbed anew for each epoch."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gmner.answer import render_answer
from gmner.boxes import Boxes
from gmner.config.run import GrbpSettings
from gmner.config.stages import TargetsStage
from gmner.errors import DataError
from gmner.frame import Frame
from gmner.perturb import Perturbed, Strengths, box_keys, keep_boxes, perturb_boxes
from gmner.records import Record, Sample
from gmner.schemas import RATIONALES, TARGETS, read_samples, read_table, write_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Flat:
    """All boxes of all samples one after the other, in the model's coordinates, and where they belong."""

    boxes: Boxes  # (N, 4)
    sizes_wh: np.ndarray  # (N, 2) of the coordinate system
    sample_ids: list[str]  # N
    entities: np.ndarray  # (N,) index of the entity within its sample
    numbers: np.ndarray  # (N,) index of the box within its entity
    starts: np.ndarray  # (samples + 1,) offsets of each sample's boxes


def make_targets(stage: TargetsStage, samples_path: Path, rationales_path: Path | None, seed: int, out: Path) -> None:
    """Write the targets of the train split.

    Raises DataError where the rationales do not cover the split. Every sample that is left out is counted in the
    table's own metadata.
    """
    samples = read_samples(samples_path, "train")
    if not samples:
        raise DataError(f"{samples_path}: no sample in the train split; nothing can be learned from it")
    reasoning = _reasoning(stage, samples, rationales_path)
    kept = [sample for sample in samples if sample.sample_id in reasoning]
    rows = target_rows(kept, reasoning, stage, seed)
    counts = _counts(samples, kept, reasoning, rows, stage)
    write_table(out, rows, TARGETS, {key: str(value) for key, value in counts.items()})
    log.info("targets: %s", ", ".join(f"{key} {value}" for key, value in counts.items()))


def _reasoning(stage: TargetsStage, samples: Sequence[Sample], path: Path | None) -> dict[str, str | None]:
    """Return the reasoning of each sample that is kept; None for one that is learned without."""
    if not stage.cot:
        return {sample.sample_id: None for sample in samples}
    if path is None:
        raise DataError("the run reasons (cot: true) but no rationales were given; name them by --rationales")
    table = read_table(path, RATIONALES, ["sample_id", "text", "accepted"]).to_pydict()
    texts = dict(zip(table["sample_id"], zip(table["text"], table["accepted"], strict=True), strict=True))
    missing = [sample.sample_id for sample in samples if sample.sample_id not in texts]
    if missing:
        raise DataError(
            f"{path}: no row for {len(missing)} of {len(samples)} train samples, first {', '.join(missing[:3])}; "
            "run the rationales stage again"
        )
    found: dict[str, str | None] = {}
    for sample in samples:
        text, accepted = texts[sample.sample_id]
        # Where a refused rationale is replaced by a template's, the rationales stage has written that as the text.
        if accepted or stage.when_refused == "template":
            found[sample.sample_id] = text
        elif stage.when_refused == "no_reasoning":
            found[sample.sample_id] = None
    return found


def target_rows(
    samples: Sequence[Sample], reasoning: dict[str, str | None], stage: TargetsStage, seed: int
) -> list[dict[str, Any]]:
    """Return the rows of TARGETS for `samples`, ordered by epoch and then as the samples are."""
    flat = _flatten(samples, Frame(**stage.frame.model_dump()))
    return [
        row
        for epoch in range(stage.epochs)
        for row in _rows_of_epoch(samples, reasoning, flat, _perturb(flat, epoch, seed, stage.grbp), epoch)
    ]


def _flatten(samples: Sequence[Sample], frame: Frame) -> _Flat:
    boxes, sizes, ids, entities, numbers, starts = [], [], [], [], [], [0]
    for sample in samples:
        mine = [
            (box, index, number)
            for index, entity in enumerate(sample.entities)
            for number, box in enumerate(entity.boxes)
        ]
        starts.append(starts[-1] + len(mine))
        if not mine:
            continue
        boxes.append(frame.to_model([box for box, _, _ in mine], sample.size_wh))
        sizes += [frame.coordinate_size(sample.size_wh)] * len(mine)
        ids += [sample.sample_id] * len(mine)
        entities += [index for _, index, _ in mine]
        numbers += [number for _, _, number in mine]
    stacked = np.concatenate(boxes) if boxes else np.zeros((0, 4))
    return _Flat(
        stacked, np.array(sizes, float).reshape(-1, 2), ids, np.array(entities), np.array(numbers), np.array(starts)
    )


def _perturb(flat: _Flat, epoch: int, seed: int, grbp: GrbpSettings) -> Perturbed:
    if not grbp.enabled:
        return keep_boxes(flat.boxes, flat.sizes_wh)
    keys = box_keys(seed, flat.sample_ids, np.full(len(flat.boxes), epoch), flat.entities, flat.numbers)
    return perturb_boxes(flat.boxes, flat.sizes_wh, keys, Strengths(**grbp.model_dump(exclude={"enabled"})))


def _rows_of_epoch(
    samples: Sequence[Sample], reasoning: dict[str, str | None], flat: _Flat, done: Perturbed, epoch: int
) -> Iterator[dict[str, Any]]:
    original, boxes = flat.boxes.tolist(), done.boxes.tolist()
    iou, tries, fallback = done.iou.tolist(), done.tries.tolist(), done.fallback.tolist()
    for sample, start, end in zip(samples, flat.starts[:-1].tolist(), flat.starts[1:].tolist(), strict=True):
        mine, records = iter(boxes[start:end]), []
        for entity in sample.entities:
            moved = tuple(tuple(next(mine)) for _ in entity.boxes)
            records.append(Record(entity.mention, entity.type, moved))
        thought = reasoning[sample.sample_id]
        yield {
            "sample_id": sample.sample_id,
            "epoch": epoch,
            "completion": render_answer(records, thought),
            "reasoning": thought is not None,
            "original_boxes": original[start:end],
            "boxes": boxes[start:end],
            "iou": iou[start:end],
            "tries": tries[start:end],
            "fallback": fallback[start:end],
        }


def _counts(
    samples: Sequence[Sample],
    kept: Sequence[Sample],
    reasoning: dict[str, str | None],
    rows: Sequence[dict[str, Any]],
    stage: TargetsStage,
) -> dict[str, int | str]:
    return {
        "samples": len(samples),
        "dropped": len(samples) - len(kept),
        "without_reasoning": sum(text is None for text in reasoning.values()) if stage.cot else len(kept),
        "when_refused": stage.when_refused,
        "epochs": stage.epochs,
        "boxes": sum(len(row["boxes"]) for row in rows),
        "fallbacks": sum(sum(row["fallback"]) for row in rows),
    }
