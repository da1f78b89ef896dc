"""Reasoning that others have published: read in several forms, accepted as it is, asked of nobody."""

import json
from pathlib import Path
from typing import Any

import pytest

from gmner.config.teachers import RationalesSettings
from gmner.errors import DataError, MissingInputError
from gmner.rationales.exchange import read_reasoning
from gmner.rationales.stage import make_rationales
from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.loopback import Server
from tests.helpers.teacher_samples import make_sample, write_samples

TWO_PARTS = "External Knowledge Analysis: Mara Quist is a singer.\nVisual Cue Analysis: She stands at [12, 34] </b>."


def stage(folder: Path, samples: Path, **teacher: Any) -> list[dict[str, Any]]:
    settings = RationalesSettings.model_validate({"name": "t", "teacher": {"provider": "published", **teacher}})
    make_rationales(settings, samples, folder / "r.parquet", folder / "report.json", folder / "store")
    return read_table(folder / "r.parquet", RATIONALES).to_pylist()


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    made = [make_sample(number, image_path=f"images/{number}.jpg") for number in range(3)]
    return write_samples(tmp_path / "samples.parquet", made)


def lines_of(*values: Any) -> bytes:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()


def test_it_is_fetched_once_accepted_as_it_is_and_a_missing_one_is_refused(tmp_path: Path, samples: Path) -> None:
    data = lines_of(*({"image_path": f"/data/train/{n}.jpg", "think": f"{TWO_PARTS} {n}"} for n in (1, 0)))
    with Server({"/cot.jsonl": data}) as server:
        for _ in range(2):
            rows = stage(tmp_path, samples, mirror=f"{server.url}/cot.jsonl")
        assert len(server.requests) == 1
    assert [row["text"] for row in rows] == [f"{TWO_PARTS} 0", f"{TWO_PARTS} 1", None]
    assert [row["reason"] for row in rows] == [None, None, "empty: no text"]
    assert {row["model"] for row in rows} == {"E2E-GMNER"}


def test_acceptance_is_chosen_per_teacher(tmp_path: Path, samples: Path) -> None:
    good = "Mara Quist: visible. Port Zelka: absent. Tavin: absent."
    mirror = tmp_path / "cot.jsonl"
    mirror.write_bytes(lines_of(*({"image_path": f"{n}.jpg", "think": text} for n, text in
                                  enumerate([TWO_PARTS, "Mara Quist sings.", good]))))  # fmt: skip
    counts = {}
    for check in ("none", "format", "verdicts"):
        rows = stage(tmp_path, samples, mirror=str(mirror), acceptance=check)
        counts[check] = sum(row["accepted"] for row in rows)
    assert counts == {"none": 3, "format": 2, "verdicts": 1}


@pytest.mark.parametrize(
    "value",
    [
        {"image_path": "a/1.jpg", "think": "why"},
        {"image": "a\\1.jpg", "reasoning": "<think>why</think>"},
        {"images": ["a/1.jpg"], "messages": [{"role": "user", "content": "x"},
                                             {"role": "assistant", "content": "<think>why</think><answer>y</answer>"}]},
        {"image_id": "1", "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "why"}]},
        {"sample_id": "train/1", "cot": "why"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("listed", [False, True])
def test_forms_of_files(tmp_path: Path, value: dict[str, Any], listed: bool) -> None:
    path = tmp_path / "x.json"
    path.write_text("\ufeff" + (json.dumps([value]) if listed else json.dumps(value) + "\r\n\r\n"))
    (one,) = read_reasoning(path)
    assert one.text == "why" and "1" in "".join(one.names)


def test_parts_by_their_headings_and_no_reasoning(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines_of({"image": "1.jpg", "think": {"A": "b", "C": "d"}}, {"image": "2.jpg", "think": None}))
    assert [one.text for one in read_reasoning(path)] == ["A: b\nC: d", ""]


def test_what_is_wrong_is_named(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(MissingInputError, match=r"nowhere: the teacher's mirror is not there; fetch it by hand"):
        stage(tmp_path, samples, mirror=str(tmp_path / "nowhere"))
    mirror = tmp_path / "cot.jsonl"
    mirror.write_bytes(lines_of({"image_path": "1.jpg"}))
    with pytest.raises(DataError, match=r"line 1: expected an object with 'image_path' and 'think'"):
        stage(tmp_path, samples, mirror=str(mirror))
    with pytest.raises(DataError, match="expected sha256 0000"):
        stage(tmp_path, samples, mirror=str(mirror), sha256="0" * 64)
