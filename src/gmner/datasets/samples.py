"""Making the samples of any data set: annotations, boxes and images joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gmner.config.data import DatasetSettings, DemoDataset, FolderDataset, TwitterDataset
from gmner.config.sources import IMAGES_DRIVE_ID
from gmner.core.records import Sample
from gmner.datasets.annotated import Draft, clip_boxes, sample_ids
from gmner.datasets.folder import read_folder
from gmner.datasets.images import find_images, read_images
from gmner.datasets.oddities import Problems
from gmner.datasets.twitter import read_twitter
from gmner.errors import DataError, MissingInputError


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a data set's parts lie; None where it needs none. `drawn` is where the demo puts its images."""

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
    """Make a data set's samples; raises MissingInputError or DataError, and never loses a sample silently."""
    problems = Problems()
    if isinstance(settings, DemoDataset):
        return Built(_draw(settings, dataset, folders.drawn), problems, [])
    if isinstance(settings, FolderDataset):
        drafts = read_folder(settings, problems)
        paths = _own_images(settings, drafts)
    else:
        drafts = read_annotations(settings, folders, problems)
        images = folders.images or (Path(settings.images_dir) if settings.images_dir else None)
        paths = find_images(drafts, images, how_to_get_images(dataset, images))
    return Built(_join(drafts, paths, dataset, problems), problems, drafts)


def read_annotations(settings: TwitterDataset, folders: Folders, problems: Problems) -> list[Draft]:
    """Read the annotations of a Twitter data set without looking for its images."""
    if folders.annotations is None:
        raise MissingInputError("the annotations of Twitter-GMNER are needed: pass --annotations-dir")
    return read_twitter(settings, folders.annotations, folders.fine, problems)


def how_to_get_images(dataset: str, images_dir: Path | None) -> str:
    """Say where the images of Twitter-GMNER and -FMNERG are, and where they are looked for."""
    place = images_dir if images_dir is not None else "a folder"
    return (
        f"They come in one archive on Google Drive: https://drive.google.com/uc?id={IMAGES_DRIVE_ID} (folders "
        f"twitter2015_images and twitter2017_images). Let the download of twitter-images fetch it, or put the "
        f"images into {place}, or set datasets.{dataset}.images_dir to where you have them, or "
        "sources.twitter-images.mirror to a copy of the archive."
    )


def _draw(settings: DemoDataset, dataset: str, images_dir: Path | None) -> list[Sample]:
    from gmner.demo.data.dataset import write_demo  # drawing is not needed to read data

    if images_dir is None:
        raise MissingInputError("the demo needs a folder for the images it draws")
    counts = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    return write_demo(images_dir, dataset, counts, settings.fine, settings.seed)


def _own_images(settings: FolderDataset, drafts: Sequence[Draft]) -> list[Path]:
    images = Path(settings.path) / "images"
    named = [draft for draft in drafts if draft.image is not None]
    unnamed = [draft for draft in drafts if draft.image is None]
    how = f"Put them into {images}, named after their tweet's id with .jpg, .jpeg or .png."
    by_id = dict(zip((draft.where for draft in unnamed), find_images(unnamed, images, how), strict=True))
    missing = []
    for draft in named:
        places = (images / str(draft.image), images.parent / str(draft.image))
        path = next(filter(_is_file, places), None)
        if path is None:
            missing.append(f"{str(draft.image)[:80]} ({draft.where})")
        else:
            by_id[draft.where] = path
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise MissingInputError(
            f"{len(missing)} of {len(named)} images are missing: {shown}. Put them into {images}, or write "
            "'image' as their path below the data set's folder."
        )
    return [by_id[draft.where] for draft in drafts]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise
    except OSError:  # a name too long for the file system
        return False


def _join(drafts: Sequence[Draft], paths: Sequence[Path], dataset: str, problems: Problems) -> list[Sample]:
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
