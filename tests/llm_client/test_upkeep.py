import json
from pathlib import Path

import pytest

from gmner.cli import main
from tests.helpers.fault_server import FaultServer
from tests.helpers.teacher_samples import make_sample
from tests.helpers.teacher_stage import Stage


@pytest.fixture
def stage(tmp_path: Path, image: Path) -> Stage:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(image.read_bytes())
    stage = Stage(tmp_path, image, 3)
    from tests.helpers.teacher_samples import write_samples

    write_samples(stage.samples, [make_sample(n, image_path=str(tmp_path / f"{n}.png")) for n in range(3)])
    return stage


def config_for(stage: Stage, server: FaultServer) -> list[str]:
    teacher = stage.settings(server, "openai", max_tries=1).teacher.model_dump(mode="json")
    config = {
        "datasets": {"demo": {"kind": "demo"}},
        "backbones": {"tiny": {"kind": "tiny"}},
        "teachers": {"big": teacher, "rule": {"provider": "template"}},
        "defaults": {"backbone": "tiny", "teacher": "rule"},
        "runs": {"full": {}},
    }
    path = stage.folder / "config.yaml"
    path.write_text(json.dumps(config))
    return ["--config", str(path), "--teacher", "big", "--store", str(stage.folder / "store")]


def test_status_cost_retry(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(stage.folder / "store")]
    with FaultServer({"refused": 1.0}) as server:
        stage.run(server, "openai", max_tries=1)
        assert main(["teacher", "status", *store]) == 0
        assert main(["teacher", "cost", *store]) == 0
        shown = capsys.readouterr().out
        assert "openai--big: 3 answers (3 refused), 0 open batches\n  3 x refused: I can not help" in shown
        assert f"openai--big: ${server.ledger.dollars():.4f}, " in shown and "3 requests paid for 3 answers" in shown
        server.faults = {}
        plan = ["teacher", "plan", *config_for(stage, server), "--samples", str(stage.samples)]
        assert main(plan) == 0 and "3 of them answered in the store\nnothing to ask" in capsys.readouterr().out
        assert main(["teacher", "retry", *config_for(stage, server)]) == 0
        assert "3 answers forgotten" in capsys.readouterr().out
        rows = stage.run(server, "openai", max_tries=1)
        assert all(row["accepted"] for row in rows) and len(server.ledger.seen) == 6


def test_retry_by_reason(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer() as server:
        rows = stage.run(server, "openai", max_tries=1, acceptance={"max_words": 3})
        assert rows[0]["reason"].startswith("too_long")
        table = ["--rationales", str(stage.folder / "r.parquet")]
        arguments = ["teacher", "retry", *config_for(stage, server), *table]
        assert main([*arguments, "--reason", "empty"]) == 0 and "0 answers" in capsys.readouterr().out
        assert main([*arguments, "--reason", "to_long"]) == 1
        assert "there is no such reason; did you mean 'too_long'?" in capsys.readouterr().err
        assert main([*arguments, "--reason", "too_long"]) == 0 and "3 answers" in capsys.readouterr().out


def test_export_then_import_for_another_teacher_asks_nobody(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    samples = ["--samples", str(stage.samples)]
    out = stage.folder / "cot.jsonl"
    with FaultServer() as server:
        first = stage.run(server, "openai", max_tries=1)
        exported = ["--rationales", str(stage.folder / "r.parquet"), *samples, "--out", str(out)]
        assert main(["teacher", "export", *exported]) == 0
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert lines[1]["think"] == first[1]["text"] and lines[1]["image_path"].endswith("1.png")
        out.write_text("".join(json.dumps({"image_path": f"elsewhere/{n}.png", "think": f"Mara Quist: visible. Port "
                               f"Zelka: absent. Tavin: absent. {n}"}) + "\n" for n in range(2)))  # fmt: skip
        other = stage.folder / "other"
        arguments = [*config_for(stage, server)[:-1], str(other)]
        assert main(["teacher", "import", str(out), *arguments, *samples]) == 0
        assert "2 rationales imported; 1 training samples have none" in capsys.readouterr().out
        (stage.folder / "store").rename(stage.folder / "old")
        other.rename(stage.folder / "store")
        before = len(server.ledger.seen)
        rows = stage.run(server, "openai", max_tries=1)
        assert rows[1]["text"].endswith("absent. 1") and len(server.ledger.seen) == before + 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"think": "x"}', "line 1: expected an object with 'image_path' and 'think'"),
        ("nonsense", "line 1: expected an object"),
        ('{"image_path": "zebra.png", "think": "x"}', r"none of its images \(zebra.png"),
    ],
)
def test_import_names_the_fault(stage: Stage, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    import re

    path = stage.folder / "bad.jsonl"
    path.write_text(line + "\n")
    with FaultServer() as server:
        arguments = ["teacher", "import", str(path), *config_for(stage, server), "--samples", str(stage.samples)]
        assert main(arguments) == 1
    assert re.search(message, capsys.readouterr().err)


def test_template_has_no_answers(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer() as server:
        arguments = config_for(stage, server)
        arguments[3] = "rule"
        assert main(["teacher", "retry", *arguments]) == 1
    assert "a template has no answers in the store" in capsys.readouterr().err
    assert main(["teacher", "status", "--store", str(stage.folder / "nowhere")]) == 1
    assert "there is no store of answers here yet" in capsys.readouterr().err
