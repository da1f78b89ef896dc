import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.folders import store_folder
from gmner.rationales.stage import plan_rationales
from tests.helpers.fault_server import FaultServer
from tests.helpers.teacher_samples import make_sample, write_samples
from tests.helpers.teacher_stage import FAST, PROVIDERS, Stage


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_round_trip_and_nothing_is_asked_twice(tmp_path: Path, image: Path, provider: str, mode: str) -> None:
    stage = Stage(tmp_path, image, 12)
    with FaultServer(key="sk-test-key") as server:
        rows = stage.run(server, provider, mode=mode)
        assert [row["sample_id"] for row in rows] == [f"train/{number}" for number in range(12)]
        assert all(row["accepted"] for row in rows)
        assert rows[0]["text"] == ("The picture shows a scene. Mara Quist: visible. Port Zelka: absent. Tavin: absent.")
        assert len(server.ledger.seen) == 12 and server.ledger.batches_created == (mode == "batch")
        assert stage.report["cost_usd"] == pytest.approx(server.ledger.dollars(), rel=1e-6)
        assert rows[0]["tokens_in"] == server.ledger.seen[0].tokens and rows[0]["tokens_out"] == 30
        first = (tmp_path / "r.parquet").read_bytes()
        stage.run(server, provider, mode="sync")
        assert len(server.ledger.seen) == 12 and (tmp_path / "r.parquet").read_bytes() == first


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("change", ["temperature", "model", "endpoint", "image"])
def test_what_decides_an_answer_asks_again(tmp_path: Path, image: Path, provider: str, change: str) -> None:
    stage = Stage(tmp_path, image, 2)
    others: dict[str, Any] = {"temperature": 0.5, "model": "bigger", "endpoint": "other", "image": {"max_side": 28}}
    with FaultServer() as server:
        stage.run(server, provider)
        stage.run(server, provider, **{change: others[change]})
        assert len(server.ledger.seen) == 4


def test_only_what_is_really_new_is_asked(tmp_path: Path, image: Path) -> None:
    stage = Stage(tmp_path, image, 4)
    with FaultServer() as server:
        stage.run(server, "openai")
        # Other splits and names, other order, two samples more, one tweet twice: two questions.
        renamed = [
            dataclasses.replace(make_sample(number, image_path=str(image)), sample_id=f"train/new-{number}")
            for number in (5, 3, 1, 0, 2, 4)
        ]
        again = dataclasses.replace(renamed[0], sample_id="train/twice")
        write_samples(stage.samples, [*renamed, again])
        rows = stage.run(server, "openai", limits={**FAST, "max_in_flight": 3, "start_in_flight": 1}, max_tries=5)
        assert len(server.ledger.seen) == 6
        assert [row["sample_id"] for row in rows[:2]] == ["train/new-5", "train/new-3"] and rows[0]["key"] == rows[6][
            "key"
        ]
        # Stricter acceptance judges the old answers again and asks again only for those it refuses.
        stage.run(server, "openai", acceptance={"max_words": 250, "max_characters": 2000}, when_refused="drop")
        assert len(server.ledger.seen) == 6


def test_a_changed_image_asks_again(tmp_path: Path, image: Path) -> None:
    stage = Stage(tmp_path, image, 2)
    with FaultServer() as server:
        stage.run(server, "openai")
        image.write_bytes(image.read_bytes() + b"\0")
        stage.run(server, "openai")
        assert len(server.ledger.seen) == 4


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_a_wrong_key_stops_at_once_with_one_line(tmp_path: Path, image: Path, provider: str, mode: str) -> None:
    stage = Stage(tmp_path, image, 30)
    variable = f"{provider.upper()}_API_KEY"
    with FaultServer(key="the right one") as server:
        with pytest.raises(GmnerError, match=rf"refuses the key in {variable} \(401\)") as caught:
            stage.run(server, provider, mode=mode)
        assert "sk-test-key" not in str(caught.value) and "\n" not in str(caught.value)
        assert server.ledger.unauthorised <= 8
    assert not (tmp_path / "r.parquet").exists()


