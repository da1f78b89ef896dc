"""Making the samples of any dataset: annotations, boxes and images joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gmner.config.data import DatasetSettings
from gmner.core.records import Sample
from gmner.datasets import DATASETS
from gmner.datasets.annotated import Draft, clip_boxes, sample_ids
from gmner.datasets.images import read_images
from gmner.datasets.oddities import Problems
from gmner.errors import DataError

# Boxes of a whole split in one corner of large images are not chance but percent.
_PERCENT, _LARGE_SIDE, _ENOUGH_BOXES = 100.0, 200, 5


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a dataset's parts lie, None for one that is not needed. `drawn` is where drawn images go."""

    annotations: Path | None = None
    images: Path | None = None
    fine: Path | None = None
    drawn: Path | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """Samples in the order of their files, the problems met, and the drafts they came from (none: demo)."""

    samples: list[Sample]
    problems: Problems
    drafts: list[Draft]


def build_samples(settings: DatasetSettings, dataset: str, folders: Folders) -> Built:
    """Make a dataset's samples; raises MissingInputError or DataError, and never loses a sample silently."""
    built: Built = DATASETS[settings.kind].build()(settings, dataset, folders)
    return built


def join(drafts: Sequence[Draft], paths: Sequence[Path], dataset: str, problems: Problems) -> list[Sample]:
    """Return annotated tweets with their images as samples; boxes are clipped to the images, in their pixels."""
    note_repeated(drafts, problems)
    images = read_images(drafts, paths, problems)
    samples = []
    for sample_id, draft, image in zip(sample_ids(drafts), drafts, images, strict=True):
        size_wh = image.size_wh(draft.annotated_wh)
        kept = clip_boxes(draft, size_wh, problems)
        samples.append(
            Sample(
                sample_id=sample_id,
                dataset=dataset,
                split=draft.split,
                image_id=draft.image_id,
                image_path=image.path.as_posix(),
                size_wh=size_wh,
                tokens=draft.tokens,
                text=" ".join(draft.tokens),
                entities=kept.entities,
            )
        )
    _note_percent(samples, problems)
    return _checked(samples)


def note_repeated(drafts: Sequence[Draft], problems: Problems) -> None:
    """Note tweets whose text occurs before, in the same split or in an earlier one, with both places."""
    first: dict[tuple[str, ...], Draft] = {}
    for draft in drafts:
        before = first.setdefault(draft.tokens, draft)
        if before is not draft:
            kind = "repeated_tweet" if before.split == draft.split else "shared_tweet"
            problems.add(kind, draft.split, f"{Path(draft.where).name}, before in {Path(before.where).name}")


def _note_percent(samples: Sequence[Sample], problems: Problems) -> None:
    """Note splits whose boxes keep to the upper left 100 pixels of images several times as large, all of them."""
    for split in dict.fromkeys(sample.split for sample in samples):
        shown = [
            (sample, box)
            for sample in samples
            if sample.split == split
            for entity in sample.entities
            for box in entity.boxes
        ]
        large = sum(min(sample.size_wh) > _LARGE_SIDE for sample, _ in shown)
        if len(shown) >= _ENOUGH_BOXES and large > len(shown) / 2 and max(max(box) for _, box in shown) <= _PERCENT:
            problems.add("boxes_in_percent", split, f"{len(shown)} boxes")


def _checked(samples: list[Sample]) -> list[Sample]:
    for sample in samples:
        for entity in sample.entities:
            if entity.mention != " ".join(sample.tokens[entity.start : entity.end]):
                raise DataError(f"{sample.sample_id}: mention '{entity.mention}' is not its tokens; report this")
    return samples
