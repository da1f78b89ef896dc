"""Unpacking archives by others: what is wanted comes out, what is dangerous is refused."""

import contextlib
import io
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.download.archive import Limits, unpack, wanted_path
from gmner.errors import DataError

KEEP = ("xml/*.xml", "txt/*.txt")
LIMITS = Limits(max_files=100, max_bytes=10_000_000)


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def tar_of(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            info = info if isinstance(info, tarfile.TarInfo) else tarfile.TarInfo(info)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


GOOD = [("top/xml/1.xml", b"<a/>"), ("top/xml/2.xml", b"<b/>"), ("top/README", b"x"), ("top/txt/a.txt", b"t")]


@pytest.mark.parametrize("make", [lambda p: zip_of(p / "a.zip", GOOD), lambda p: tar_of(p / "a.zip", GOOD)])
def test_unpacks_the_wanted_files_whatever_the_ending_says(tmp_path, make):
    archive = make(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    assert unpack(archive, out, KEEP, LIMITS) == ["txt/a.txt", "xml/1.xml", "xml/2.xml"]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "txt/a.txt",
        "xml/1.xml",
        "xml/2.xml",
    ]
    assert (out / "xml/2.xml").read_bytes() == b"<b/>"


def info(name, kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def linked_zip(path):
    link = zipfile.ZipInfo("top/xml/1.xml")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zip_of(path, [(link, "/etc/passwd")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: zip_of(p, [("/xml/1.xml", b"")]), "member '/xml/1.xml' points outside the folder"),
        (lambda p: zip_of(p, [("../xml/1.xml", b"")]), "member '../xml/1.xml' points outside the folder"),
        (lambda p: zip_of(p, [*GOOD, ("a/../../b", b"")]), "member 'a/../../b' points outside the folder"),
        (lambda p: zip_of(p, [("C:/xml/1.xml", b"")]), "member 'C:/xml/1.xml' points outside the folder"),
        (lambda p: zip_of(p, [("a\\xml\\1.xml", b"")]), "points outside the folder"),
        (linked_zip, "'top/xml/1.xml' is a link, a device or encrypted, which is refused"),
        (lambda p: tar_of(p, [("../xml/1.xml", b"")]), "member '../xml/1.xml' points outside the folder"),
        (lambda p: tar_of(p, [("/xml/1.xml", b"")]), "member '/xml/1.xml' points outside the folder"),
        (lambda p: tar_of(p, [(info("xml/1.xml", tarfile.SYMTYPE, "/etc/passwd"), b"")]), "is a link, a device"),
        (lambda p: tar_of(p, [(info("xml/1.xml", tarfile.LNKTYPE, "/etc/passwd"), b"")]), "is a link, a device"),
        (lambda p: tar_of(p, [(info("xml/1.xml", tarfile.FIFOTYPE), b"")]), "is a link, a device"),
        (lambda p: zip_of(p, [("a/xml/1.xml", b""), ("b/xml/1.xml", b"")]), "'xml/1.xml' is in it twice"),
        (lambda p: zip_of(p, [("a/readme", b"x")]), "holds none of the wanted files (xml/*.xml, txt/*.txt)"),
        (lambda p: zip_of(p, [(f"xml/{n}.xml", b"") for n in range(101)]), "holds 101 files, more than max_files 100"),
        (lambda p: zip_of(p, [("xml/1.xml", bytes(9_999_999)), ("xml/2.xml", b"12")]), "more than max_bytes 10000000"),
        (lambda p: zip_of(p, [("xml/1.xml", bytes(30_000_000))]), "a decompression bomb?"),
    ],
)
def test_dangerous_archives_are_refused_and_nothing_is_written(tmp_path, make, message):
    archive = make(tmp_path / "a.zip")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError) as error:
        unpack(archive, out, KEEP, LIMITS)
    assert message in str(error.value)
    assert str(archive) in str(error.value)
    assert not any(path.is_file() for path in out.rglob("*"))


def test_a_damaged_member_is_named_as_damage(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("xml/1.xml", b"intact text")
    archive.write_bytes(archive.read_bytes().replace(b"intact text", b"broken text"))
    with pytest.raises(DataError, match=r"the archive is damaged .Bad CRC-32.*fetch it again"):
        unpack(archive, tmp_path, KEEP, LIMITS)


def test_a_truncated_tar_is_refused(tmp_path):
    archive = tar_of(tmp_path / "a.tar", [("xml/1.xml", bytes(range(256)) * 400)], mode="w")
    archive.write_bytes(archive.read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"a\.tar: .*fetch it again"):
        unpack(archive, tmp_path, KEEP, LIMITS)


@pytest.mark.parametrize("data", [b"Rar!\x1a\x07\x01\x00rest", b"", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_described(tmp_path, data):
    archive = tmp_path / "a.zip"
    archive.write_bytes(data)
    with pytest.raises(DataError) as error:
        unpack(archive, tmp_path, KEEP, LIMITS)
    assert f"expected a zip or tar archive, found {len(data)} bytes that begin with {data[:16]!r}" in str(error.value)


@given(st.text(alphabet="ax./\\:\0", min_size=1, max_size=12))
def test_no_name_leads_outside_the_folder(name):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        out = root / "deep" / "out"
        out.mkdir(parents=True)
        member = zipfile.ZipInfo("x")
        member.filename = member.orig_filename = name
        archive = zip_of(root / "a.zip", [(member, b"data")])
        with contextlib.suppress(DataError):
            unpack(archive, out, ("*", "*/*"), LIMITS)
        outside = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(out)]
        assert outside == [archive]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("top/xml/1.xml", "xml/1.xml"),
        ("xml/1.xml", "xml/1.xml"),
        ("xml/deep/1.xml", None),
        ("1.xml", None),
        ("__MACOSX/xml/1.xml", None),
        ("top/xml/._1.xml", None),
    ],
)
def test_wanted_paths(name, path):
    assert wanted_path(name, KEEP) == path
