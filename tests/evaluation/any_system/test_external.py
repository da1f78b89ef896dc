"""A run of kind `external`: another system's file becomes predictions, scored as ours are."""

import json
from pathlib import Path
from typing import Any

import pytest

from gmner.cli import main
from gmner.config import load_config
from gmner.config.stages import ExternalStage
from gmner.core.records import Entity, Sample
from gmner.errors import ConfigError
from gmner.storage.tables import PREDICTIONS, SAMPLES, read_metadata, read_table, sample_to_row, write_table
from gmner.workflow.job import Job
from gmner.workflow.plan import Plan

BOX = (1.0, 2.0, 30.0, 40.0)
ROWS = [
    {
        "image_id": "1",
        "entities": [
            {"mention": "Jo", "type": "PER", "boxes": [list(BOX)], "confidence": 0.75},
            {"mention": "Jane", "type": "WHO"},
        ],
    }
]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    entity = Entity(0, 1, "Jo", "PER", None, (BOX,))
    tweets = [
        Sample(f"test/{n}", "d", "test", str(n), "x.png", (90, 90), ("Jo", "x"), "Jo x", (entity,)) for n in (1, 2)
    ]
    write_table(tmp_path / "samples.parquet", map(sample_to_row, tweets), SAMPLES)
    return tmp_path / "samples.parquet"


def _predict(samples: Path, rows: Any, **settings: Any) -> int:
    file = samples.with_name("theirs.json")
    file.write_text(json.dumps(rows), encoding="utf-8")
    stage = ExternalStage(**{"file": str(file), "format": None, "content": "0" * 16, "types": ("PER",), **settings})
    words = ["stage", "predictions", "--settings", stage.model_dump_json(), "--samples", str(samples)]
    return main([*words, "--out", str(samples.with_name("predictions.parquet"))])


def test_a_file_becomes_a_table_and_is_scored(samples: Path, tmp_path: Path) -> None:
    assert _predict(samples, ROWS) == 0
    table = tmp_path / "predictions.parquet"
    first, second = read_table(table, PREDICTIONS).to_pylist()
    assert first["entities"][0] == {
        "mention": "Jo", "type": "PER", "boxes": [list(BOX)], "start": 0, "end": 1, "char_start": 0, "char_end": 2,
        "confidence": 0.75,
    }  # fmt: skip
    assert [problem["code"] for problem in first["problems"]] == ["unknown_type", "not_in_text"]
    assert second["entities"] == []
    assert (read_metadata(table)["form"], read_metadata(table)["tweets_without"]) == ("entities", "1")
    words = ["stage", "scores", "--settings", json.dumps({"score": {"profile": "paper", "iou": 0.5}, "fine": False})]
    words += ["--samples", str(samples), "--predictions", str(table), "--out", str(tmp_path / "scores.json")]
    assert main(words) == 0
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert (scores["gmner"]["correct"], scores["gmner"]["predicted"], scores["gmner"]["gold"]) == (1, 2, 2)
    assert scores["percent"]["not_in_text"] == 50
    assert scores["calibration"]["predictions"] == 1


def test_another_form_than_named_and_gold_are_refused(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _predict(samples, ROWS, format="COCO") == 1
    assert "its form is 'entities', but external.format says 'COCO'" in capsys.readouterr().err
    assert _predict(samples, ROWS, file=str(samples)) == 1
    assert "holds gold annotations" in capsys.readouterr().err


def _plan(file: str | None) -> Plan:
    run: dict[str, Any] = {"kind": "external", **({"external": {"file": file}} if file else {})}
    config = {
        "datasets": {"demo": {"kind": "demo", "train": 8}},
        "backbones": {"tiny": {"kind": "tiny"}},
        "teachers": {"template": {"provider": "template"}},
        "seeds": [1, 2],
        "defaults": {"backbone": "tiny", "teacher": "template"},
        "runs": {"theirs": run},
        "tables": {"table1": {"runs": ["theirs"]}},
    }
    return Plan(load_config(config))


def test_the_plan_reads_the_file_once_and_notices_another(tmp_path: Path) -> None:
    file = tmp_path / "theirs.jsonl"
    file.write_text("{}", encoding="utf-8")
    plan = _plan(str(file))
    assert [job.stage for job in plan.jobs("train")] == []
    (job,) = plan.jobs("predictions")
    assert list(plan.inputs(job)) == [Job("samples", dataset="demo")]
    before = plan.settings(job)
    file.write_text("{ }", encoding="utf-8")
    assert _plan(str(file)).settings(job) != before
    (row,) = plan.settings(Job("tables", name="table1")).rows  # type: ignore[attr-defined]
    assert (row.kind, row.backbone, row.teacher) == ("external", "", None)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind is external without external"):
        _plan(None)
    plan = _plan(str(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match=r"runs\.theirs\.external\.file: no file at"):
        plan.settings(plan.jobs("predictions")[0])
