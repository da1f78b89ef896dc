"""The demo, small, from nothing to every table, through Snakemake and the real commands."""

import csv
import json
from pathlib import Path

import pytest

from gmner.storage.tables import OUTPUTS, PREDICTIONS, SAMPLES, TARGETS, read_samples, read_table
from tests.helpers.identity import FOLDERS, compare, copy, digests, run

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = """
datasets:
  demo-gmner: {kind: demo, train: 32, dev: 8, test: 12, seed: 3}
backbones:
  tiny: {kind: tiny}
teachers:
  evidence: {provider: template, style: evidence}
  terse: {provider: template, style: terse}
defaults:
  backbone: tiny
  teacher: evidence
  prompt: short
  train: {epochs: 1, batch_size: 16, accumulation: 1, max_length: 512, select: last, gradient_checkpointing: false}
  generate: {batch_size: 16, max_new_tokens: 48}
runs:
  untuned: {kind: untuned}
  full: {}
  no-cot: {cot: false}
  plain: {teacher: terse, grbp: {enabled: false}}
tables:
  table1: {runs: [untuned, full]}
  table2: {no_grbp: plain}
  table3: {runs: [full, plain]}
  figure3: {runs: [plain, full]}
"""


@pytest.fixture(scope="module")
def finished(workspace):
    (workspace.root / "small.yaml").write_text(CONFIG, encoding="utf-8")
    workspace.snakemake("--configfile", "small.yaml", "--", "all")
    return workspace


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_table_and_the_figure_are_there(finished):
    results = finished.root / "results"
    for name in ("table1.csv", "table1.md", "table2.csv", "table3.csv", "figure3.csv", "figure3.png", "figure3.pdf"):
        assert (results / name).stat().st_size > 0, name


def test_table1_has_the_papers_rows_and_ours(finished):
    rows = table(finished.root / "results/table1.csv")
    reported = [row for row in rows if row["source"] == "reported"]
    measured = [row for row in rows if row["source"] == "measured"]
    assert len(reported) == 30 and len({row["method"] for row in reported}) == 15
    assert {row["dataset"] for row in measured} == {"demo-gmner"} and len(measured) == 2
    for row in measured:
        assert row["samples"] == "12" and row["seeds"] == "42" and row["backbone"] and row["signature"]
        assert 0 <= float(row["gmner_f1"]) <= float(row["mner_f1"]) <= 100


def test_no_sample_is_lost_on_the_way(finished):
    results = finished.root / "results"
    samples = read_samples(results / "samples/demo-gmner/samples.parquet")
    assert len(samples) == 52 and read_table(results / "samples/demo-gmner/samples.parquet", SAMPLES).num_rows == 52
    place = "demo-gmner/full/seed42"
    assert read_table(results / f"targets/{place}/targets.parquet", TARGETS).num_rows == 32
    wanted = [sample.sample_id for sample in samples if sample.split == "test"]
    outputs = read_table(results / f"generate/{place}/outputs.parquet", OUTPUTS)
    assert sorted(outputs.column("sample_id").to_pylist()) == sorted(wanted)
    assert read_table(results / f"predictions/{place}/predictions.parquet", PREDICTIONS).num_rows == 12
    scores = json.loads((results / f"scores/{place}/scores.json").read_text(encoding="utf-8"))
    assert scores["samples"] == 12


def test_what_inference_needs_travels_with_the_adapter(finished):
    folder = finished.root / "results/train/demo-gmner/full/seed42"
    assert {"adapter_model.safetensors", "adapter_config.json", "run.json", "manifest.json", "curves.csv"} <= {
        path.name for path in folder.iterdir()
    }
    assert "frame" in json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert not [path for path in folder.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}]


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("--configfile", "small.yaml", "--dry-run", "--", "all")


def test_one_runs_strength_reruns_that_run_from_targets_on(finished):
    plan = finished.snakemake(
        "--configfile", "small.yaml", "--config", "runs={full: {grbp: {beta: 0.25}}}", "--dry-run", "--", "all"
    )
    planned = {line.split()[0] for line in plan.splitlines() if line.startswith(("make_", "train_", "draw_"))}
    assert "make_targets" in planned and "train_adapter" in planned
    assert not planned & {"make_samples", "make_rationales"}


def test_another_folder_and_other_cores_give_the_same_bytes(finished, repo, tmp_path):
    name, cores = FOLDERS[1]
    folder = tmp_path / f"{name} folder"  # a blank in its name, and the workflow's files lie there themselves
    copy(repo, folder)
    (folder / "small.yaml").write_text(CONFIG, encoding="utf-8")
    run(folder, cores, ["--configfile", "small.yaml", "--", "results/table1.csv"])
    again, before = digests(folder), digests(finished.root)
    assert compare(again, {path: before[path] for path in again if path in before}) == []
    kinds = ("table1.csv", "table1.md", "table1.tex", "scores.json", "adapter_model.safetensors", "samples.parquet")
    assert {path.rsplit("/", 1)[1] for path in again} >= {*kinds, "manifest.json", "outputs.parquet", "curves.png"}
