"""Checkpoints: payload before the mark, damage noticed, an older one taken, the same bytes in the end."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gmner.core.records import Sample
from gmner.generation.decode import Output
from gmner.models.adapter_folder import MANIFEST_FILE, write_manifest
from gmner.storage.files import read_json, write_json
from gmner.training.best_epoch import EpochJudge, adapter_folder, best_of, can_go_on
from gmner.training.checkpoints import COMPLETE, checkpoints, complete_checkpoint, last_checkpoint
from gmner.training.stage import share_of_dev, train_adapter
from tests.helpers.training_jobs import small_job

Scores = dict[str, float]


class Scripted:
    """Dev scores as given, one per epoch, however often an epoch is judged."""

    def __init__(self, *found: float) -> None:
        self.found = iter(found)

    def __call__(self, samples: Sequence[Sample], outputs: Sequence[Output]) -> Scores:
        return {"gmner_f1": next(self.found), "mner_f1": 0.0, "eeg_f1": 0.0}


@pytest.fixture(scope="module")
def finished(
    backbone: Path,
    samples: list[Sample],
    make_targets: Callable[[int], pa.Table],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A training that has ended, with its last two checkpoints in work/ and its result in out/."""
    folder = tmp_path_factory.mktemp("finished")
    train_adapter(small_job(backbone, samples, make_targets(2)), folder / "work", folder / "out", 0.0)
    return folder


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 0x10
    path.write_bytes(b"" if how == "emptied" else bytes(data[: len(data) // 2]) if how == "truncated" else bytes(data))


def result(folder: Path) -> dict[str, bytes]:
    names = ("adapter_model.safetensors", "adapter_config.json", "curves.csv", "run.json", MANIFEST_FILE)
    return {name: (folder / name).read_bytes() for name in names}


def test_every_file_of_a_checkpoint_is_noticed_if_it_is_damaged(finished: Path, tmp_path: Path) -> None:
    (_, older), (_, newest) = checkpoints(finished / "work")
    names = sorted(path.name for path in newest.iterdir())
    wanted = (
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "adapter_model.safetensors",
        COMPLETE,
    )
    assert set(wanted) <= set(names)
    for name in names:
        for how in ("truncated", "emptied", "flipped", "removed"):
            for which, left in (([newest], older), ([older], newest), ([older, newest], None)):
                work = tmp_path / "work"
                shutil.rmtree(work, ignore_errors=True)
                shutil.copytree(finished / "work", work)
                for folder in which:
                    path = work / folder.name / name
                    path.unlink() if how == "removed" else damage(path, how)
                found = last_checkpoint(work)
                harmless = name == COMPLETE and how == "flipped" and found is not None
                assert harmless or (found.name if found else None) == (left.name if left else None), (name, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["truncated", "emptied", "flipped"])
def test_a_damaged_newest_checkpoint_falls_back_and_ends_with_the_same_bytes(
    finished: Path,
    backbone: Path,
    samples: list[Sample],
    make_targets: Callable[[int], pa.Table],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    job = small_job(backbone, samples, make_targets(2))
    newest = checkpoints(finished / "work")[-1][1]
    for path in sorted(newest.iterdir())[{"truncated": 0, "emptied": 1, "flipped": 2}[how] :: 3]:
        for each in ("work", "out"):
            shutil.rmtree(tmp_path / each, ignore_errors=True)
        shutil.copytree(finished / "work", tmp_path / "work")
        damage(tmp_path / "work" / newest.name / path.name, how)
        with caplog.at_level(logging.WARNING):
            train_adapter(job, tmp_path / "work", tmp_path / "out", 0.0)
        assert result(tmp_path / "out") == result(finished / "out"), path.name
        assert path.name == COMPLETE or f"{path.name} is damaged" in caplog.text
        caplog.clear()


def test_the_mark_is_written_after_all_payload_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def note(handle: int) -> None:
        events.append(("synced", Path(f"/proc/self/fd/{handle}").readlink().name))
        fsync(handle)

    def renamed(self: Path, target: Any) -> Any:
        events.append(("renamed", Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", renamed)
    for mark, write in ((COMPLETE, lambda folder: complete_checkpoint(folder, 3)), (MANIFEST_FILE, write_manifest)):
        folder = tmp_path / mark.removesuffix(".json")
        (folder / "below").mkdir(parents=True)
        for name in ("optimizer.pt", "below/shard.bin"):
            (folder / name).write_bytes(b"x" * 100)
        events.clear()
        write(folder)
        at = events.index(("renamed", mark))
        before = [name for what, name in events[:at] if what == "synced"]
        assert {"optimizer.pt", "shard.bin", "below", folder.name} <= set(before)
        assert before[-1].startswith(f".{mark}."), "the mark's own bytes are flushed before its name appears"
        assert ("synced", folder.name) in events[at:], "and its name after"


def judge_of(
    folder: Path, scorer: Any, over: Callable[[], Sequence[int]], monkeypatch: pytest.MonkeyPatch
) -> EpochJudge:
    def save(model: Any, place: Path, base_name: str | None = None, weights: Any = None) -> None:
        place.mkdir(parents=True)
        (place / "adapter_model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr("gmner.training.best_epoch.save_adapter", save)
    monkeypatch.setattr(EpochJudge, "_decode", lambda self: {})
    decoder: Any = type("Decoder", (), {"model": None})
    return EpochJudge(folder, decoder, [], None, scorer, finished=over)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("adapter-*"))


def test_no_adapter_goes_that_a_checkpoint_still_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = [0]
    judge = judge_of(tmp_path, Scripted(10.0, 30.0, 20.0, 5.0), lambda: over, monkeypatch)
    judge(0)
    over = [1]
    judge(1)
    assert kept(tmp_path) == ["adapter-0000", "adapter-0001"], "the checkpoint of epoch 0 may have to be resumed"
    # Killed here, before the checkpoint of epoch 1 was written; judged again, in another float order, it scores less.
    assert can_go_on(tmp_path, 1)
    resumed = judge_of(tmp_path, Scripted(9.0), lambda: over, monkeypatch)
    resumed(1)
    assert kept(tmp_path) == ["adapter-0000"] and can_go_on(tmp_path, 2)
    over = [1, 2]
    resumed = judge_of(tmp_path, Scripted(40.0), lambda: over, monkeypatch)
    resumed(2)
    assert kept(tmp_path) == ["adapter-0000", "adapter-0002"]


def test_a_lost_or_damaged_adapter_rules_a_checkpoint_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge_of(tmp_path, Scripted(10.0), lambda: [0], monkeypatch)(0)
    assert can_go_on(tmp_path, 0) and can_go_on(tmp_path, 1) and not can_go_on(tmp_path, 2)
    damage(adapter_folder(tmp_path, 0) / "adapter_model.safetensors", "flipped")
    assert not can_go_on(tmp_path, 1)
    (tmp_path / "epoch-0000.json").write_text("{")
    assert can_go_on(tmp_path, 0) and not can_go_on(tmp_path, 1)
    assert best_of({0: {"gmner_f1": 3.0}, 1: {"gmner_f1": 3.0}}, 2) == 0


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["adapter", "scores", "identity"])
def test_a_training_whose_work_folder_lost_something_still_ends(
    backbone: Path, samples: list[Sample], make_targets: Callable[[int], pa.Table], tmp_path: Path, lost: str
) -> None:
    job = small_job(backbone, samples, make_targets(2), Scripted(30.0, 20.0, 30.0, 20.0, 30.0, 20.0))
    train_adapter(job, tmp_path / "work", tmp_path / "out")
    whole = result(tmp_path / "out")
    if lost == "adapter":
        shutil.rmtree(adapter_folder(tmp_path / "work" / "epochs", 0))
    elif lost == "scores":
        damage(tmp_path / "work" / "epochs" / "epoch-0000.json", "truncated")
    else:
        damage(tmp_path / "work" / "identity.json", "truncated")
    shutil.rmtree(tmp_path / "out")
    train_adapter(job, tmp_path / "work", tmp_path / "out")
    assert result(tmp_path / "out") == whole
    assert read_json(tmp_path / "out" / "run.json")["details"]["epoch"] == 0


def test_a_damaged_mark_of_another_step_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    (folder / "optimizer.pt").write_bytes(b"1")
    complete_checkpoint(folder, 4)
    assert last_checkpoint(tmp_path) == folder
    write_json(folder / COMPLETE, {**read_json(folder / COMPLETE), "step": 5})
    assert last_checkpoint(tmp_path) is None and not folder.exists()


def test_a_share_of_dev_is_settled_and_spread(samples: list[Sample]) -> None:
    assert share_of_dev(samples, None) == share_of_dev(samples, 500) == samples
    assert share_of_dev(samples, 3) == [samples[0], samples[4], samples[8]]
