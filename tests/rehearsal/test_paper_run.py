"""The paper's own configuration, through Snakemake, over stand-ins of everything outside.

The small form is part of the suite. `make rehearsal` (GMNER_REHEARSAL=1) runs every stage of paper.yaml and
twitter-fmnerg.yaml, kills it with SIGKILL in the middle, and writes its log into docs/rehearsal.md.
"""

import csv
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gmner.storage.tables import read_metadata, read_samples
from tests.helpers.rehearsal import World, world, write_log

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
FULL = bool(os.environ.get("GMNER_REHEARSAL"))
PAPER = "workflow/configs/paper.yaml"
Make = Callable[[int], World]


@pytest.fixture
def make_world(repo: Path, shared_dir: Path, annotations: Path, hub_folder: Path, tmp_path: Path) -> Iterator[Make]:
    from contextlib import ExitStack

    (archive,) = (shared_dir / "data").glob("GMNER-*.zip")
    fmnerg = shared_dir / "data" / "fmnerg_test_labels.txt"
    with ExitStack() as stack:
        yield lambda limit: stack.enter_context(
            world(repo, archive, annotations, fmnerg, hub_folder, tmp_path / "paper", limit)
        )


def kills_in_training(root: Path, after: int) -> Callable[[], bool]:
    """Say when so many adapters are done and a training is under way."""

    def now() -> bool:
        done = {path.parent for path in root.glob("results/train/*/*/*/manifest.json")}
        logs = [path for path in root.glob("results/logs/train/*/*/*.log") if "longest row" in path.read_text()]
        return len(done) >= after and len(logs) > len(done)

    return now


def test_the_papers_run_small(make_world: Make) -> None:
    made = make_world(4)
    command = made.write_overlay(PAPER, epochs=1)
    wanted = [f"results/scores/twitter-gmner/{run}/seed42/scores.json" for run in ("full", "gpt-4o")]
    said = made.snakemake([*command, "--", *wanted], until=kills_in_training(made.root, 0))
    assert "longest row" in said
    before = made.hub.bodies_sent(".safetensors")
    made.snakemake([*command, "--", *wanted])
    assert before == made.hub.bodies_sent(".safetensors") == 5
    for path in wanted:
        assert json.loads((made.root / path).read_text())["samples"] == 4
    assert "Nothing to be done" in made.snakemake([*command, "--dry-run", "--", *wanted])


@pytest.mark.skipif(not FULL, reason="all of paper.yaml takes long; make rehearsal runs it")
def test_the_papers_run_whole(make_world: Make, repo: Path) -> None:
    made = make_world(8)
    command = made.write_overlay(PAPER, epochs=1)
    said = made.snakemake([*command, "--", "all"], until=kills_in_training(made.root, 2))
    assert re.search(r"longest row", said)
    made.snakemake([*command, "--", "all"])
    assert made.hub.bodies_sent(".safetensors") == 5
    assert "Nothing to be done" in made.snakemake([*command, "--dry-run", "--", "all"])
    results = made.root / "results"
    names = ["table1.csv", "table2.csv", "table3.csv", "figure3.csv", "figure3.png", "report.html"]
    assert all((results / name).stat().st_size for name in names)
    with (results / "table1.csv").open(encoding="utf-8", newline="") as stream:
        measured = [row for row in csv.DictReader(stream) if row["source"] == "measured"]
    assert len(measured) == 6 and {row["samples"] for row in measured} == {"8"}
    for dataset in ("twitter-gmner", "twitter-fmnerg"):
        samples = read_samples(results / f"samples/{dataset}/samples.parquet")
        assert len(samples) == 24 and all(Path(made.root, sample.image_path).exists() for sample in samples)
        counts = json.loads(read_metadata(results / f"targets/{dataset}/full/seed42/targets.parquet")["counts"])
        assert counts["samples"] == 8
    write_log(made, repo / "docs" / "rehearsal.md", "paper.yaml")


@pytest.mark.skipif(not FULL, reason="make rehearsal runs it")
def test_the_other_shipped_configuration(make_world: Make) -> None:
    made = make_world(4)
    command = made.write_overlay("workflow/configs/twitter-fmnerg.yaml", epochs=1)
    made.snakemake([*command, "--", "all"])
    assert (made.root / "results/table2.csv").exists() and (made.root / "results/report.html").exists()
