"""Every ready experiment is planned without error, and the Snakefile passes Snakemake's own lint."""

from pathlib import Path

import pytest

from tests.helpers.trees import Tree

pytestmark = pytest.mark.slow
CONFIGS = ("demo", "paper", "qwen3-vl-8b", "release", "smoke", "twitter-fmnerg", "twitter-gmner")


@pytest.mark.parametrize("name", CONFIGS)
def test_dry_run(fresh: Tree, name: str) -> None:
    planned = fresh.planned("all", "--configfile", f"workflow/configs/{name}.yaml")
    assert planned["make_samples"] >= 1 and planned["write_table"] >= 1


def test_api_runs_train_nothing(fresh: Tree) -> None:
    planned = fresh.planned("results/table1.csv", "--configfile", "workflow/configs/paper.yaml")
    assert planned["generate_outputs"] == 6 and planned["train_adapter"] == 2


def test_every_ready_experiment_is_tried(repo: Path) -> None:
    assert sorted(path.stem for path in (repo / "workflow/configs").glob("*.yaml")) == sorted(CONFIGS)


def test_demo_is_the_shipped_configuration(repo: Path) -> None:
    assert (repo / "workflow/configs/demo.yaml").read_text() == (repo / "config.yaml").read_text()


def test_named_target_plans_that_stage_and_what_it_needs(fresh: Tree) -> None:
    planned = fresh.planned("rationales")
    assert planned["ask_teacher"] == 6 and planned["make_samples"] == 2
    assert not planned["train_adapter"] and not planned["prepare_backbone"]


def test_configfile_replaces_the_shipped_one_and_single_values_are_laid_over(fresh: Tree) -> None:
    """Nothing of config.yaml is left: neither its data sets nor its runs."""
    planned = fresh.planned("train", "--configfile", "workflow/configs/smoke.yaml", "--config", "seeds=[1, 2]")
    assert planned["make_samples"] == 1 and planned["train_adapter"] == 2


def test_broken_configuration_stops_before_anything_is_planned(fresh: Tree) -> None:
    done = fresh.snakemake("-n", "--config", "defaults={'grbp': {'betta': 0.1}}")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "defaults.grbp.betta: unknown key; did you mean 'beta'?" in text
    assert "Traceback" not in text


def test_lint(fresh: Tree) -> None:
    done = fresh.snakemake("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_list_of_rules_reads_like_a_table_of_contents(fresh: Tree) -> None:
    text = fresh.snakemake("--list-rules").stdout
    lines = [line for line in text.splitlines() if line]
    assert all("(" in line for line in lines), text
    for number in range(10):
        assert sum(f"(Stage {number}:" in line for line in lines) == 1, number
