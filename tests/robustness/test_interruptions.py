"""Ctrl-C to a workflow and to one command, as a terminal sends it; and clocks that jump."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.demo_stages import LIGHT, Demo
from tests.helpers.fault_server import FaultServer
from tests.helpers.faults import Faults
from tests.helpers.machine import completes
from tests.helpers.pipeline import command
from tests.helpers.workflow_folder import LIMIT_S, folder_of, wait_for

DEMO = {"kind": "demo", "train": 900, "dev": 1, "test": 1, "seed": 3}
SAID = "interrupted; rerun the same command to resume"


def started(words: list[str], folder: Path) -> "subprocess.Popen[str]":
    """Start a command as the foreground group of a terminal of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, restore_signals=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_command(number: signal.Signals, tmp_path: Path) -> None:
    words = ["gmner", "stage", "samples", "--settings", json.dumps({"name": "big", "dataset": DEMO})]
    running = started([*words, "--out", "samples.parquet", "--report", "report.json"], tmp_path)
    wait_for("images/*.jpg", tmp_path)
    os.killpg(running.pid, number)
    told, _ = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 128 + number and told.strip() == SAID, told
    assert not list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob(".*")) and list(tmp_path.glob("images/*"))


@pytest.mark.slow
@pytest.mark.e2e
def test_a_workflow(tmp_path: Path, repo: Path, faults: Faults) -> None:
    config = {
        "datasets": {"big": DEMO},
        "backbones": {"tiny": {"kind": "tiny"}},
        "teachers": {"t": {"provider": "template"}},
        "defaults": {"backbone": "tiny", "teacher": "t"},
        "runs": {"full": {}},
    }
    folder = folder_of(tmp_path / "one", repo, config)
    words = ["snakemake", "--cores", "1", "--configfile", "small.yaml", "--", "results/samples/big/samples.parquet"]
    running = started(words, folder)
    wait_for("results/samples/big/images/*.jpg", folder)
    os.killpg(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=LIMIT_S)
    assert running.returncode != 0 and "Terminating processes on user request" in told, told
    assert SAID in told and SAID in (folder / "results/logs/samples/big.log").read_text(encoding="utf-8"), told
    assert "Traceback" not in told and not list(folder.glob("results/samples/big/*.*"))
    assert not list(folder.glob(".snakemake/locks/*"))
    again = started(words, folder)
    told, _ = again.communicate(timeout=LIMIT_S)
    assert again.returncode == 0 and (folder / "results/samples/big/samples.parquet").exists(), told
    result = f"the running command ends with `{SAID}`, Snakemake with exit status 1; no lock is left; run it again"
    faults.add("machine", "Ctrl-C in a terminal where `snakemake` runs", result)


def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock go back by a day and forward by two, in turn, whenever somebody looks."""
    true, jumps = time.time, itertools.cycle((-86_400.0, 2 * 86_400.0, -2 * 86_400.0, 0.0))
    monkeypatch.setattr("time.time", lambda: true() + next(jumps))


@pytest.mark.parametrize("name", LIGHT)
def test_a_clock_that_jumps_changes_no_result(
    name: str, demo: Demo, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumping(monkeypatch)
    completes(tmp_path, demo, name)
    for path in tmp_path.rglob("*"):
        os.utime(path, (4e9, 4e9))  # in 2096
    completes(tmp_path, demo, name)
    what = "a clock that jumps by days, files from the future: every command"
    faults.add("machine", what, "the same bytes; no pause, rate or retry goes by the clock of the day")


def test_a_clock_that_jumps_while_a_teacher_is_asked(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-clock")
    with FaultServer({"429_after": 0.2, "500": 0.1}, retry_after_s=0.05) as server:
        limits = {"first_wait_s": 0.01, "longest_wait_s": 0.1}
        teacher = {"provider": "openai", "model": "gpt", "base_url": f"{server.url}/v1", "limits": limits}
        told = json.dumps({"name": "gpt", "teacher": teacher})
        words = ["stage", "rationales", "--settings", told, "--samples", demo.result("samples.parquet")]
        place = ("--out", tmp_path / "r.parquet", "--report", tmp_path / "r.json", "--store", tmp_path / "store")
        begun = time.monotonic()
        jumping(monkeypatch)
        ran = command(*words, *place)
        assert ran.code == 0, ran.err
        assert time.monotonic() - begun < 30
        answered = Counter(seen.question for seen in server.ledger.seen if seen.fault is None)
    assert len(answered) == 4 and set(answered.values()) == {1}
