"""Downloads: mirrors, interruptions, checks, and errors that say what to do."""

import hashlib
import io
import json
import os
import zipfile

import gdown
import pytest
from gdown.exceptions import FileURLRetrievalError

from gmner.cli import main
from gmner.config.sources import DEFAULT_SOURCES, Source
from gmner.download.source import download, tree_digest
from gmner.errors import DataError, MissingInputError
from tests.helpers.loopback import Server

KEEP = ("txt/*.txt", "xml/*.xml")


def archive_bytes(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members or (("top/txt/train.txt", b"t" * 300_000), ("top/xml/1.xml", os.urandom(1_500_000))):
            archive.writestr(name, data)
    return buffer.getvalue()


def source(url="http://127.0.0.1:9/a.zip", **changes):
    return Source(**{"url": url, "keep": KEEP, "retries": 0, "timeout_seconds": 10, **changes})


def files_in(folder):
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in found if name != ".manifest.json"]  # a second copy of the manifest


@pytest.fixture
def out(tmp_path):
    return tmp_path / "resources" / "twitter-gmner"


def test_fetches_unpacks_and_writes_the_manifest(out):
    data = archive_bytes(("x/txt/train.txt", b"abc"), ("x/xml/1.xml", b"<a/>"), ("x/LICENSE", b"free"))
    with Server({"/a.zip": data}) as server:
        manifest = download("twitter-gmner", source(f"{server.url}/a.zip"), out)
    assert files_in(out) == ["manifest.json", "txt/train.txt", "xml/1.xml"]
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert manifest["files"][0] == {"path": "txt/train.txt", "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert manifest["tree_sha256"] == tree_digest(manifest["files"])


def test_a_complete_folder_is_left_alone(out):
    with Server({"/a.zip": archive_bytes()}) as server:
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
        asked = len(server.requests)
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
        assert len(server.requests) == asked
        (out / "xml/1.xml").write_bytes(b"cut")
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
        assert len(server.requests) > asked
    assert (out / "xml/1.xml").stat().st_size == 1_500_000


def test_a_cut_connection_is_continued_by_range_in_the_same_run(out):
    with Server({"/a.zip": archive_bytes()}, cut_after=600_000, cuts=1) as server:
        download("twitter-gmner", source(f"{server.url}/a.zip", retries=2), out)
        asked = [value for _, value in server.requests if value]
    assert len(asked) == 1 and asked[0].startswith("bytes=") and asked[0] != "bytes=0-"
    assert (out / "xml/1.xml").stat().st_size == 1_500_000


def test_an_interrupted_download_is_continued_by_the_next_run(out):
    data = archive_bytes()
    with Server({"/a.zip": data}, cut_after=600_000, cuts=1) as server:
        with pytest.raises(MissingInputError, match=r"Rerun to resume there; or set sources.twitter-gmner.mirror"):
            download("twitter-gmner", source(f"{server.url}/a.zip"), out)
        assert not (out / "manifest.json").exists()
        (part,) = (out / ".partial").glob("*.part")
        kept = part.stat().st_size
        assert 0 < kept < len(data)
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
        assert server.requests[-1][1] == f"bytes={kept}-"
    assert files_in(out) == ["manifest.json", "txt/train.txt", "xml/1.xml"]


def test_a_server_without_ranges_is_asked_for_the_whole_file_again(out):
    with Server({"/a.zip": archive_bytes()}, ranges=False, cut_after=600_000, cuts=1) as server:
        download("twitter-gmner", source(f"{server.url}/a.zip", retries=1), out)
    assert (out / "xml/1.xml").stat().st_size == 1_500_000


def test_a_missing_file_says_so_and_names_the_mirror_key(out):
    with Server({}) as server, pytest.raises(MissingInputError) as error:
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
    assert str(error.value) == (
        f"{server.url}/a.zip: the server answered 404 Not Found; or set sources.twitter-gmner.mirror to another "
        "address or to a local copy (a.zip)"
    )


def test_a_server_that_cannot_be_reached(out):
    with pytest.raises(MissingInputError, match=r"cannot be fetched .*rerun to resume; or set sources.twitter-gmner"):
        download("twitter-gmner", source("http://127.0.0.1:9/a.zip"), out)


def test_a_web_page_in_place_of_the_archive(out):
    page = b"\n<!DOCTYPE html><html>Quota exceeded</html>"
    with Server({"/a.zip": page}) as server, pytest.raises(DataError) as error:
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
    assert "a.zip: sent a web page in place of the file; or set sources.twitter-gmner.mirror" in str(error.value)
    assert not list((out / ".partial").iterdir())


def test_drive_refusing_the_file(out, monkeypatch):
    def refuse(*_, **__):
        raise FileURLRetrievalError("Too many users have viewed or downloaded\n\tthis file recently.")

    monkeypatch.setattr(gdown, "download", refuse)
    with pytest.raises(MissingInputError) as error:
        download("twitter-images", Source(**DEFAULT_SOURCES["twitter-images"]), out)
    assert str(error.value) == (
        "https://drive.google.com/uc?id=1PpvvncnQkgDNeBMKVgG2zFYuRhbL873g: Google Drive does not hand out the file "
        "(Too many users have viewed or downloaded this file recently.). Wait a day, or fetch it in a browser; or set "
        "sources.twitter-images.mirror to another address or to a local copy (IJCAI2019_data.zip)"
    )


def test_wrong_checksum_of_the_archive_removes_it(out):
    data = archive_bytes()
    with Server({"/a.zip": data}) as server:
        with pytest.raises(DataError) as error:
            download("twitter-gmner", source(f"{server.url}/a.zip", sha256={"a.zip": "0" * 64}), out)
        found = hashlib.sha256(data).hexdigest()
        assert f"twitter-gmner: a.zip has SHA-256 {found}, expected {'0' * 64}; what was fetched is removed" in str(
            error.value
        )
        assert not (out / ".partial").exists()
        download("twitter-gmner", source(f"{server.url}/a.zip", sha256={"a.zip": found}), out)


def test_wrong_checksum_of_a_file_and_of_the_tree(out):
    with Server({"/a.zip": archive_bytes()}) as server:
        with pytest.raises(DataError, match=r"txt/train\.txt has SHA-256"):
            download("twitter-gmner", source(f"{server.url}/a.zip", sha256={"txt/train.txt": "0" * 64}), out)
        with pytest.raises(DataError, match=r"do not have the known contents: expected tree_sha256 000.*to null"):
            download("twitter-gmner", source(f"{server.url}/a.zip", tree_sha256="0" * 64), out)
    assert not (out / "manifest.json").exists()


def test_a_refused_archive_is_not_kept_for_the_next_run(out):
    with (
        Server({"/a.zip": archive_bytes(("../evil", b"x"))}) as server,
        pytest.raises(DataError, match="points outside"),
    ):
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
    assert files_in(out) == []
    assert files_in(out.parent) == [".twitter-gmner.lock"]


@pytest.mark.parametrize("form", ["file", "folder", "url", "unpacked", "http", "http folder"])
def test_mirrors(out, tmp_path, form):
    data = archive_bytes()
    local = tmp_path / "mirror"
    local.mkdir()
    (local / "a.zip").write_bytes(data)
    with Server({"/copy/a.zip": data}) as server:
        places = {
            "file": str(local / "a.zip"),
            "folder": str(local),
            "url": (local / "a.zip").as_uri(),
            "http": f"{server.url}/copy/a.zip",
            "http folder": f"{server.url}/copy/",
        }
        if form == "unpacked":
            with zipfile.ZipFile(local / "a.zip") as archive:
                archive.extractall(tmp_path / "unpacked")
            places[form] = str(tmp_path / "unpacked")
        manifest = download("twitter-gmner", source(mirror=places[form]), out)
    assert [entry["path"] for entry in manifest["files"]] == ["txt/train.txt", "xml/1.xml"]
    assert manifest["taken_from"] == places[form]
    assert (local / "a.zip").read_bytes() == data


def test_what_an_interrupted_run_left_is_cleared(out):
    (out / ".incoming/xml").mkdir(parents=True)
    (out / ".incoming/xml/half.xml").write_bytes(b"<a")
    (out / "xml").mkdir()
    (out / "xml/old.xml").write_bytes(b"<a/>")
    with Server({"/a.zip": archive_bytes(("xml/1.xml", b"<b/>"))}) as server:
        download("twitter-gmner", source(f"{server.url}/a.zip"), out)
    assert files_in(out) == ["manifest.json", "xml/1.xml"]


def test_a_folder_that_cannot_be_written_is_an_error_not_a_traceback(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"twitter-gmner: cannot be put into .*fix this and rerun"):
        download("twitter-gmner", source(), tmp_path / "file" / "twitter-gmner")


def test_mirrors_that_hold_nothing(out, tmp_path):
    with pytest.raises(MissingInputError, match=r"sources.twitter-gmner.mirror: .*nowhere does not exist"):
        download("twitter-gmner", source(mirror=str(tmp_path / "nowhere")), out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match=r"holds neither a.zip nor files like txt/\*.txt, xml/\*.xml"):
        download("twitter-gmner", source(mirror=str(tmp_path / "empty")), out)


def test_single_files_from_the_web_and_from_a_folder(out, tmp_path):
    names = ("train.txt", "dev.txt")
    with Server({"/labels/train.txt": b"1", "/labels/dev.txt": b"2"}) as server:
        download("twitter-fmnerg", source(f"{server.url}/labels", files=names), out)
        with pytest.raises(MissingInputError, match=r"test.txt: the server answered 404 .*local copy \(test.txt\)"):
            download("twitter-fmnerg", source(f"{server.url}/labels", files=("test.txt",)), tmp_path / "other")
    assert files_in(out) == ["dev.txt", "manifest.json", "train.txt"]
    download("twitter-fmnerg", source(files=names, mirror=str(out)), tmp_path / "copy")
    assert (tmp_path / "copy/dev.txt").read_bytes() == b"2"
    (out / "dev.txt").unlink()
    with pytest.raises(MissingInputError, match=r"dev.txt is missing; expected train.txt, dev.txt in"):
        download("twitter-fmnerg", source(files=names, mirror=str(out)), tmp_path / "third")


def test_the_command_reports_errors_without_a_traceback(out, tmp_path, capsys):
    settings = {"name": "twitter-gmner", "source": {"url": "http://x/a.zip", "mirror": str(tmp_path / "nowhere")}}
    assert main(["stage", "download", "--settings", json.dumps(settings), "--out-dir", str(out)]) == 1
    shown = capsys.readouterr().err
    assert "error: sources.twitter-gmner.mirror:" in shown and "Traceback" not in shown


def test_the_real_annotations_have_the_known_contents(shared_dir, out):
    settings = Source(**{**DEFAULT_SOURCES["twitter-gmner"], "mirror": str(shared_dir / "data")})
    manifest = download("twitter-gmner", settings, out)
    assert len(manifest["files"]) == 11_231
    assert (out / "Twitter10000_v2.0/txt/train.txt").exists()
