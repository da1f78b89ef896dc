"""The same faults in the commands that run a model: train, generate, annotate."""

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.demo_stages import Demo, digests
from tests.helpers.faults import Faults
from tests.helpers.machine import check, completes, left_whole, noted
from tests.helpers.refusals import full, read_only, signalled, small_disk, unreadable, with_memory

pytestmark = pytest.mark.slow
MODELS = ("generate", "train", "annotate")


@pytest.fixture(scope="module")
def demo(repo: Path, everybodys: Path) -> Demo:
    os.environ["HF_HUB_OFFLINE"] = "1"
    made = Demo(everybodys / "models", repo)
    made.make("samples", "backbone", "rationales", "targets", "train", "generate", "annotate")
    return made


@pytest.mark.parametrize("name", MODELS)
def test_a_full_disk(name: str, demo: Demo, tmp_path: Path, faults: Faults) -> None:
    place = tmp_path / "disk"
    with small_disk(place):
        # A training begins, and then finds no room for its checkpoint.
        with full(place, left=300_000 if name == "train" else 0):
            ran = demo.stage(name).run(place)
        assert ran.code == 1 and ran.err.count("error: ") == 1, ran.err
        assert "the disk is full; make room" in ran.error and "\n" not in ran.error
        assert not list(place.rglob("manifest.json")) and not list(place.rglob("outputs.parquet"))
        completes(place, demo, name)
    noted(faults, "disk full", name, ran.error)


@pytest.mark.parametrize("name", MODELS)
def test_a_read_only_file_system(name: str, demo: Demo, tmp_path: Path, faults: Faults) -> None:
    place = tmp_path / "disk"
    with small_disk(place):
        with read_only(place):
            line = check(demo.stage(name).run(place), place, {}, demo, name)
        assert "read-only" in line and not digests(place)
    noted(faults, "read-only", name, line)


@pytest.mark.parametrize("name", ["generate", "annotate"])
def test_a_signal_before_a_file_has_its_name(
    name: str, demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with signalled(monkeypatch, signal.SIGTERM):
        ran = demo.stage(name).run(tmp_path)
    assert ran.code == 128 + signal.SIGTERM and ran.err == "interrupted; rerun the same command to resume\n"
    left_whole(tmp_path, {}, demo, name)
    completes(tmp_path, demo, name)


def test_weights_that_may_not_be_read(demo: Demo, everybodys: Path, faults: Faults) -> None:
    place = everybodys / "unread"
    place.mkdir()
    place.chmod(0o777)
    with unreadable(demo.result("tiny/model.safetensors")):
        line = check(demo.stage("generate").run(place), place, {}, demo, "generate")
    assert "permission denied" in line.lower() and "run the backbone stage again" not in line
    noted(faults, "no permission to read the weights", "generate", line)


def test_too_little_memory_to_train(demo: Demo, tmp_path: Path) -> None:
    """Which of many libraries is the one that finds no room is chance, and some have no words for it: a few limits."""
    told = []
    for megabytes in (60, 80, 100):
        done = with_memory(megabytes, "gmner.training.stage", *demo.stage("train").words_in(tmp_path / str(megabytes)))
        assert done.returncode != 0 and not list(tmp_path.rglob("adapter/manifest.json")), done.stderr
        told.append(done.stderr)
        if done.stderr.count("error: not enough memory") == 1 and "Traceback" not in done.stderr:
            return
    raise AssertionError("\n".join(told))
