"""What is done again after which change, proved by dry runs on results that Snakemake made."""

import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.trees import CONFIG, Tree

pytestmark = pytest.mark.slow


def test_nothing_changed_nothing_to_do(tree: Tree) -> None:
    assert tree.planned("all") == Counter()


def test_edit_in_metrics_reruns_scores_and_tables_only(tree: Tree) -> None:
    tree.edit("src/gmner/evaluation/counts.py", lambda text: text + "\nEDITED = True\n")
    assert tree.planned("all") == Counter(score_predictions=3, write_table=1, draw_figure3=1, write_report=1, all=1)


def test_strength_of_one_run_reruns_that_run_from_targets_on(tree: Tree) -> None:
    tree.edit("config.yaml", lambda text: text.replace("a: 0.3", "a: 0.2"))
    wanted = Counter(make_targets=1, train_adapter=1, generate_outputs=1, parse_predictions=1, score_predictions=1)
    assert tree.planned("all") == wanted + Counter(draw_figure3=1, write_report=1, all=1)
    assert tree.planned("results/table1.csv") == Counter()


def test_edited_docstrings_and_comments_rerun_nothing(tree: Tree) -> None:
    for file in sorted((tree.root / "src/gmner").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if text.startswith('"""'):
            end = text.index('"""', 3) + 3
            file.write_text(f'"""Edited."""{text[end:]}\n# A new comment.\n', encoding="utf-8")
    assert tree.planned("all") == Counter()


def test_new_times_rerun_nothing(tree: Tree) -> None:
    scramble_times(tree.root)
    assert tree.planned("all") == Counter()


def test_new_checkout_over_existing_results_reruns_nothing(tree: Tree, bare_tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "checkout"
    shutil.copytree(bare_tree, elsewhere, ignore=shutil.ignore_patterns("results", "resources", ".snakemake"))
    (elsewhere / "config.yaml").write_text(CONFIG, encoding="utf-8")
    for name in ("results", "resources"):
        shutil.copytree(tree.root / name, elsewhere / name)
    scramble_times(elsewhere)
    checkout = Tree(elsewhere)
    assert not (elsewhere / ".snakemake").exists()
    assert checkout.planned("all") == Counter()
    checkout.edit("config.yaml", lambda text: text.replace("a: 0.3", "a: 0.2"))
    assert checkout.planned("all")["make_targets"] == 1


def test_changed_content_of_an_input_reruns_what_reads_it(tree: Tree) -> None:
    tree.edit("workflow/paper/table1.csv", lambda text: text + "\n")
    assert tree.planned("all") == Counter(write_table=1, write_report=1, all=1)


def test_printed_numbers_with_an_old_time_rerun_their_table(tree: Tree) -> None:
    tree.edit("workflow/paper/table1.csv", lambda text: text + "\n")
    os.utime(tree.root / "workflow/paper/table1.csv", (1_000_000_000, 1_000_000_000))
    assert tree.planned("results/table1.csv") == Counter(write_table=1)


def test_another_tiny_backbone_with_an_old_time_is_used_anew(tree: Tree) -> None:
    tree.edit("workflow/assets/tiny/manifest.json", lambda text: text.replace("{", "{ ", 1))
    os.utime(tree.root / "workflow/assets/tiny/manifest.json", (1_000_000_000, 1_000_000_000))
    planned = tree.planned("all")
    assert planned["prepare_backbone"] == 1 and planned["train_adapter"] == 2


@pytest.mark.parametrize(
    "file",
    ["llm_client/concurrency.py", "training/curves.py", "datasets/report.py", "storage/locks.py", "errors.py",
     "runtime/progress.py", "workflow/plan.py", "prompts/texts/model/standard_user.txt",
     "prompts/texts/teacher/gold-v1-user.txt", "datasets/twitter.py", "llm_client/providers/openai.py"],
)  # fmt: skip
def test_what_decides_nothing_here_reruns_nothing(tree: Tree, file: str) -> None:
    """Transport, curves, reports of data, locks, words; prompts, readers and providers that no run uses."""
    more = "\n" if file.endswith(".txt") else "\nEDITED = True\n"
    tree.edit(f"src/gmner/{file}", lambda text: text + more + ("other words" if file.endswith(".txt") else ""))
    assert not [rule for rule in tree.planned("all") if rule not in {"write_report", "all"}]


def test_a_used_prompt_s_wording_trains_again(tree: Tree) -> None:
    tree.edit("src/gmner/prompts/texts/model/short_user_think.txt", lambda text: text + " please")
    assert tree.planned("all")["train_adapter"] == 2


def test_interrupted_chain_is_not_taken_for_done(tree: Tree) -> None:
    tree.edit("config.yaml", lambda text: text.replace("a: 0.3", "a: 0.2"))
    tree.run("targets")
    scramble_times(tree.root)
    left = tree.planned("all")
    assert left == Counter(
        train_adapter=1,
        generate_outputs=1,
        parse_predictions=1,
        score_predictions=1,
        draw_figure3=1,
        write_report=1,
        all=1,
    )


def test_titles_rerun_tables_only(tree: Tree) -> None:
    assert tree.planned("all", "--config", "runs={'full': {'title': 'Ours'}}") == Counter(
        write_table=1, draw_figure3=1, write_report=1, all=1
    )


def test_the_page_s_own_parts_and_settings_rerun_the_page_only(tree: Tree) -> None:
    tree.edit("src/gmner/reporting/html/page/page.css", lambda text: text + "\n/* edited */\n")
    assert tree.planned("all") == Counter(write_report=1, all=1)


def test_smaller_images_rerun_the_page_only(tree: Tree) -> None:
    assert tree.planned("all", "--config", "report={'image_side': 160}") == Counter(write_report=1, all=1)


def test_how_something_is_done_reruns_nothing(tree: Tree) -> None:
    assert tree.planned("all", "--config", "defaults={'generate': {'batch_size': 3}}") == Counter()


def scramble_times(root: Path) -> None:
    draw = random.Random(0)
    for file in sorted(root.rglob("*")):
        if file.is_file() and not file.is_symlink() and ".snakemake" not in file.parts:
            moment = draw.randrange(1_500_000_000, 1_900_000_000)
            os.utime(file, (moment, moment))
