"""Reading the Snakefile changes nothing on disk, and refuses what `gmner config check` refuses."""

import hashlib
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from gmner.cli import main
from tests.helpers.trees import CONFIG, Tree

pytestmark = pytest.mark.slow


@pytest.fixture
def bare(bare_tree: Path, tmp_path: Path) -> Tree:
    shutil.copytree(bare_tree, tmp_path / "tree", ignore=shutil.ignore_patterns(".snakemake", "results", "resources"))
    return Tree(tmp_path / "tree")


def entries(root: Path) -> dict[str, str]:
    """Return everything in a tree but Snakemake's own folder and compiled files, with digests and targets of links."""
    found = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if "__pycache__" in parts or (parts[0] == ".snakemake" and parts[1:2] != ("gmner",) and not path.is_symlink()):
            continue
        if path.is_symlink():
            found["/".join(parts)] = f"-> {path.readlink()}"
        else:
            found["/".join(parts)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


@pytest.mark.parametrize("words", [("-n",), ("--lint",), ("--list-rules",), ("-n", "all"), ("--summary",)])
def test_parsing_changes_nothing(bare: Tree, words: tuple[str, ...]) -> None:
    before = entries(bare.root)
    assert bare.snakemake(*words).returncode == 0
    assert entries(bare.root) == before


def test_a_dry_run_over_results_changes_nothing(tree: Tree) -> None:
    before = entries(tree.root)
    assert tree.planned("all") == Counter()
    assert entries(tree.root) == before


def test_snakemake_keeps_its_records_and_its_locks_where_we_look(bare: Tree) -> None:
    """The names of Snakemake's own folders that the package knows: if this fails, see snakemake_run and killed_runs."""
    (bare.root / "Snakefile").write_text(
        "rule all:\n  output: 'out.txt'\n"
        "  shell: 'ls .snakemake/locks > {output}; ls -d .snakemake/incomplete/* >> {output}'\n"
    )
    bare.run()
    lines = (bare.root / "out.txt").read_text().splitlines()
    assert any(line.endswith(".lock") for line in lines) and any("incomplete/" in line for line in lines)
    assert list((bare.root / ".snakemake/metadata").iterdir())


TWICE = CONFIG + "seeds: [1]\nseeds: [2]\n"
CODE = CONFIG + "__use_yte__: true\n?__import__('pathlib').Path('ran').touch() or 'seeds': [1]\n"
MANY = "a: &a [1, 2, 3]\n" + CONFIG + "seeds: [*a, *a]\n"


@pytest.mark.parametrize("text", [TWICE, CODE, MANY, CONFIG + "report: {tweets: 1, tweets: 2}\n"])
@pytest.mark.parametrize("how", ["config.yaml", "--configfile", "several"])
def test_what_the_check_refuses_the_workflow_refuses(
    bare: Tree, text: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = bare.root / ("config.yaml" if how == "config.yaml" else "bad.yaml")
    bad.write_text(text, encoding="utf-8")
    (bare.root / "good.yaml").write_text(CONFIG, encoding="utf-8")
    assert main(["config", "check", str(bad)]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    files = {
        "config.yaml": (),
        "--configfile": ("--configfile", "bad.yaml"),
        "several": ("--configfile", "good.yaml", "bad.yaml"),
    }
    done = bare.snakemake("-n", *files[how])
    assert done.returncode != 0 and "Traceback" not in done.stderr + done.stdout
    if text != CODE:
        assert said.split(":")[-1].strip() in done.stderr + done.stdout
    if how == "config.yaml":
        assert not (bare.root / "ran").exists()


def test_a_failed_run_ends_with_the_reason(tree: Tree) -> None:
    main_file = tree.root / "src/gmner/__main__.py"
    main_file.write_text(
        "import sys\nfrom gmner.workflow.killed_runs import tell_why\n"
        "tell_why('error: the disk is full; make room'); sys.exit('error: the disk is full; make room')\n"
    )
    done = tree.snakemake("results/table1.csv", "--forcerun", "write_table")
    assert done.returncode != 0
    text = done.stderr + done.stdout
    assert text.index("the disk is full") < text.rindex("the disk is full")
    assert '{"' not in text and len(text) < 8000
    assert not list((tree.root / ".snakemake/gmner").glob("*.errors"))


def test_the_report_of_what_is_finished_trains_nothing(tree: Tree) -> None:
    assert tree.planned("report") == Counter(write_report=1, report=1)  # the other one was of everything
    shutil.rmtree(tree.root / "results/train/small/strong")
    (tree.root / "results/figure3.csv").unlink()
    planned = tree.planned("report")
    assert planned == Counter(write_report=1, report=1)
    tree.run("report")
    told = (tree.root / "results/settings/report.json").read_text()
    assert '"run":"full"' in told and '"run":"strong"' not in told and "figure3" not in told
    assert tree.planned("report") == Counter()
    assert tree.planned("all")["train_adapter"] == 1


def test_a_new_dataset_is_done_by_the_default_target(tree: Tree) -> None:
    own = CONFIG.replace("  small:", "  mine: {kind: demo, train: 8, dev: 4, test: 4, seed: 9}\n  small:")
    own = own.replace("table1: {runs: [untuned, full]}", "table1: {runs: [untuned, full], datasets: [small]}")
    own = own.replace("figure3: {runs: [full, strong]}", "figure3: {runs: [full, strong], datasets: [small]}")
    (tree.root / "config.yaml").write_text(own, encoding="utf-8")
    planned = tree.planned()
    assert planned["train_adapter"] == 1 and planned["score_predictions"] == 2 and planned["write_table"] == 0


def test_the_main_table_is_shown_after_it_was_made(tree: Tree) -> None:
    done = tree.snakemake("results/table1.csv", "--forcerun", "write_table")
    assert "in results/table1.csv" in done.stderr, sys.version
