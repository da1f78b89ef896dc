"""`gmner import-data`: a split annotated in Label Studio or COCO, written into a dataset folder."""

import argparse
import json
import logging
import shutil
from pathlib import Path

from gmner.datasets.exchange import read_exchange
from gmner.datasets.images import index_images
from gmner.errors import DataError, MissingInputError
from gmner.storage.files import atomic_path, refuse_special, write_text

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", type=Path, help="Label Studio's JSON export, or COCO with mentions")
    parser.add_argument("--split", choices=["train", "dev", "test"], required=True, help="what the tweets are for")
    parser.add_argument("--out", type=Path, required=True, help="the dataset's folder, for instance data/mine")
    parser.add_argument("--images", type=Path, help="folder with the images: they are copied to OUT/images")


def run(args: argparse.Namespace) -> int:
    """Convert a file; nothing that is there is overwritten."""
    target = args.out / f"{args.split}.jsonl"
    if target.exists():
        raise DataError(f"{target}: is there already; remove it, or name another folder or split")
    lines = read_exchange(args.file)
    if args.images is not None:
        _copy_images([line["image"] for line in lines], args.images, args.out / "images")
    write_text(target, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    log.info("%s: %d tweets; next: gmner init NAME --path %s", target, len(lines), args.out)
    return 0


def _copy_images(names: list[str], source: Path, target: Path) -> None:
    if not source.is_dir():
        raise MissingInputError(f"{source}: no folder; --images names the folder with the images")
    known = index_images(source)
    missing = sorted({name for name in names if Path(name).stem not in known})
    if missing:
        raise MissingInputError(f"{source}: {len(missing)} images are missing, for instance {', '.join(missing[:5])}")
    for name in names:
        found = known[Path(name).stem]
        refuse_special(found)
        if not (target / name).exists():
            with atomic_path(target / name) as temporary:
                shutil.copyfile(found, temporary)
