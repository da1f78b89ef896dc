"""Answers made in shards: what is planned, what a killed shard costs, what reruns. Commands are stood in for."""

from collections import Counter

import pytest

from tests.helpers.trees import Tree

pytestmark = pytest.mark.slow

OUTPUTS = "results/generate/small/full/seed42/outputs.parquet"
IN_THREE = ("--config", "defaults={'generate': {'shards': 3}}")


def fail_at(tree: Tree, word: str) -> None:
    """Let the command with this word on its line die; an empty word lets all live."""
    dying = f"import sys\nif {word!r} in sys.argv[1:]:\n    sys.exit(1)\n" if word else ""
    path = tree.root / "src/gmner/__main__.py"
    text = path.read_text(encoding="utf-8").split("# dying ends\n")[-1]
    path.write_text(f"{dying}# dying ends\n{text}", encoding="utf-8")


def test_answers_in_shards(tree: Tree) -> None:
    whole = tree.planned(OUTPUTS, "--forcerun", "generate_outputs")
    assert whole == Counter(generate_outputs=1)
    assert tree.planned(OUTPUTS, *IN_THREE) == Counter(generate_shard=3, generate_outputs=1)
    fail_at(tree, "1-of-3")
    assert tree.snakemake("--keep-going", OUTPUTS, *IN_THREE).returncode != 0
    kept = sorted(path.name for path in (tree.root / OUTPUTS).parent.glob("shards/*"))
    assert kept == ["0-of-3.parquet", "2-of-3.parquet"]
    fail_at(tree, "")
    assert tree.planned(OUTPUTS, *IN_THREE) == Counter(generate_shard=1, generate_outputs=1)
    tree.run(OUTPUTS, *IN_THREE)
    assert not list((tree.root / OUTPUTS).parent.glob("shards/*")) and (tree.root / OUTPUTS).exists()
    assert tree.planned(OUTPUTS, *IN_THREE) == Counter()
    tree.edit("src/gmner/generation/stage.py", lambda text: text + "\nEDITED = True\n")
    assert tree.planned(OUTPUTS, *IN_THREE) == Counter(generate_shard=3, generate_outputs=1)


def test_the_number_of_processes_reruns_nothing(tree: Tree) -> None:
    two = "defaults={'train': {'launch': {'strategy': 'ddp', 'processes': 2}}}"
    assert tree.planned("all", "--config", two) == Counter()
