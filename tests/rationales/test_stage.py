import json
import subprocess
import sys
from pathlib import Path

import pytest

from gmner.cli import main
from gmner.config.teachers import RationalesSettings
from gmner.rationales.stage import make_rationales
from gmner.storage.tables import RATIONALES, read_metadata, read_table
from tests.helpers.teacher_samples import make_sample, write_samples


def run(
    tmp_path: Path, teacher: dict[str, object], count: int = 5
) -> tuple[list[dict[str, object]], dict[str, object]]:
    samples = [make_sample(number) for number in range(count)] + [make_sample(99, split="dev")]
    path = write_samples(tmp_path / "samples.parquet", samples)
    settings = RationalesSettings.model_validate({"name": "t", "teacher": teacher})
    out, report = tmp_path / "rationales.parquet", tmp_path / "report.json"
    make_rationales(settings, path, out, report, tmp_path / "store")
    return read_table(out, RATIONALES).to_pylist(), json.loads(report.read_text())


def test_one_row_a_training_sample_in_their_order(tmp_path: Path) -> None:
    rows, report = run(tmp_path, {"provider": "template"})
    assert [row["sample_id"] for row in rows] == [f"train/{number}" for number in range(5)]
    assert all(row["accepted"] and row["reason"] is None and row["tries"] == 1 for row in rows)
    assert rows[0]["prompt_version"] == "template-evidence-v3" and rows[0]["model"] == "evidence"
    assert len({row["key"] for row in rows}) == 5
    assert report["samples"] == report["accepted"] == 5 and report["refused_by_reason"] == {}
    first = (tmp_path / "rationales.parquet").read_bytes()
    run(tmp_path, {"provider": "template"})
    assert (tmp_path / "rationales.parquet").read_bytes() == first


@pytest.mark.parametrize("when", ["no_reasoning", "template", "drop"])
def test_refused_rows_stay_with_their_reason(tmp_path: Path, when: str) -> None:
    teacher = {"provider": "template", "style": "terse", "acceptance": {"max_words": 3}, "when_refused": when}
    rows, report = run(tmp_path, teacher)
    assert [row["accepted"] for row in rows] == [False] * 5
    assert rows[0]["reason"] == "too_long: 8 words, at most 3 are allowed"
    assert (rows[0]["text"] is not None) == (when == "template")
    assert report["refused_by_reason"] == {"too_long": 5} and report["when_refused"] == when
    assert read_metadata(tmp_path / "rationales.parquet")["when_refused"] == when


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_samples(tmp_path / "samples.parquet", [make_sample()])
    paths = ["--samples", str(path), "--out", str(tmp_path / "r.parquet")]
    paths += ["--report", str(tmp_path / "r.json"), "--store", str(tmp_path / "store")]
    good = '{"name": "t", "teacher": {"provider": "template"}}'
    assert main(["stage", "rationales", "--settings", good, *paths]) == 0
    assert (tmp_path / "r.parquet").exists()
    assert main(["stage", "rationales", "--settings", good.replace("}}", ', "stile": 1}}'), *paths]) == 1
    assert "does not fit RationalesStage: teacher.template: did you mean 'style'?" in capsys.readouterr().err


def test_the_stage_imports_neither_torch_nor_an_sdk() -> None:
    code = (
        "import sys, gmner.commands.stages.rationales as c; "
        "print([m for m in ('torch', 'transformers', 'openai', 'anthropic', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
