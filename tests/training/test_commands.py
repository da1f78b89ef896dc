"""The commands `train` and `generate` from tables to a table, as the rules call them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gmner.cli import main
from gmner.core.records import Sample
from gmner.storage.files import read_json, write_json
from gmner.storage.tables import OUTPUTS, SAMPLES, TARGETS, read_metadata, read_table, sample_to_row, write_table
from tests.helpers.tiny_training import FRAME, TYPES

QUESTION = {"prompt": "short", "cot": True, "types": list(TYPES), "fine": False}
GENERATE = {"batch_size": 4, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def place(
    samples: list[Sample],
    backbone: Path,
    make_targets: Callable[[int], pa.Table],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    tested = [replace(s, split="test", sample_id=f"test/{s.image_id}") for s in samples if s.split == "dev"]
    write_table(folder / "samples.parquet", [sample_to_row(sample) for sample in [*samples, *tested]], SAMPLES)
    write_table(folder / "targets.parquet", make_targets(1), TARGETS)
    return folder


def backbone_settings(backbone: Path) -> dict[str, Any]:
    return {"kind": "local", "path": str(backbone), "frame": FRAME.to_json()}


def train(place: Path, backbone: Path, out: Path, **changes: Any) -> int:
    settings = {
        "run": "full",
        "dataset": "d",
        "backbone": backbone_settings(backbone),
        "question": QUESTION,
        "train": {"epochs": 1, "accumulation": 1, "select": "last", "learning_rate": 5e-2},
        **changes,
    }
    return main(
        [
            *("stage", "train", "--settings", json.dumps(settings), "--samples", str(place / "samples.parquet")),
            *("--targets", str(place / "targets.parquet"), "--backbone", str(backbone), "--seed", "1"),
            *("--work-dir", str(out.parent / f"work-{out.name}"), "--out-dir", str(out)),
        ]
    )


def generate(place: Path, backbone: Path, out: Path, *more: str, frame: Any = None, **changes: Any) -> int:
    where = {**backbone_settings(backbone), **({"frame": frame} if frame else {})}
    settings = {"backbone": where, "generate": GENERATE, **changes}
    return main(
        [
            *("stage", "generate", "--settings", json.dumps(settings), "--samples", str(place / "samples.parquet")),
            *("--backbone", str(backbone), "--work-dir", str(out.parent / f"work-{out.name}")),
            *("--out", str(out), *more),
        ]
    )


@pytest.fixture(scope="module")
def trained(place: Path, backbone: Path) -> Path:
    assert train(place, backbone, place / "run") == 0
    return place / "run"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return read_table(path, OUTPUTS).to_pylist()


def test_every_test_sample_has_one_row_and_the_adapter_changes_it(trained: Path, place: Path, backbone: Path) -> None:
    assert generate(place, backbone, place / "tuned.parquet", "--adapter", str(trained)) == 0
    assert generate(place, backbone, place / "plain.parquet", question=QUESTION) == 0
    tuned, plain = rows_of(place / "tuned.parquet"), rows_of(place / "plain.parquet")
    assert [row["sample_id"] for row in tuned] == [f"test/{number}" for number in range(8, 12)]
    assert [row["output"] for row in tuned] != [row["output"] for row in plain]
    assert read_metadata(place / "tuned.parquet")["tuned"] == "True"


def test_a_merged_adapter_answers_alike(trained: Path, place: Path, backbone: Path) -> None:
    assert generate(place, backbone, place / "a.parquet", "--adapter", str(trained)) == 0
    merged = {**GENERATE, "merge": True}
    assert generate(place, backbone, place / "b.parquet", "--adapter", str(trained), generate=merged) == 0
    assert rows_of(place / "a.parquet") == rows_of(place / "b.parquet")


def test_the_frame_comes_from_the_run_and_nowhere_else(trained: Path, place: Path, backbone: Path) -> None:
    other = {"min_pixels": 784, "max_pixels": 3136}
    assert generate(place, backbone, place / "c.parquet", "--adapter", str(trained), frame=other) == 0
    assert generate(place, backbone, place / "d.parquet", "--adapter", str(trained)) == 0
    assert rows_of(place / "c.parquet") == rows_of(place / "d.parquet")


def test_the_same_inputs_give_the_same_bytes(trained: Path, place: Path, backbone: Path) -> None:
    again = place / "again"
    assert train(place, backbone, again) == 0
    for name in ("adapter_model.safetensors", "adapter_config.json", "curves.csv", "curves.png", "run.json"):
        assert (again / name).read_bytes() == (trained / name).read_bytes(), name


def test_an_unfinished_or_foreign_run_is_refused(
    trained: Path, place: Path, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "run"
    other.mkdir()
    for path in trained.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    arguments = (place, backbone, place / "e.parquet", "--adapter", str(other))
    run = read_json(other / "run.json")
    write_json(other / "run.json", {**run, "backbone": {**run["backbone"], "manifest_sha256": "0"}})
    assert generate(*arguments) == 1
    assert "give the run's own backbone" in capsys.readouterr().err
    write_json(other / "run.json", {**run, "prompt_version": "short-old"})
    assert generate(*arguments) == 1
    assert "its wording is short-" in capsys.readouterr().err
    (other / "manifest.json").unlink()
    assert generate(*arguments) == 1
    assert "expected the folder of a finished run" in capsys.readouterr().err
    assert generate(place, backbone, place / "e.parquet") == 1
    assert "an untuned run needs 'question'" in capsys.readouterr().err


def test_the_best_epoch_is_chosen_on_dev(place: Path, backbone: Path) -> None:
    pytest.importorskip("gmner.core.answer")
    best = {"epochs": 1, "select": "best", "eval_samples": 2, "gradient_checkpointing": False}
    out = place / "best"
    assert train(place, backbone, out, train=best, generate=GENERATE, score={}) == 0
    dev = read_json(out / "run.json")["details"]["dev"]["0"]
    assert set(dev) == {"gmner_f1", "mner_f1", "eeg_f1"} and all(0 <= score <= 100 for score in dev.values())


def test_shards_gathered_are_the_bytes_of_the_whole(
    trained: Path, place: Path, backbone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by = ("--adapter", str(trained))
    small = {**GENERATE, "batch_size": 1}
    assert generate(place, backbone, place / "whole.parquet", *by, generate=small) == 0
    shards = [place / f"{number}-of-3.parquet" for number in range(3)]
    for path in shards:
        assert generate(place, backbone, path, *by, "--shard", path.stem, generate={**small, "shards": 3}) == 0
    assert sorted(len(rows_of(path)) for path in shards) == [1, 1, 2]
    assert generate(place, backbone, place / "all.parquet", "--gather", *map(str, shards)) == 0
    assert (place / "all.parquet").read_bytes() == (place / "whole.parquet").read_bytes()
    assert generate(place, backbone, place / "less.parquet", "--gather", *map(str, shards[1:])) == 1
    assert "samples are in no shard" in capsys.readouterr().err
    assert generate(place, backbone, place / "less.parquet", *by, "--shard", "3-of-3") == 1
    assert "expected <number>-of-<count>" in capsys.readouterr().err
