"""Two workflows at once: in one folder, and in two that share backbones and a teacher's answers."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.fault_server import FaultServer
from tests.helpers.faults import Faults
from tests.helpers.workflow_folder import LIMIT_S, folder_of, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
KEY = "sk-shared-51b0c7"


def start(folder: Path, *targets: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": KEY}
    environment.pop("PYTHONPATH", None)
    words = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "small.yaml", "--", *targets]
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that all of it can be stopped for a while
    )


def config_of(server: FaultServer, **datasets: int) -> dict[str, object]:
    limits = {"first_wait_s": 0.01, "longest_wait_s": 0.1, "max_in_flight": 4, "start_in_flight": 2}
    teacher = {"provider": "openai", "model": "gpt", "base_url": f"{server.url}/v1", "limits": limits}
    return {
        "datasets": {name: {"kind": "demo", "train": 24, "dev": 1, "test": 1, "seed": seed}
                     for name, seed in datasets.items()},
        "backbones": {"tiny": {"kind": "tiny"}},
        "teachers": {"gpt": teacher},
        "defaults": {"backbone": "tiny", "teacher": "gpt"},
        "runs": {"one": {}, "two": {"grbp": {"enabled": False}}},  # the same backbone, the same rationales
    }  # fmt: skip


def targets_of(*datasets: str) -> list[str]:
    asked = [f"results/rationales/{name}/gpt/rationales.parquet" for name in datasets]
    return ["resources/backbones/tiny/manifest.json", *asked]


def test_a_second_workflow_in_one_folder_ends_and_spoils_nothing(tmp_path: Path, repo: Path, faults: Faults) -> None:
    with FaultServer(delay_s=0.4, key=KEY) as server:
        folder = folder_of(tmp_path / "one", repo, config_of(server, first=1))
        first = start(folder, *targets_of("first"))
        wait_for("resources/teacher-store/*/answers.sqlite", folder)
        os.killpg(first.pid, signal.SIGSTOP)  # however slow the second one is to start, the first is not done before
        try:
            second = start(folder, *targets_of("first"))
            told, _ = second.communicate(timeout=LIMIT_S)
        finally:
            os.killpg(first.pid, signal.SIGCONT)
        assert second.returncode == 1 and "Directory cannot be locked" in told and "Traceback" not in told, told
        assert first.poll() is None, "the first had ended before the second looked"
        told, _ = first.communicate(timeout=LIMIT_S)
        assert first.returncode == 0, told
        assert read_table(folder / "results/rationales/first/gpt/rationales.parquet", RATIONALES).num_rows == 24
        assert set(Counter(seen.question for seen in server.ledger.seen).values()) == {1}
    result = "the second ends with Snakemake's words, `Directory cannot be locked`; the first goes on and finishes"
    faults.add("machine", "a second `snakemake` in one folder", result)


def test_two_workflows_share_a_backbone_and_a_teacher(tmp_path: Path, repo: Path, faults: Faults) -> None:
    shared = tmp_path / "resources"
    shared.mkdir()
    with FaultServer({"429": 0.1}, delay_s=0.05, key=KEY) as server:
        names = {"first": 1, "second": 2}  # two data sets and two runs, side by side in each workflow too
        folders = [folder_of(tmp_path / name, repo, config_of(server, **names)) for name in ("here", "there")]
        for folder in folders:
            (folder / "resources").symlink_to(shared)
        both = [start(folder, *targets_of(*names)) for folder in folders]
        for one in both:
            told, _ = one.communicate(timeout=LIMIT_S)
            assert one.returncode == 0, told
        answered = Counter(seen.question for seen in server.ledger.seen if seen.fault is None)
    assert len(answered) == 48 and set(answered.values()) == {1}, answered.most_common(3)
    for name in names:
        tables = [folder / f"results/rationales/{name}/gpt/rationales.parquet" for folder in folders]
        assert tables[0].read_bytes() == tables[1].read_bytes() and read_table(tables[0], RATIONALES).num_rows == 24
    kept = {".gitignore", ".times.json"}
    assert not [path for path in shared.rglob(".*") if path.name not in kept and path.suffix != ".lock"]
    assert json.loads((shared / "backbones/tiny/manifest.json").read_text())["kind"] == "tiny"
    result = "one asks, the other waits; each question is asked once, the backbone is made once; both finish"
    faults.add("machine", "two workflows that share `resources`: backbone and teacher's answers", result)
