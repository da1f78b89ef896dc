import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LINKED = ("Snakefile", "rules", "profiles", "workflow", "envs", "src", "config.yaml")


class Workspace:
    """An empty folder with the workflow in it: the same files, results of its own."""

    def __init__(self, root: Path, repo: Path) -> None:
        self.root = root
        for name in LINKED:
            (root / name).symlink_to(repo / name)

    def snakemake(self, *words: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def workspace(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    if not (repo / "workflow/assets/tiny/model.safetensors").exists():
        pytest.fail("workflow/assets/tiny is missing: the tiny backbone ships with the repository")
    root = tmp_path_factory.mktemp("workspace")
    yield Workspace(root, repo)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def plain_workspace(repo: Path, tmp_path: Path) -> Workspace:
    """A workspace for what needs no backbone."""
    root = tmp_path / "workspace"
    root.mkdir()
    return Workspace(root, repo)
