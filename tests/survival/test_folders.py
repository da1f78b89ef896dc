"""Folders that a stage fills: what was killed behind its last step is not fetched or lost again."""

import shutil
from pathlib import Path

import pytest

from gmner.config.sources import Source
from gmner.download.source import download
from gmner.errors import DataError
from gmner.models import folder
from tests.helpers.survival.project import ArchiveServer, made_archive

KEEP = ("Twitter10000_v2.0/txt/*.txt", "Twitter10000_v2.0/xml/*.xml")


def test_a_download_whose_manifest_snakemake_removed_is_still_complete(tmp_path: Path) -> None:
    server = ArchiveServer(made_archive(4))
    try:
        source, out = Source(url=server.url, keep=KEEP), tmp_path / "twitter-gmner"
        first = download("twitter-gmner", source, out)
        before, asked = (out / "manifest.json").read_bytes(), len(server.sent)
        (out / "manifest.json").unlink()
        (out / ".partial").mkdir()
        assert download("twitter-gmner", source, out) == first and len(server.sent) == asked
        assert (out / "manifest.json").read_bytes() == before and not (out / ".partial").exists()
        (out / "manifest.json").unlink()
        (out / "Twitter10000_v2.0/txt/dev.txt").unlink()  # but it is no longer whole
        assert download("twitter-gmner", source, out) == first and len(server.sent) > asked
    finally:
        server.close()


def test_a_backbone_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "tiny"
    for name, text in (("out", "old"), ("partial", "new")):
        place = out if name == "out" else tmp_path / ".tiny.partial"
        place.mkdir()
        for file in ("config.json", "tokenizer.json", "model.safetensors"):
            (place / file).write_text(text, encoding="utf-8")

    class Killed(BaseException):
        pass

    def die(path: Path, **_: object) -> None:
        if Path(path) == tmp_path / ".tiny.old" and Path(path).exists():
            (Path(path) / "config.json").unlink()  # in the middle of it
            raise Killed

    monkeypatch.setattr(folder.shutil, "rmtree", die)
    with pytest.raises(Killed):
        folder.finish_backbone(tmp_path / ".tiny.partial", out, {})
    monkeypatch.undo()
    assert (out / "config.json").read_text(encoding="utf-8") == "new"
    shutil.copytree(out, tmp_path / ".tiny.partial")
    folder.finish_backbone(tmp_path / ".tiny.partial", out, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"] and (out / "manifest.json").exists()
    (out / "config.json").unlink()
    with pytest.raises(DataError, match="no backbone"):
        folder.finish_backbone(tmp_path / "none", out, {})
