import json
from pathlib import Path
from typing import Any

import pytest

from gmner.cli import main
from gmner.core.answer import parse_output
from gmner.storage.tables import OUTPUTS, read_table
from tests.helpers.fault_server import FaultServer
from tests.helpers.teacher_samples import make_sample, write_samples

GOOD = "<think>because</think><answer>Mara Quist|PER|[100,100,700,900]; Port Zelka|LOC|None</answer>"


def run(
    tmp_path: Path,
    image: Path,
    server: FaultServer,
    capsys: Any,
    *more: str,
    least_accepted: float | None = None,
    **settings: Any,
) -> Any:
    samples = [make_sample(n, split="test", image_path=str(image)) for n in range(4)]
    samples += [make_sample(n, image_path=str(image)) for n in range(10, 14)]
    write_samples(tmp_path / "samples.parquet", samples)
    teacher = {"provider": "openai", "model": "gpt-4o", "base_url": f"{server.url}/v1", "endpoint": "toy",
               "price": {"input": 2, "output": 10}}  # fmt: skip
    if least_accepted is not None:
        teacher["least_accepted"] = least_accepted
    question = {"prompt": "standard", "cot": True, "types": ["PER", "LOC"], "fine": False}
    stage = {"kind": "api", "name": "gpt-4o", "teacher": teacher, "question": question, **settings}
    arguments = ["--settings", json.dumps(stage), "--samples", str(tmp_path / "samples.parquet"), "--split", "test"]
    arguments += ["--out", str(tmp_path / "o.parquet"), "--report", str(tmp_path / "o.json")]
    code = main(["stage", "generate", *arguments, "--store", str(tmp_path / "store"), *more])
    assert code == 0, capsys.readouterr().err
    return read_table(tmp_path / "o.parquet", OUTPUTS).to_pylist() if (tmp_path / "o.parquet").exists() else None


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr("tests.helpers.fault_server.answer_to", lambda question, body: GOOD)


def test_every_test_sample_has_an_output_that_parses(tmp_path: Path, image: Path, capsys: Any) -> None:
    with FaultServer() as server:
        assert run(tmp_path, image, server, capsys, "--dry-run") is None
        assert "4 samples, 0 of them answered" in capsys.readouterr().out and not server.ledger.seen
        rows = run(tmp_path, image, server, capsys)
        assert [row["sample_id"] for row in rows] == [f"test/{n}" for n in range(4)]
        parsed = parse_output(rows[0]["output"])
        assert [record.mention for record in parsed.records] == ["Mara Quist", "Port Zelka"] and not parsed.problems
        assert rows[0]["output_tokens"] == 30 and rows[0]["finish_reason"] == "stop"
        assert json.loads((tmp_path / "o.json").read_text())["cost_usd"] == pytest.approx(server.ledger.dollars())
        assert "0 to 1000" in server.ledger.seen[0].question
        run(tmp_path, image, server, capsys)
        assert len(server.ledger.seen) == 4


def test_examples_come_from_train_and_have_the_answer_s_form(tmp_path: Path, image: Path, capsys: Any) -> None:
    with FaultServer() as server:
        run(tmp_path, image, server, capsys, shots=2, shots_seed=1)
        question = server.ledger.seen[0].question
        assert (
            question.count("<answer>Mara Quist|PER|[71,89,714,893]; Port Zelka|LOC|None; Tavin|PER|None</answer>") == 2
        )
        assert "Picture: red person" in question
        run(tmp_path, image, server, capsys, shots=2, shots_seed=2)
        assert len(server.ledger.seen) == 8


def test_a_refused_answer_is_an_empty_output(tmp_path: Path, image: Path, capsys: Any) -> None:
    with FaultServer({"refused": 1.0}) as server:
        with pytest.raises(AssertionError, match="refused 4 of 4 questions, expected an answer to at least 50%"):
            run(tmp_path, image, server, capsys)
        assert not (tmp_path / "o.parquet").exists()
        rows = run(tmp_path, image, server, capsys, least_accepted=0)
        assert [row["output"] for row in rows] == [""] * 4
        assert json.loads((tmp_path / "o.json").read_text())["refused"] == 4
