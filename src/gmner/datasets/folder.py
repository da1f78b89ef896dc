"""A user's own data: tagged tweets with VOC boxes, or one JSON line per tweet (docs/own-data.md)."""

from collections.abc import Sequence
from pathlib import Path

from gmner.config.data import FolderDataset
from gmner.datasets.annotated import SPLITS, Draft, attach_boxes
from gmner.datasets.conll import read_conll
from gmner.datasets.images import find_images
from gmner.datasets.jsonl import read_jsonl
from gmner.datasets.malformed import Malformed
from gmner.datasets.oddities import Problems
from gmner.datasets.samples import Built, Folders, join
from gmner.datasets.twitter import draft_of
from gmner.datasets.voc import read_voc
from gmner.errors import DataError, MissingInputError

FORM = "train.txt, dev.txt, test.txt (tagged tokens, boxes in xml/) or train.jsonl, dev.jsonl, test.jsonl"
# What other projects call the splits.
_OTHER_NAMES = {"train": {"training"}, "dev": {"val", "valid", "validation", "development"}, "test": {"testing"}}


def build_folder(settings: FolderDataset, dataset: str, folders: Folders) -> Built:
    """Make the samples of a user's folder."""
    problems = Problems()
    drafts = read_folder(settings, problems)
    return Built(join(drafts, _own_images(settings, drafts), dataset, problems), problems, drafts)


def read_folder(settings: FolderDataset, problems: Problems) -> list[Draft]:
    """Read the splits that a folder holds; each is a `.txt` or a `.jsonl` file.

    Raises MissingInputError if there is no split and DataError, with files and lines, for all that is malformed.
    """
    root = Path(settings.path)
    if not root.is_dir():
        raise MissingInputError(f"{root}: the folder of the dataset is missing; expected {FORM} in it")
    drafts: list[Draft] = []
    read: set[Path] = set()
    malformed = Malformed()
    for split in SPLITS:
        tagged, lines = root / f"{split}.txt", root / f"{split}.jsonl"
        if tagged.exists() and lines.exists():
            raise DataError(f"{root}: holds both {tagged.name} and {lines.name}; keep the one that counts")
        if tagged.exists():
            drafts += _read_tagged(settings, tagged, split, problems, read, malformed)
        elif lines.exists():
            drafts += read_jsonl(settings, lines, split, malformed)[: settings.limit]
        else:
            _refuse_other_name(root, split)
    malformed.refuse()
    if not drafts:
        raise MissingInputError(f"{root}: no annotations; expected {FORM}")
    if settings.limit is None:
        for path in sorted(set((root / "xml").glob("*.xml")) - read):
            problems.add("unused_annotation", "all", path.as_posix())
    return drafts


def _refuse_other_name(root: Path, split: str) -> None:
    """Refuse a file that looks like a missing split: left out in silence, it would be missed when scores are read."""
    names = {split, *_OTHER_NAMES[split]}
    for path in sorted(root.iterdir()):
        if path.name.partition(".")[0].lower() in names and path.suffix and not path.is_dir():
            raise DataError(
                f"{path}: looks like the split '{split}', but is not read; expected {split}.jsonl (one JSON object per "
                f"line) or {split}.txt (tagged tokens): convert it, or move it out of the folder"
            )


def _read_tagged(
    settings: FolderDataset, path: Path, split: str, problems: Problems, read: set[Path], malformed: Malformed
) -> list[Draft]:
    drafts = []
    for tweet in read_conll(path, 2 if settings.fine else 1, malformed)[: settings.limit]:
        with malformed.collecting():
            draft = draft_of(tweet, split, settings.labels, settings.fine, path, problems)
            boxes = path.parent / "xml" / f"{tweet.image_id}.xml"
            if boxes.exists():
                read.add(boxes)
                draft = attach_boxes(draft, read_voc(boxes), boxes, problems)
            drafts.append(draft)
    return drafts


def _own_images(settings: FolderDataset, drafts: Sequence[Draft]) -> list[Path]:
    images = Path(settings.path) / "images"
    named = [draft for draft in drafts if draft.image is not None]
    unnamed = [draft for draft in drafts if draft.image is None]
    how = f"Put them into {images}, named after their tweet's id with .jpg, .jpeg or .png."
    by_place = dict(zip((draft.where for draft in unnamed), find_images(unnamed, images, how), strict=True))
    missing = []
    for draft in named:
        places = (images / str(draft.image), images.parent / str(draft.image))
        path = next(filter(_is_there, places), None)
        if path is None:
            missing.append(f"{str(draft.image)[:80]} ({draft.where})")
        else:
            by_place[draft.where] = path
    if missing:
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise MissingInputError(
            f"{len(missing)} of {len(named)} images are missing: {shown}. Put them into {images}, or write "
            "'image' as their path below the dataset's folder."
        )
    return [by_place[draft.where] for draft in drafts]


def _is_there(path: Path) -> bool:
    """Say whether there is something that is no folder; what it is, its reader finds out."""
    try:
        return path.exists() and not path.is_dir()
    except PermissionError:
        raise
    except OSError:  # a name too long for the file system
        return False