def test_a_missing_key_is_named(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with FaultServer() as server, pytest.raises(GmnerError, match="the environment has no ANTHROPIC_API_KEY"):
        Stage(tmp_path, image, 1).run(server, "anthropic")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_the_budget_is_never_exceeded(tmp_path: Path, image: Path, provider: str, mode: str) -> None:
    stage = Stage(tmp_path, image, 40)
    budget = {"usd": 0.06 if mode == "sync" else 0.02}
    with FaultServer({"reset": 0.2}) as server:
        for _ in range(3):
            with pytest.raises(GmnerError, match=r"the budget is spent: \$.* raise the teacher's budget"):
                stage.run(server, provider, mode=mode, budget=budget, batch_requests=4)
        assert 0 < server.ledger.dollars() <= budget["usd"]
        assert not (tmp_path / "r.parquet").exists()
        server.faults = {}
        before = len(server.ledger.seen)
        rows = stage.run(server, provider, mode=mode, budget={"usd": 10.0})
        assert len(rows) == 40 and len(server.ledger.seen) - before < 40


@pytest.mark.parametrize("budget", [{"requests": 7}, {"tokens": 9_000}])
def test_budgets_of_requests_and_tokens(tmp_path: Path, image: Path, budget: dict[str, int]) -> None:
    stage = Stage(tmp_path, image, 40)
    with FaultServer() as server:
        with pytest.raises(GmnerError, match="the budget is spent"):
            stage.run(server, "openai", budget=budget)
        assert 0 < len(server.ledger.seen) <= budget.get("requests", 40)
        assert sum(one.tokens + 30 for one in server.ledger.seen) <= budget.get("tokens", 1e9)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_refused_and_empty_answers_are_asked_again_then_kept(tmp_path: Path, image: Path, provider: str) -> None:
    stage = Stage(tmp_path, image, 3)
    with FaultServer({"empty": 1.0}) as server:
        rows = stage.run(server, provider, max_tries=2)
        assert [(row["accepted"], row["reason"], row["tries"]) for row in rows] == [(False, "empty: no text", 2)] * 3
        assert "can not be used: it says nothing" in server.ledger.seen[-1].question
        server.faults = {"refused": 1.0}
        rows = stage.run(server, provider, max_tries=2, temperature=0.1)
        assert {row["reason"] for row in rows} == {"refused: I can not help with that."}
        assert len(server.ledger.seen) == 12 and stage.report["refused_by_reason"] == {"refused": 3}


def test_dry_run_says_what_it_would_cost_and_asks_nobody(tmp_path: Path, image: Path) -> None:
    stage = Stage(tmp_path, image, 3)
    with FaultServer() as server:
        lines = plan_rationales(stage.settings(server, "openai"), stage.samples, tmp_path / "store")
        assert lines[0] == "3 samples, 0 of them answered in the store"
        assert lines[1].startswith("requests: 3,") and "dollars: about 0." in lines[3]
        assert not server.ledger.seen
        stage.run(server, "openai")
        lines = plan_rationales(stage.settings(server, "openai"), stage.samples, tmp_path / "store")
        assert lines == ["3 samples, 3 of them answered in the store", "nothing to ask"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_blind_answers_are_checked(tmp_path: Path, image: Path, provider: str) -> None:
    stage = Stage(tmp_path, image, 2)
    with FaultServer() as server:
        rows = stage.run(server, provider, prompt="blind", max_tries=1)
        assert {row["reason"] for row in rows} == {"unreadable: expected 'Answer: [...]' and 'Reasoning: ...'"}
        assert "LOC, PER" in server.ledger.seen[0].question and "annotat" not in server.ledger.seen[0].question


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", [{"lose_created": True}, {"create_500": 2}, {"poll_500": 3}, {"duplicates": True},
                                   {"expire": 5}, {"cut_results": True}])  # fmt: skip
def test_batch_faults(tmp_path: Path, image: Path, provider: str, fault: dict[str, Any]) -> None:
    stage = Stage(tmp_path, image, 10)
    with FaultServer(batch_faults=dict(fault)) as server:
        rows = stage.run(server, provider, mode="batch")
        assert len(rows) == 10 and all(row["accepted"] for row in rows)
        assert stage.report["cost_usd"] == pytest.approx(server.ledger.dollars(), rel=1e-6)
        assert server.ledger.batches_created == (2 if "expire" in fault else 1)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_line_separators_in_an_answer_do_not_cut_a_batch_s_results(
    tmp_path: Path, image: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    separators = "\u2028\u2029\u0085\x0b\x0c\x1c"
    monkeypatch.setattr(
        "tests.helpers.fault_server.answer_to", lambda question, body: f"A{separators}scene. {question[-4:]}"
    )
    stage = Stage(tmp_path, image, 3)
    with FaultServer() as server:
        rows = stage.run(server, provider, mode="batch", max_tries=1)
        assert len(rows) == 3 == len(server.ledger.seen)
        kept = [one.answer.text for one in AnswerStore(store_folder(tmp_path / "store", provider, "big"))]
        assert len(kept) == 3 and all(text.startswith(f"A{separators}scene") for text in kept)


def test_raw_answers_are_kept(tmp_path: Path, image: Path) -> None:
    stage = Stage(tmp_path, image, 2)
    with FaultServer() as server:
        stage.run(server, "openai")
        kept = {stored.answer.raw["id"] for stored in AnswerStore(store_folder(tmp_path / "store", "openai", "big"))}
        assert kept == {one.answer_id for one in server.ledger.seen}
    assert json.loads((tmp_path / "report.json").read_text())["samples"] == 2
