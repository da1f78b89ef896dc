"""Rows over train.max_length: found and handled where the targets are made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gmner.config.root import load_config
from gmner.config.run import RowLimit
from gmner.config.stages import TargetsStage
from gmner.core.records import Entity, Sample
from gmner.errors import DataError
from gmner.storage.tables import (
    RATIONALES,
    SAMPLES,
    TARGETS,
    read_metadata,
    read_table,
    sample_to_row,
    write_table,
)
from gmner.targets.stage import make_targets
from gmner.workflow.job import Job
from gmner.workflow.plan import Plan


class Words:
    """Counts blank-separated words, ten for every prompt."""

    def prompts(self, samples: Sequence[Sample]) -> Any:
        return np.full(len(samples), 10)

    def completions(self, texts: Sequence[str]) -> Any:
        return np.array([len(text.split(" ")) for text in texts])


def made(folder: Path, reasons: list[int], **limit: Any) -> tuple[bytes, list[dict[str, Any]], dict[str, str]]:
    entity = Entity(0, 1, "Ann", "PER", boxes=((1.0, 2.0, 40.0, 50.0),))
    samples = [
        Sample(f"train/{n}", "d", "train", str(n), f"{n}.jpg", (300, 200), ("Ann", "x"), "Ann x", (entity,))
        for n in range(len(reasons))
    ]
    write_table(folder / "samples.parquet", map(sample_to_row, samples), SAMPLES)
    said = {"teacher": "t", "provider": "template", "model": "m", "prompt_version": "v", "key": "k", "tries": 1}
    rows = [
        {"sample_id": f"train/{n}", "text": " ".join(["w"] * words), "accepted": True, "reason": None, **said}
        for n, words in enumerate(reasons)
    ]
    write_table(folder / "rationales.parquet", rows, RATIONALES)
    frame = {"coordinates": "absolute", "min_pixels": 3136, "max_pixels": 802816, "factor": 28}
    stage = TargetsStage(
        cot=True, epochs=2, grbp={}, frame=frame, fine=False, when_refused="drop", limit=RowLimit(**limit)
    )
    out = folder / "targets.parquet"
    make_targets(stage, folder / "samples.parquet", folder / "rationales.parquet", 1, out, Words())
    return out.read_bytes(), read_table(out, TARGETS).to_pylist(), read_metadata(out)


def test_a_limit_that_no_row_exceeds_changes_no_byte(tmp_path: Path) -> None:
    plain = made(tmp_path, [5, 20], max_length=100, overlong="error")
    assert made(tmp_path, [5, 20], max_length=31, overlong="truncate_reasoning")[0] == plain[0]
    assert made(tmp_path, [5, 20], max_length=30, overlong="drop")[0] == plain[0]
    assert plain[2]["longest_row"] == "30"
    assert made(tmp_path, [5, 20], max_length=29, overlong="drop")[0] != plain[0]


def test_reasoning_is_shortened_to_what_fits_and_the_answer_stays_whole(tmp_path: Path) -> None:
    _, rows, told = made(tmp_path, [5, 20], max_length=22, overlong="truncate_reasoning")
    long = [row["completion"] for row in rows if row["sample_id"] == "train/1"]
    assert len(long) == 2 and all(text.startswith("<think>w w") and text.endswith("</answer>") for text in long)
    assert {len(text.split(" ")) for text in long} == {12}
    assert json.loads(told["overlong"]) == {
        "rows": 2, "dropped": [], "max_length": 22, "overlong": "truncate_reasoning",
    }  # fmt: skip


def test_a_sample_is_dropped_from_every_epoch(tmp_path: Path) -> None:
    _, rows, told = made(tmp_path, [5, 20], max_length=22, overlong="drop")
    assert [(row["epoch"], row["sample_id"]) for row in rows] == [(0, "train/0"), (1, "train/0")]
    assert json.loads(told["overlong"])["dropped"] == ["train/1"]


def test_what_must_not_be_is_an_error_here_and_not_on_a_gpu(tmp_path: Path) -> None:
    said = r"1 samples are longer than train.max_length = 22 tokens; the longest is 'train/1' with 30 in epoch 0"
    with pytest.raises(DataError, match=said):
        made(tmp_path, [5, 20], max_length=22)
    with pytest.raises(DataError, match="every sample is longer"):
        made(tmp_path, [50, 50], max_length=16, overlong="drop")


def test_another_limit_makes_targets_again_and_trains_only_on_other_targets(repo: Path) -> None:
    import yaml

    given = yaml.safe_load((repo / "workflow/configs/paper.yaml").read_text())
    given["defaults"] = {**given["defaults"], "train": {"max_length": 1024, "overlong": "drop"}}
    plain = Plan(load_config(yaml.safe_load((repo / "workflow/configs/paper.yaml").read_text())))
    other = Plan(load_config(given))
    job = Job("targets", dataset="twitter-gmner", run="full", seed=42)
    assert plain.content(job) != other.content(job)
    for stage in ("train", "generate", "scores"):
        later = job.at(stage)
        assert plain.content(later) == other.content(later) and plain.upstream(later) == other.upstream(later)
