"""Mirrors on this machine: what is no file is refused by name and never waited for; links are followed."""

import os
import zipfile
from pathlib import Path

import pytest

from gmner.config.sources import Source
from gmner.download.source import download
from gmner.errors import DataError, MissingInputError


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    place = tmp_path / "mirror/txt"
    place.mkdir(parents=True)
    (place / "a.txt").write_text("a")
    return place.parent


def fetch(mirror: Path, out: Path) -> list[str]:
    source = Source(url="http://127.0.0.1:9/x.zip", mirror=str(mirror), keep=("txt/*.txt",))
    return [entry["path"] for entry in download("twitter-gmner", source, out)["files"]]


def test_a_pipe_in_place_of_the_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.zip")
    with pytest.raises(DataError, match=r"x\.zip: is a named pipe, expected a file"):
        fetch(tmp_path / "x.zip", tmp_path / "out")


def test_a_pipe_named_as_the_archive_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder/x.zip")
    with pytest.raises((DataError, MissingInputError), match="folder"):
        fetch(tmp_path / "folder", tmp_path / "out")


def test_a_pipe_among_the_unpacked_files(mirror: Path, tmp_path: Path) -> None:
    os.mkfifo(mirror / "txt/b.txt")
    with pytest.raises(DataError, match=r"b\.txt: is a named pipe, expected a file"):
        fetch(mirror, tmp_path / "out")


@pytest.mark.parametrize("whole", [True, False])
def test_links_are_followed_and_a_circle_ends(mirror: Path, tmp_path: Path, whole: bool) -> None:
    moved = mirror if whole else mirror / "txt"
    moved.rename(tmp_path / "elsewhere")
    moved.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/circle").symlink_to(tmp_path / "elsewhere")
    assert fetch(mirror, tmp_path / "out") == ["txt/a.txt"]


@pytest.mark.parametrize("cut", [1, 30, 60, 90])
def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path, cut: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("txt/a.txt", os.urandom(5000))
    data = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(data[: len(data) * cut // 100])
    with pytest.raises(DataError, match=r"x\.zip"):
        fetch(tmp_path / "x.zip", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.txt"))
