"""Each benchmark runs with a little work and prints one document of the common form."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMPARED = ("samples", "grbp", "scorer")
WITH_MODEL = ("collation", "training", "inference")
OTHERS = ("dag", "scale", "teachers", "report")


def run(repo: Path, name: str) -> dict[str, Any]:
    command = [sys.executable, str(repo / "benchmarks" / f"{name}.py"), "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["benchmark"] == name and found["quick"] is True
    assert found["work"] > 0 and found["unit"]
    assert found["versions"]["python"] and found["device"]["cores"] >= 1
    return found


def check_comparison(found: dict[str, Any]) -> None:
    for side in ("ours", "baseline"):
        assert found[side]["seconds"] > 0 and found[side]["rate"] > 0 and found[side]["peak_mib"] > 0
    assert found["baseline"]["way"] and found["ratio"] > 0 and found["target"] > 0


@pytest.mark.parametrize("name", COMPARED)
def test_a_comparison(repo: Path, name: str) -> None:
    check_comparison(run(repo, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_comparison_with_the_tiny_backbone(repo: Path, name: str) -> None:
    check_comparison(run(repo, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_others(repo: Path, name: str) -> None:
    run(repo, name)


def test_make_bench_runs_them_all(repo: Path) -> None:
    listed = re.search(r"^BENCHMARKS := (.+)$", (repo / "Makefile").read_text(), re.MULTILINE)
    assert listed is not None
    assert set(COMPARED + WITH_MODEL + OTHERS) <= set(listed[1].split())
