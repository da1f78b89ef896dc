"""2000 samples, 30 % faults, three kills: the server's own ledger is the judge."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.folders import store_folder
from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.fault_server import ALL_FAULTS, INPUT_PRICE, OUTPUT_PRICE, FaultServer, Seen
from tests.helpers.teacher_samples import make_sample, write_samples

IN_FLIGHT = 48
SHARES = {"timeout": 0.003, "drip": 0.04}
FAULTS = {name: SHARES.get(name, (0.3 - sum(SHARES.values())) / (len(ALL_FAULTS) - 2)) for name in ALL_FAULTS}


def start(tmp_path: Path, server: FaultServer, provider: str, **more: Any) -> subprocess.Popen[bytes]:
    base = f"{server.url}/v1" if provider == "openai" else server.url
    limits = {"start_in_flight": 16, "max_in_flight": IN_FLIGHT, "first_wait_s": 0.02, "longest_wait_s": 0.5,
              "timeout_s": 2.5, "attempts": 30}  # fmt: skip
    price = {"input": INPUT_PRICE, "output": OUTPUT_PRICE}
    teacher = {"provider": provider, "model": "big", "base_url": base, "limits": limits, "price": price,
               "max_tokens": 64, "batch_poll_s": 0.05, **more}  # fmt: skip
    command = [sys.executable, "-m", "gmner", "stage", "rationales",
               "--settings", json.dumps({"name": "t", "teacher": teacher}),
               "--samples", str(tmp_path / "samples.parquet"), "--out", str(tmp_path / "r.parquet"),
               "--report", str(tmp_path / "report.json"), "--store", str(tmp_path / "store")]  # fmt: skip
    keys = {"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-test"}
    with (tmp_path / "log").open("ab") as log:
        return subprocess.Popen(command, stderr=log, env=os.environ | keys)


def kill_when(process: subprocess.Popen[bytes], server: FaultServer, seen: int) -> None:
    while len(server.ledger.seen) < seen:
        assert process.poll() is None, "the stage ended before it was killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def finish(process: subprocess.Popen[bytes], tmp_path: Path) -> list[dict[str, Any]]:
    assert process.wait(240) == 0, (tmp_path / "log").read_text()[-3000:]
    return read_table(tmp_path / "r.parquet", RATIONALES).to_pylist()


def check_ledger(tmp_path: Path, server: FaultServer, provider: str, budget: float, kills: int) -> None:
    by_question: dict[str, list[Seen]] = defaultdict(list)
    for one in server.ledger.seen:
        by_question[one.question].append(one)
    folder = store_folder(tmp_path / "store", provider, "big")
    kept = {stored.answer.raw["id"] for stored in AnswerStore(folder)}
    answered = [seen for seen in by_question.values() if any(one.answer_id in kept for one in seen)]
    assert len(answered) == len(kept) == len(by_question)
    for seen in answered:  # once its answer had arrived, a question was never sent again
        assert seen[-1].answer_id in kept and not any(one.answer_id in kept for one in seen[:-1])
    lost = [one for seen in answered for one in seen[:-1]
            if one.delivered and one.fault in (None, "empty", "refused")]  # fmt: skip
    assert len(lost) <= kills * 1.5 * IN_FLIGHT  # in flight when the process was killed
    store = AnswerStore(folder)
    assert not store.damage
    spending = store.spending()
    noted = (spending.paid.usd or 0.0) + (spending.unknown.usd or 0.0)
    assert server.ledger.dollars() <= noted + 1e-9 <= budget + 2e-9


@pytest.mark.slow
def test_2000_samples_30_percent_faults_three_kills(tmp_path: Path, image: Path) -> None:
    count, budget = 2000, 8.0
    write_samples(tmp_path / "samples.parquet", [make_sample(number, image_path=str(image)) for number in range(count)])
    with FaultServer(FAULTS, seed=7, key="sk-test") as server:
        moments = random.Random(3)
        target = 0
        for _ in range(3):
            target += moments.randrange(200, 700)
            kill_when(start(tmp_path, server, "openai", budget={"usd": budget}), server, target)
        rows = finish(start(tmp_path, server, "openai", budget={"usd": budget}), tmp_path)
        assert [row["sample_id"] for row in rows] == [f"train/{number}" for number in range(count)]
        assert all(row["accepted"] or row["reason"] for row in rows)
        assert sum(row["accepted"] for row in rows) >= 0.99 * count
        assert {one.fault for one in server.ledger.seen} == {None, *ALL_FAULTS}
        check_ledger(tmp_path, server, "openai", budget, kills=3)
        seen = len(server.ledger.seen)
        finish(start(tmp_path, server, "openai", budget={"usd": budget}), tmp_path)
        assert len(server.ledger.seen) == seen


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_batch_submitted_before_a_kill_is_found_again(tmp_path: Path, image: Path, provider: str) -> None:
    write_samples(tmp_path / "samples.parquet", [make_sample(number, image_path=str(image)) for number in range(60)])
    more = {"mode": "batch", "batch_requests": 20, "budget": {"usd": 1.0}}
    with FaultServer(batch_polls=4) as server:
        # Killed at the very moment when the first batch exists at the provider, then while it is waited for.
        kill_when(start(tmp_path, server, provider, **more), server, 1)
        kill_when(start(tmp_path, server, provider, **more), server, 60)
        rows = finish(start(tmp_path, server, provider, **more), tmp_path)
        assert len(rows) == 60 and all(row["accepted"] for row in rows)
        assert len(server.ledger.seen) == 60 and server.ledger.batches_created == 3
        check_ledger(tmp_path, server, provider, 1.0, kills=2)


@pytest.mark.slow
def test_ctrl_c_lets_what_is_in_flight_arrive(tmp_path: Path, image: Path) -> None:
    write_samples(tmp_path / "samples.parquet", [make_sample(number, image_path=str(image)) for number in range(300)])
    with FaultServer(delay_s=0.4) as server:
        process = start(tmp_path, server, "openai")
        while len(server.ledger.seen) < 20:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        kept = {stored.answer.raw["id"] for stored in AnswerStore(store_folder(tmp_path / "store", "openai", "big"))}
        assert kept == {one.answer_id for one in server.ledger.seen} and len(kept) < 300
        log = (tmp_path / "log").read_text()
        assert "waiting for the answers in flight" in log and "Traceback" not in log
        assert not (tmp_path / "r.parquet").exists()
