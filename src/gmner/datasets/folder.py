"""A user's own data: tagged tweets with VOC boxes, or one JSON line a tweet (docs/own-data.md)."""

from pathlib import Path

from gmner.config.data import FolderDataset
from gmner.datasets.annotated import SPLITS, Draft, attach_boxes
from gmner.datasets.conll import read_conll
from gmner.datasets.jsonl import read_jsonl
from gmner.datasets.oddities import Problems
from gmner.datasets.twitter import draft_of
from gmner.datasets.voc import read_voc
from gmner.errors import DataError, MissingInputError

FORM = "train.txt, dev.txt, test.txt (tagged tokens, boxes in xml/) or train.jsonl, dev.jsonl, test.jsonl"


def read_folder(settings: FolderDataset, problems: Problems) -> list[Draft]:
    """Read the splits that a folder holds; each is a `.txt` or a `.jsonl` file.

    Raises MissingInputError where there is no split and DataError, with file and line, for what is malformed.
    """
    root = Path(settings.path)
    if not root.is_dir():
        raise MissingInputError(f"{root}: the folder of the data set is missing; expected {FORM} in it")
    drafts: list[Draft] = []
    read: set[Path] = set()
    for split in SPLITS:
        tagged, lines = root / f"{split}.txt", root / f"{split}.jsonl"
        if tagged.exists() and lines.exists():
            raise DataError(f"{root}: holds both {tagged.name} and {lines.name}; keep the one that counts")
        if tagged.exists():
            drafts += _read_tagged(settings, tagged, split, problems, read)
        elif lines.exists():
            drafts += read_jsonl(settings, lines, split)[: settings.limit]
    if not drafts:
        raise MissingInputError(f"{root}: no annotations; expected {FORM}")
    if settings.limit is None:
        for path in sorted(set((root / "xml").glob("*.xml")) - read):
            problems.add("unused_annotation", "all", path.as_posix())
    return drafts


def _read_tagged(settings: FolderDataset, path: Path, split: str, problems: Problems, read: set[Path]) -> list[Draft]:
    drafts = []
    for tweet in read_conll(path, tag_columns=2 if settings.fine else 1)[: settings.limit]:
        draft = draft_of(tweet, split, settings.labels, settings.fine, path, problems)
        boxes = path.parent / "xml" / f"{tweet.image_id}.xml"
        if boxes.exists():
            draft = attach_boxes(draft, read_voc(boxes), boxes, problems)
            read.add(boxes)
        drafts.append(draft)
    return drafts
