"""The stage `targets`: from samples and rationales to the completions to learn, one a sample and epoch."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gmner.config.stages import TargetsStage
from gmner.core.answer import clean_reasoning, render_answer
from gmner.core.boxes import Boxes
from gmner.core.frame import Frame
from gmner.core.records import Box, Record, Sample
from gmner.errors import DataError
from gmner.storage.tables import BOX, BOXES, RATIONALES, TARGETS, read_samples, read_table, sample_groups, table_writer
from gmner.targets.grbp import Keys, Perturbed, keys_of, perturb_boxes, row_keys
from gmner.targets.overlong import Measure, Overlong, find_overlong, shorten_reasoning

SPLIT = "train"
GROUP_SAMPLES = 8192
"""How many samples are held at once where a table is too large for one group."""


@dataclass(frozen=True)
class Regions:
    """All boxes of many samples, one after the other, in the model's frame.

    `boxes` (N, 4) and `sizes_wh` (N, 2) are in that frame; `keys` (N,), `entities` (N,) and `places` (N,) say whose
    they are; the boxes of sample i are those from `offsets[i]` to `offsets[i + 1]`.
    """

    boxes: Boxes
    sizes_wh: NDArray[np.int64]
    keys: Keys
    entities: NDArray[np.int64]
    places: NDArray[np.int64]
    offsets: NDArray[np.int32]


@dataclass(frozen=True)
class Reasoning:
    """What is to be said before each answer (None: nothing), and what became of refused rationales."""

    samples: list[Sample]
    texts: list[str | None]
    refused: int
    dropped: list[str]


def make_targets(
    stage: TargetsStage,
    samples_path: Path,
    rationales_path: Path | None,
    seed: int,
    out: Path,
    measure: Measure | None = None,
) -> None:
    """Write the table of targets of one run and seed, a group of samples at a time.

    With `measure`, rows over `stage.limit` are handled as it says; the table then holds what is trained on.

    `rationales_path` is needed where the run reasons, else ignored. Raises DataError where there is nothing to train
    on, or where a sample has no rationale.
    """
    source = _source(stage, samples_path, rationales_path)
    tally = Tally(source.refused, source.dropped)
    overlong = Overlong()
    if measure is not None and stage.limit is not None:
        # All epochs are made once only to be measured: a sample that is dropped is in none of them.
        made = (
            (epoch, group.reasoning.samples, _completions_of(stage, group, seed, epoch)[0])
            for epoch in range(stage.epochs)
            for group in source.groups()
        )
        overlong = find_overlong(made, measure, stage.limit)
    with table_writer(out, TARGETS) as writer:
        for epoch in range(stage.epochs):
            for group in source.groups():
                table, perturbed = _epoch_of(stage, group, seed, epoch)
                tally.add(group.reasoning, perturbed, first=epoch == 0)
                writer.add(_within_limit(table, epoch, overlong, stage, measure))
        writer.describe({**tally.metadata(stage, seed), **_overlong_metadata(overlong, stage)})


def _within_limit(
    table: pa.Table, epoch: int, overlong: Overlong, stage: TargetsStage, measure: Measure | None
) -> pa.Table:
    """Return an epoch's rows with those over the limit shortened or left out."""
    if not overlong.room:
        return table
    ids, texts = table.column("sample_id").to_pylist(), table.column("completion").to_pylist()
    if stage.limit is not None and stage.limit.overlong == "truncate_reasoning" and measure is not None:
        for place, name in enumerate(ids):
            if (name, epoch) in overlong.room:
                short = shorten_reasoning(texts[place], overlong.room[name, epoch], measure.completions)
                texts[place] = texts[place] if short is None else short
        table = table.set_column(table.schema.get_field_index("completion"), "completion", pa.array(texts))
    return table.filter(pa.array([name not in overlong.dropped for name in ids])).cast(TARGETS)


