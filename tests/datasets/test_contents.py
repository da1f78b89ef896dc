"""What a user's folders hold counts in a plan: annotations by their bytes, images by size and time."""

import os
from pathlib import Path

import pytest

from gmner.datasets import contents
from gmner.datasets.contents import contents_hash
from gmner.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    for name in ("xml", "images"):
        (place / name).mkdir(parents=True)
    (place / "train.txt").write_text("a")
    (place / "xml/1.xml").write_text("b")
    (place / "images/1.jpg").write_bytes(b"c")
    return place


def hashed(folder: Path) -> str:
    contents._hash.cache_clear()
    found = contents_hash({"annotations": str(folder)})
    assert found is not None
    return found


def test_without_folders_there_is_nothing_to_hash() -> None:
    assert contents_hash({}) is None


@pytest.mark.parametrize("name", ["train.txt", "xml/1.xml", "images/1.jpg"])
def test_an_edit_counts_and_an_old_time_does_not_hide_it(folder: Path, name: str) -> None:
    before = hashed(folder)
    assert hashed(folder) == before
    path = folder / name
    path.write_bytes(b"another size")
    os.utime(path, (1, 1))
    assert hashed(folder) != before


def test_an_image_of_the_same_size_counts_by_its_time(folder: Path) -> None:
    before = hashed(folder)
    (folder / "images/1.jpg").write_bytes(b"d")
    os.utime(folder / "images/1.jpg", (2, 2))
    assert hashed(folder) != before


@pytest.mark.parametrize("name", ["xml", "images", "."])
def test_a_folder_behind_a_link_is_followed(folder: Path, tmp_path: Path, name: str) -> None:
    before = hashed(folder)
    place, elsewhere = folder / name, tmp_path / "elsewhere"
    place.resolve().rename(elsewhere)
    Path(os.path.normpath(place)).symlink_to(elsewhere)
    assert hashed(folder) == before
    (elsewhere / "2.xml").write_text("new")
    assert hashed(folder) != before


def test_links_in_a_circle_and_what_is_no_file_end(folder: Path) -> None:
    before = hashed(folder)
    (folder / "xml/loop").symlink_to(folder)
    os.mkfifo(folder / "xml/9.xml")
    (folder / "xml/gone.xml").symlink_to(folder / "nowhere")
    assert hashed(folder) == before


def test_a_missing_folder_of_annotations_is_named_and_one_of_images_is_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder at"):
        contents_hash({"annotations": str(tmp_path / "none")})
    assert contents_hash({"images": str(tmp_path / "none")})
