"""The Makefile's targets are complete, and what they ask of Snakemake can be planned."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.trees import Tree


def targets(repo: Path) -> set[str]:
    found = re.search(r"^\.PHONY: (.+)$", (repo / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def test_every_target_does_something_and_is_listed(repo: Path) -> None:
    listed = set(re.findall(r"^([a-z0-9-]+):.*## \S", (repo / "Makefile").read_text(), re.MULTILINE))
    assert targets(repo) == listed
    for name in sorted(targets(repo)):
        done = subprocess.run(["make", "--dry-run", name], cwd=repo, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "Nothing to be done" not in done.stdout, f"{name}: {done.stdout}{done.stderr}"


def test_bench_runs_every_benchmark(repo: Path) -> None:
    found = re.search(r"^BENCHMARKS := (.+)$", (repo / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    scripts = {path.stem for path in (repo / "benchmarks").glob("*.py") if "def main(" in path.read_text()}
    assert set(found[1].split()) == scripts - {"gpu"}


@pytest.mark.slow
def test_backbone_is_trained_from_scratch_on_request(repo: Path, fresh: Tree) -> None:
    recipe = re.search(r"^backbone:.*\n\t.*snakemake --cores \S+ (\S+)", (repo / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert fresh.planned(recipe[1]) == {"rebuild_tiny_backbone": 1}