def _overlong_metadata(overlong: Overlong, stage: TargetsStage) -> dict[str, str]:
    """Return what is kept with the table: nothing about a limit that no row exceeds, so that its bytes are the same."""
    found = {"longest_row": str(overlong.longest)} if overlong.longest else {}
    if overlong.room and stage.limit is not None:
        told = {"rows": len(overlong.room), "dropped": sorted(overlong.dropped), **stage.limit.model_dump(mode="json")}
        found["overlong"] = json.dumps(told)
    return found


@dataclass(frozen=True)
class Group:
    """Some samples with what is said before their answers, and their boxes."""

    reasoning: "Reasoning"
    regions: Regions
    texts: list[str | None]


@dataclass(frozen=True)
class Source:
    """The groups of all samples, as often as asked, and what became of refused rationales."""

    groups: Callable[[], Iterable[Group]]
    refused: int
    dropped: list[str]


def _source(stage: TargetsStage, samples_path: Path, rationales_path: Path | None) -> Source:
    """Return the samples in groups: those of a run that reasons are held, with their rationales; others are streamed.

    Where there is but one group it is kept for all epochs.
    """
    if stage.cot and rationales_path is None:
        raise DataError("the run reasons (cot: true) but no rationales were given; pass --rationales with their table")
    if not stage.cot or rationales_path is None:

        def streamed() -> Iterator[Reasoning]:
            for samples in sample_groups(samples_path, SPLIT, GROUP_SAMPLES):
                yield Reasoning(samples, [None] * len(samples), 0, [])

        first = list(itertools.islice(streamed(), 2))
        if not first:
            raise _no_samples(samples_path)
        if len(first) > 1:
            return Source(lambda: (_group(stage, reasoning) for reasoning in streamed()), 0, [])
        parts, found = first, first[0]
    else:
        samples = read_samples(samples_path, SPLIT)
        if not samples:
            raise _no_samples(samples_path)
        found = read_reasoning(samples, rationales_path, stage.when_refused)
        _check_accepted(stage, len(samples), found.refused, rationales_path)
        starts = range(0, len(found.samples), GROUP_SAMPLES)
        parts = [_part(found, start) for start in starts]
    groups = [_group(stage, reasoning) for reasoning in parts]
    return Source(lambda: groups, found.refused, found.dropped)


def _check_accepted(stage: TargetsStage, samples: int, refused: int, path: Path) -> None:
    """Raise DataError where so few rationales were accepted that the run would train something else than it says."""
    accepted = samples - refused
    if accepted < stage.least_accepted * samples:
        raise DataError(
            f"{path}: {accepted} of {samples} rationales were accepted, expected at least "
            f"{stage.least_accepted:.0%} (the teacher's least_accepted), as the run would hardly learn to reason (cot: "
            "true); see why they were refused in report.json beside it, mend the teacher's settings, ask again with "
            "`gmner teacher retry`, or lower least_accepted"
        )


def _no_samples(path: Path) -> DataError:
    return DataError(f"{path}: no sample of the split '{SPLIT}'; there is nothing to train on")


def _part(reasoning: Reasoning, start: int) -> Reasoning:
    place = slice(start, start + GROUP_SAMPLES)
    return Reasoning(reasoning.samples[place], reasoning.texts[place], 0, [])


def _group(stage: TargetsStage, reasoning: Reasoning) -> Group:
    regions = regions_of(reasoning.samples, Frame(**stage.frame.model_dump()))
    return Group(reasoning, regions, [None if text is None else clean_reasoning(text) for text in reasoning.texts])


def _epoch_of(stage: TargetsStage, group: Group, seed: int, epoch: int) -> tuple[pa.Table, Perturbed]:
    """Return a group's rows of one epoch."""
    completions, perturbed = _completions_of(stage, group, seed, epoch)
    samples, offsets = group.reasoning.samples, group.regions.offsets
    return _epoch_table(samples, group.texts, epoch, completions, perturbed, offsets), perturbed


