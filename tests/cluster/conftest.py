import os
import subprocess
import sys
from pathlib import Path

import pytest

LINKED = ("Snakefile", "rules", "profiles", "workflow", "envs", "src", "config.yaml")
CONFIG = """
datasets:
  small: {kind: demo, train: 6, dev: 2, test: 2, seed: 3}
backbones:
  tiny: {kind: tiny}
teachers:
  evidence: {provider: template}
defaults: {backbone: tiny, teacher: evidence, prompt: short, train: {epochs: 1, select: last}}
runs:
  untuned: {kind: untuned}
  full: {}
tables:
  table1: {runs: [untuned, full]}
"""


class Checkout:
    """A folder with the workflow's files, the small configuration above and results of its own."""

    def __init__(self, root: Path, repo: Path) -> None:
        self.root = root
        for name in LINKED:
            (root / name).symlink_to(repo / name)
        (root / "small.yaml").write_text(CONFIG, encoding="utf-8")

    def snakemake(self, profile: str, *words: str, **variables: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **variables}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-m", "snakemake", "--profile", f"workflow/profiles/{profile}"]
        command += ["--configfile", "small.yaml", *words]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done.stdout + done.stderr


@pytest.fixture
def checkout(repo: Path, tmp_path: Path) -> Checkout:
    root = tmp_path / "checkout"
    root.mkdir()
    return Checkout(root, repo)
