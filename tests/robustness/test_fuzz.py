"""The fuzz targets over their corpus and for a few seconds: fuzz/README.md has the long runs."""

import sys
from pathlib import Path

import pytest

NAMES = ("answer", "conll", "voc", "jsonl", "config")


@pytest.fixture(scope="module", autouse=True)
def on_path(repo: Path) -> None:
    sys.path.insert(0, str(repo / "fuzz"))


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_ends_as_it_should(name: str) -> None:
    from run import checked, read_corpus

    inputs = read_corpus(name)
    assert inputs
    for data in inputs:
        checked(name, data)


@pytest.mark.parametrize("name", NAMES)
def test_drawn_inputs_end_as_they_should(name: str) -> None:
    from run import with_hypothesis

    assert with_hypothesis(name, 0.01) >= 100


def test_every_target_is_named_and_nothing_bad_is_left(repo: Path) -> None:
    from targets import TARGETS, WORDS

    assert set(TARGETS) == set(WORDS) == set(NAMES)
    page = (repo / "fuzz/README.md").read_text()
    assert all(f"| {name} |" in page for name in NAMES)
    assert not list((repo / "fuzz").glob("findings/*/*"))
