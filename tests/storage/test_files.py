"""Files are whole or not there, durable in their order, and as open to others as the umask says."""

import os
import stat
from pathlib import Path

import pytest

from gmner.config.data import DemoDataset
from gmner.config.sources import Source
from gmner.datasets.samples import Folders, build_samples
from gmner.download.source import download
from gmner.errors import DataError
from gmner.storage.files import atomic_path, read_text, write_json, write_text
from gmner.storage.tables import write_samples
from tests.helpers.write_order import write_order


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o027, 0o640)])
def test_new_files_honour_the_umask(tmp_path, umask, mask, mode):
    umask(mask)
    write_json(tmp_path / "a.json", {})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode
    assert os.umask(mask) == mask


def test_a_file_is_private_until_it_is_whole(tmp_path):
    with atomic_path(tmp_path / "a.json") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600 and not (tmp_path / "a.json").exists()


def test_bytes_are_synced_before_the_name_and_the_name_after(tmp_path, monkeypatch):
    with write_order(monkeypatch) as events:
        write_text(tmp_path / "a.txt", "x")
    assert [kind for kind, _ in events] == ["sync", "rename", "sync"]
    assert events[0][1].name.startswith(".a.txt.") and events[1][1] == tmp_path / "a.txt" and events[2][1] == tmp_path


def test_a_download_syncs_all_files_before_its_manifest(tmp_path, monkeypatch):
    mirror = tmp_path / "mirror/txt"
    mirror.mkdir(parents=True)
    for name in ("a.txt", "b.txt"):
        (mirror / name).write_text(name)
    out = tmp_path / "out"
    source = Source(url="http://127.0.0.1:1/x.zip", mirror=str(tmp_path / "mirror"), keep=("txt/*.txt",))
    with write_order(monkeypatch) as events:
        download("twitter-gmner", source, out)
    renamed = [path.name if kind == "rename" else "" for kind, path in events]
    before = events[: min(renamed.index(".manifest.json"), renamed.index("manifest.json"))]
    synced = {path.name for kind, path in before if kind == "sync"}
    assert {"a.txt", "b.txt", "txt"} <= synced
    moved = before.index(("rename", out / "txt"))
    assert ("sync", out) in before[moved:], "the folder's names are synced between the move and the manifest"


def test_drawn_images_are_synced_before_their_table(tmp_path, monkeypatch):
    with write_order(monkeypatch) as events:
        built = build_samples(DemoDataset(train=2, dev=1, test=1), "d", Folders(drawn=tmp_path / "images"))
        write_samples(tmp_path / "samples.parquet", built.samples)
    table = events.index(("rename", tmp_path / "samples.parquet"))
    synced = {path for kind, path in events[:table] if kind == "sync"}
    assert set((tmp_path / "images").iterdir()) | {tmp_path / "images"} <= synced


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"ok\nbad \xff\n", "a.txt:2: not UTF-8 (byte 0xff)"), ("é".encode()[:1], "a.txt:1: not UTF-8 (byte 0xc3)")],
)
def test_what_is_not_utf_8_is_named_by_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.txt") as error:
        read_text(tmp_path / "a.txt", "words")
    assert message in str(error.value)