def _completions_of(stage: TargetsStage, group: Group, seed: int, epoch: int) -> tuple[list[str], Perturbed]:
    """Return a group's completions of one epoch, and what became of its boxes."""
    regions = group.regions
    keys = row_keys(seed, regions.keys, epoch, regions.entities, regions.places)
    perturbed = perturb_boxes(regions.boxes, regions.sizes_wh, keys, stage.grbp)
    return list(_completions(group.reasoning.samples, group.texts, perturbed.boxes, stage.fine)), perturbed


def read_reasoning(samples: Sequence[Sample], path: Path, when_refused: str) -> Reasoning:
    """Return the reasoning of each sample; a refused one is left out, written by rule, or drops its sample."""
    table = read_table(path, RATIONALES, columns=["sample_id", "text", "accepted"])
    ids, texts, accepted = (table.column(name).to_pylist() for name in ("sample_id", "text", "accepted"))
    rows = {name: (text, good) for name, text, good in zip(ids, texts, accepted, strict=True)}
    if len(rows) != len(ids):
        twice = sorted(name for name, count in Counter(ids).items() if count > 1)[:1]
        raise DataError(f"{path}: sample '{twice[0]}' has more than one rationale; run the rationales stage again")
    missing = [sample.sample_id for sample in samples if sample.sample_id not in rows]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(samples)} training samples have no rationale, for instance "
            f"'{missing[0]}'; the tables come from different data: run the rationales stage again"
        )
    found = Reasoning([], [], sum(not rows[sample.sample_id][1] for sample in samples), [])
    for sample in samples:
        text, good = rows[sample.sample_id]
        if good and not (text or "").strip():
            raise DataError(f"{path}: the accepted rationale of '{sample.sample_id}' is empty; run its stage again")
        if not good and when_refused == "drop":
            found.dropped.append(sample.sample_id)
            continue
        found.samples.append(sample)
        found.texts.append(text if good else _instead(sample, text, when_refused))
    if not found.samples:
        raise DataError(f"{path}: every rationale was refused and when_refused is drop; nothing is left to train on")
    return found


def _instead(sample: Sample, text: str | None, when_refused: str) -> str | None:
    if when_refused == "no_reasoning":
        return None
    if when_refused == "empty_think":  # as in the authors' release: the form that the prompt asks for
        return ""
    if text is not None:  # the rationales stage has written it
        return text
    from gmner.rationales.template import write_rationale

    return write_rationale(sample, "evidence")


def build_targets(stage: TargetsStage, reasoning: Reasoning, seed: int) -> tuple[pa.Table, dict[str, str]]:
    """Return the table, by epoch and within it in the order of the samples, and the counts that go with it."""
    group, tally, tables = _group(stage, reasoning), Tally(reasoning.refused, reasoning.dropped), []
    for epoch in range(stage.epochs):
        table, perturbed = _epoch_of(stage, group, seed, epoch)
        tally.add(reasoning, perturbed, first=epoch == 0)
        tables.append(table)
    return pa.concat_tables(tables), tally.metadata(stage, seed)


def regions_of(samples: Sequence[Sample], frame: Frame) -> Regions:
    """Return all boxes of the samples in the model's frame."""
    rows: list[tuple[int, int, int]] = []
    boxes: list[Box] = []
    offsets = [0]
    for number, sample in enumerate(samples):
        for place, entity in enumerate(sample.entities):
            rows += [(number, place, box) for box in range(len(entity.boxes))]
            boxes += entity.boxes
        offsets.append(len(rows))
    owner, entities, places = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    sizes = np.array([_coordinate_size(sample, frame) for sample in samples], dtype=np.int64)
    originals = np.array([sample.size_wh for sample in samples], dtype=np.float64)
    factors = np.tile((sizes / np.maximum(originals, 1))[owner], 2)
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4) * factors
    keys = keys_of([sample.sample_id for sample in samples])[owner]
    return Regions(array, sizes[owner], keys, entities, places, np.array(offsets, dtype=np.int32))


