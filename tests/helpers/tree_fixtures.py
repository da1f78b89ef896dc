"""Trees of the workflow with commands stood in for."""

import shutil
from pathlib import Path

import pytest

from tests.helpers.trees import CONFIG, COPIED, Tree


@pytest.fixture(scope="session")
def bare_tree(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflow's files and nothing made, with commands stood in for."""
    root = tmp_path_factory.mktemp("bare")
    for name in COPIED:
        source = repo / name
        if source.is_dir():
            shutil.copytree(
                source, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "*.egg-info")
            )
        else:
            shutil.copy(source, root / name)
    shutil.copy(Path(__file__).with_name("stand_in_command.py"), root / "src" / "gmner" / "__main__.py")
    return root


@pytest.fixture(scope="session")
def done_tree(bare_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a small experiment's results made by Snakemake."""
    root = tmp_path_factory.mktemp("done") / "tree"
    shutil.copytree(bare_tree, root, symlinks=True)
    (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
    Tree(root).run("all")
    return root


@pytest.fixture
def tree(done_tree: Path, tmp_path: Path) -> Tree:
    """A copy of the tree with results, to change at will."""
    shutil.copytree(done_tree, tmp_path / "tree", symlinks=True)
    return Tree(tmp_path / "tree")


@pytest.fixture
def fresh(bare_tree: Path) -> Tree:
    """The tree without results, for dry runs: they change nothing in it."""
    return Tree(bare_tree)
