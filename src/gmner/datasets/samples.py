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
    return _checked(samples)


def _checked(samples: list[Sample]) -> list[Sample]:
    for sample in samples:
        for entity in sample.entities:
            if entity.mention != " ".join(sample.tokens[entity.start : entity.end]):
                raise DataError(f"{sample.sample_id}: mention '{entity.mention}' is not its tokens; report this")
    return samples