def _coordinate_size(sample: Sample, frame: Frame) -> tuple[int, int]:
    if not any(entity.boxes for entity in sample.entities):
        return 1, 1
    try:
        return frame.coordinate_size(sample.size_wh)
    except DataError as error:
        raise DataError(f"sample '{sample.sample_id}': {error}") from error


def _completions(samples: Sequence[Sample], texts: Sequence[str | None], boxes: Boxes, fine: bool) -> Iterable[str]:
    rows = iter(boxes.astype(np.int64).tolist())
    for sample, text in zip(samples, texts, strict=True):
        records = [
            Record(entity.mention, entity.label(fine), tuple(next(rows) for _ in entity.boxes))
            for entity in sample.entities
        ]
        yield render_answer(records, text)


def _epoch_table(
    samples: Sequence[Sample],
    texts: Sequence[str | None],
    epoch: int,
    completions: Iterable[str],
    perturbed: Perturbed,
    offsets: NDArray[np.int32],
) -> pa.Table:
    ends = pa.array(offsets)

    def lists(values: pa.Array, kind: pa.DataType) -> pa.Array:
        return pa.ListArray.from_arrays(ends, values).cast(kind)

    def boxes(values: Boxes) -> pa.Array:
        return lists(pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 4).cast(BOX), BOXES)

    columns = {
        "sample_id": pa.array([sample.sample_id for sample in samples]),
        "epoch": pa.array(np.full(len(samples), epoch, dtype=np.int32)),
        "completion": pa.array(list(completions)),
        "reasoning": pa.array([bool(text) for text in texts]),
        "original_boxes": boxes(perturbed.original),
        "boxes": boxes(perturbed.boxes),
        "iou": lists(pa.array(perturbed.iou), pa.list_(pa.float64())),
        "tries": lists(pa.array(perturbed.tries), pa.list_(pa.int32())),
        "fallback": lists(pa.array(perturbed.fallback), pa.list_(pa.bool_())),
    }
    return pa.Table.from_arrays([columns[name] for name in TARGETS.names], schema=TARGETS)


class Tally:
    """Counts what was made, group by group."""

    def __init__(self, refused: int, dropped: Sequence[str]) -> None:
        self.refused, self.dropped = refused, list(dropped)
        self.samples = self.entities = self.boxes = self.reasoned = self.perturbed = self.fallbacks = 0
        self.rows = 0
        self._ious: list[float] = []

    def add(self, reasoning: Reasoning, perturbed: Perturbed, first: bool) -> None:
        """Count a group in one epoch; `first`: in the first one."""
        if first:
            self.samples += len(reasoning.samples)
            self.entities += sum(len(sample.entities) for sample in reasoning.samples)
            self.boxes += len(perturbed.iou)
            self.reasoned += sum(bool(text) for text in reasoning.texts)
        self.perturbed += int((perturbed.tries > 0).sum())
        self.fallbacks += int(perturbed.fallback.sum())
        self.rows += len(perturbed.iou)
        self._ious.append(float(perturbed.iou.sum()))

    def metadata(self, stage: TargetsStage, seed: int) -> dict[str, str]:
        """Return what is kept with the table."""
        counts = {
            "samples": self.samples,
            "entities": self.entities,
            "boxes": self.boxes,
            "epochs": stage.epochs,
            "perturbed_boxes": self.perturbed,
            "fallbacks": self.fallbacks,
            "reasoned_samples": self.reasoned,
            "refused_rationales": self.refused,
            "dropped_samples": len(self.dropped),
            "mean_iou": round(math.fsum(self._ious) / self.rows, 6) if self.rows else None,
        }
        return {
            "counts": json.dumps(counts),
            "dropped": json.dumps(self.dropped),
            "settings": stage.model_dump_json(exclude={"limit"}),
            "seed": str(seed),
        }
