"""Half-written files: what a killed process leaves is known by its name, and nothing else is."""

import subprocess
import sys
from pathlib import Path

import pytest

from gmner.llm_client.folders import lock_of
from gmner.storage.files import half_written, is_half_written, remove_half_written, write_json

DIE = """
import os, sys
from gmner.storage.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def die_while_writing(path: Path) -> Path:
    """Let a process be killed while it writes a file; return what it left."""
    before = set(path.parent.glob(".*")) if path.parent.exists() else set()
    assert subprocess.run([sys.executable, "-c", DIE, str(path)]).returncode == -9
    (left,) = set(path.parent.glob(".*")) - before
    assert not path.exists()
    return left


@pytest.mark.parametrize("name", ["samples.parquet", "table1.csv", "batch-000003.json", "answers.tar.gz"])
def test_what_a_killed_writer_leaves_is_known_and_removed(tmp_path: Path, name: str) -> None:
    left = die_while_writing(tmp_path / "results" / name)
    write_json(tmp_path / "results" / "whole.json", {})
    assert is_half_written(left.name) and list(half_written(tmp_path)) == [left]
    assert remove_half_written(tmp_path) == 1
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["whole.json"]


@pytest.mark.parametrize(
    "name",
    [
        "samples.parquet",
        ".manifest.json",
        ".gitignore",
        ".samples.parquet.abcdefgh.json",
        ".samples.parquet.ABCDEFGH.parquet",
        ".samples.parquet.abcdefghi.parquet",
        ".gitignore.template",
    ],
)
def test_other_files_are_left_alone(name: str) -> None:
    assert not is_half_written(name)


def test_a_teachers_store_clears_up_for_itself_and_links_are_not_followed(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    left = die_while_writing(store / "answers.parquet")
    foreign = die_while_writing(other / "answers.parquet")
    (store / "link").symlink_to(other)
    with lock_of(store):
        assert not left.exists() and foreign.exists()
