"""Finding the images of tweets, and reading their sizes without decoding them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gmner.core.frame import LARGEST_ASPECT_RATIO
from gmner.datasets.annotated import Draft
from gmner.datasets.oddities import Problems
from gmner.errors import DataError, MissingInputError
from gmner.storage.files import files_below
from gmner.storage.images import FORMATS, frame_wh, open_image, reading, upright_wh

ENDINGS = (".jpg", ".jpeg", ".png")
_SHOWN = 5
_TAIL_BYTES = 64
_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
# Wrong sizes in more than this share of the annotated images mean another set of images.
_WRONG_SIZES = 0.02
_WRONG_SIZES_AT_LEAST = 5


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file with the size of its pixels as stored and as shown upright (EXIF), width and height."""

    path: Path
    stored_wh: tuple[int, int]
    upright_wh: tuple[int, int]
    complete: bool

    def size_wh(self, annotated_wh: tuple[int, int] | None) -> tuple[int, int]:
        """Return the size that boxes count in."""
        return frame_wh(self.stored_wh, self.upright_wh, annotated_wh)


def index_images(images_dir: Path | str) -> dict[str, Path]:
    """Return the image files in a folder and its sub-folders by name without ending.

    Of two files with one name the one with the earlier path counts, JPEG before PNG.
    """
    root = Path(images_dir)
    found = [path for path in files_below(root) if path.suffix.lower() in ENDINGS]
    found.sort(key=lambda path: (ENDINGS.index(path.suffix.lower()), path.as_posix()), reverse=True)
    return {path.stem: path for path in found}


def read_image(path: Path) -> ImageFile:
    """Return what an image's header says; one without an end mark is decoded too.

    Raises DataError if it is not an image, is cut off, or is too elongated for any model.
    """
    with reading(path), path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
        stored = image.size
        upright = upright_wh(image)
        mark = _END_MARKS.get(image.format or "")
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        complete = mark is None or mark in stream.read()
    if not complete:
        open_image(path)
    if max(stored) > LARGEST_ASPECT_RATIO * min(stored):
        raise DataError(
            f"{path}: {stored[0]}x{stored[1]} pixels are too elongated, the sides may differ by a factor of "
            f"{LARGEST_ASPECT_RATIO} at most; crop it or leave its tweet out"
        )
    return ImageFile(path, stored, upright, complete)


def find_images(drafts: Sequence[Draft], images_dir: Path | str | None, how_to_get: str) -> list[Path]:
    """Return the image file of each draft.

    Raises MissingInputError saying how many are missing, the first of them, where to get them and where to put
    them; nothing is left out silently.
    """
    ids = [draft.image_id for draft in drafts]
    known = index_images(images_dir) if images_dir is not None and Path(images_dir).is_dir() else {}
    missing = list(dict.fromkeys(name for name in ids if name not in known))
    if missing:
        shown = ", ".join(f"{name}.jpg" for name in missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        place = "no folder of images was given" if images_dir is None else f"looked in {images_dir} and below it"
        raise MissingInputError(
            f"{len(missing)} of {len(dict.fromkeys(ids))} images are missing: {shown} ({place}). {how_to_get}"
        )
    return [known[name] for name in ids]


def read_images(drafts: Sequence[Draft], paths: Sequence[Path], problems: Problems) -> list[ImageFile]:
    """Read the header of each draft's image, note what is suspicious, and refuse unreadable ones, all named."""
    images: list[ImageFile] = []
    broken: list[str] = []
    cache: dict[Path, ImageFile] = {}
    for draft, path in zip(drafts, paths, strict=True):
        try:
            image = cache.get(path) or cache.setdefault(path, read_image(path))
            images.append(image)
        except DataError as error:
            broken.append(f"{draft.where}: {error}")
    if broken:
        more = f"\n… and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise DataError(f"{len(broken)} of {len(paths)} images cannot be used:\n" + "\n".join(broken[:_SHOWN]) + more)
    for draft, image in zip(drafts, images, strict=True):
        if not image.complete:
            problems.add("maybe_truncated", draft.split, image.path.as_posix())
    _check_sizes(drafts, images, problems)
    _note_identical(drafts, images, problems)
    return images


def _check_sizes(drafts: Sequence[Draft], images: Sequence[ImageFile], problems: Problems) -> None:
    annotated = wrong = 0
    for draft, image in zip(drafts, images, strict=True):
        if draft.annotated_wh is None:
            continue
        annotated += 1
        found = image.size_wh(draft.annotated_wh)
        if found != draft.annotated_wh:
            wrong += 1
            sizes = f"{found[0]}x{found[1]}, annotated {draft.annotated_wh[0]}x{draft.annotated_wh[1]}"
            problems.add("size_differs", draft.split, f"{image.path.name} is {sizes}")
    if wrong > max(_WRONG_SIZES_AT_LEAST, _WRONG_SIZES * annotated):
        raise DataError(
            f"{wrong} of {annotated} images do not have the size their boxes were drawn in, for example "
            f"{problems.examples['size_differs'][-1]}; these are not the annotated images (resized copies?): "
            "use the original ones"
        )


def _note_identical(drafts: Sequence[Draft], images: Sequence[ImageFile], problems: Problems) -> None:
    """Note groups of different files with the same bytes: only files of one length are hashed."""
    split_of = {image.path: draft.split for draft, image in zip(drafts, images, strict=True)}
    by_length: dict[int, list[Path]] = defaultdict(list)
    for path in split_of:
        by_length[path.stat().st_size].append(path)
    for group in by_length.values():
        for same in _same_content(group) if len(group) > 1 else ():
            names = ", ".join(path.name for path in same[:_SHOWN]) + (", …" if len(same) > _SHOWN else "")
            problems.add("identical_images", split_of[same[0]], f"{len(same)} files: {names}")


def _same_content(paths: Iterable[Path]) -> list[list[Path]]:
    by_digest: dict[bytes, list[Path]] = defaultdict(list)
    for path in paths:
        by_digest[hashlib.sha256(path.read_bytes()).digest()].append(path)
    return [group for group in by_digest.values() if len(group) > 1]
