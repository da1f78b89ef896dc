"""Teachers and API systems inside the workflow, against a server on loopback that fails now and then."""

import csv
import json

import pytest

from gmner.core.answer import render_answer
from gmner.core.frame import Frame
from gmner.core.records import Record
from gmner.storage.tables import RATIONALES, read_samples, read_table
from tests.helpers import fault_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
KEY = "sk-canary-91c3d07be2f64a55"


def gold_answer(sample) -> str:
    frame = Frame("norm1000", 28 * 28, 1 << 30)
    records = []
    for entity in sample.entities:
        boxes = frame.to_model(list(entity.boxes), sample.size_wh).round() if entity.boxes else []
        records.append(Record(entity.mention, entity.type, tuple(tuple(map(float, box)) for box in boxes)))
    return render_answer(records, "Looked.")


def test_an_api_system_is_scored_and_two_teachers_write_rationales(plain_workspace, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    workspace = plain_workspace
    usual = fault_server.answer_to
    table = workspace.root / "results/samples/toy/samples.parquet"

    def answer(question, body):
        if "Annotation:" in question:
            return usual(question, body)
        return next(
            gold_answer(sample) for sample in read_samples(table, "test") if f"Tweet: {sample.text}" in question
        )

    monkeypatch.setattr(fault_server, "answer_to", answer)
    with fault_server.FaultServer({"429": 0.1, "reset": 0.1}, key=KEY) as server:
        limits = {"first_wait_s": 0.01, "longest_wait_s": 0.1}
        price = {"input": 2, "output": 10}
        gpt = {
            "provider": "openai",
            "model": "gpt-4o",
            "base_url": f"{server.url}/v1",
            "limits": limits,
            "price": price,
        }
        claude = {
            "provider": "anthropic",
            "model": "claude",
            "base_url": server.url,
            "mode": "batch",
            "batch_poll_s": 0.05,
        }
        config = {
            "datasets": {"toy": {"kind": "demo", "train": 8, "dev": 2, "test": 6}},
            "backbones": {"tiny": {"kind": "tiny"}},
            "teachers": {"gpt": gpt, "claude": claude},
            "defaults": {"backbone": "tiny", "teacher": "gpt"},
            "runs": {
                "gpt-zero-shot": {"kind": "api", "teacher": "gpt"},
                "taught": {"teacher": "gpt"},
                "taught-by-claude": {"teacher": "claude"},
            },
            "tables": {"table1": {"runs": ["gpt-zero-shot"]}},
        }
        (workspace.root / "teachers.yaml").write_text(json.dumps(config))
        targets = ["results/table1.csv"]
        targets += [f"results/rationales/toy/{name}/rationales.parquet" for name in ("gpt", "claude")]
        command = ["--configfile", "teachers.yaml", "--", *targets]
        workspace.snakemake(*command)
        asked = len(server.ledger.seen)

        with (workspace.root / "results/table1.csv").open(encoding="utf-8", newline="") as stream:
            (row,) = [row for row in csv.DictReader(stream) if row["source"] == "measured"]
        assert row["gmner_f1"] == row["mner_f1"] == row["eeg_f1"] == "100.00" and row["samples"] == "6"
        for target in targets[1:]:
            rows = read_table(workspace.root / target, RATIONALES).to_pylist()
            assert len(rows) == 8 and all(row["accepted"] for row in rows)
        assert "Nothing to be done" in workspace.snakemake("--dry-run", *command)

        for target in targets[1:]:
            (workspace.root / target).unlink()
        workspace.snakemake(*command)
        assert len(server.ledger.seen) == asked
    written = [path for path in workspace.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
