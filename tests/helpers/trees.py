"""Copies of the workflow to run and to change in tests."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

COPIED = ("Snakefile", "rules", "profiles", "workflow", "envs", "config.yaml", "src")
CONFIG = """
datasets:
  small: {kind: demo, train: 8, dev: 4, test: 4}
backbones:
  tiny: {kind: tiny}
teachers:
  template: {provider: template}
defaults: {backbone: tiny, teacher: template, prompt: short, train: {epochs: 2, select: last}}
runs:
  untuned: {kind: untuned}
  full: {}
  strong: {grbp: {beta: 0.3, gamma: 0.3}}
tables:
  table1: {runs: [untuned, full]}
  figure3: {runs: [full, strong]}
"""


class Tree:
    """A copy of the workflow in which commands are stood in for; see stand_in_command.py."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def snakemake(self, *words: str) -> "subprocess.CompletedProcess[str]":
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *words]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def run(self, *words: str) -> None:
        done = self.snakemake(*words)
        assert done.returncode == 0, done.stdout + done.stderr

    def planned(self, *words: str) -> Counter[str]:
        """Return the rules that a dry run would run, with how often; empty where there is nothing to do."""
        done = self.snakemake("-n", *words)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        lines = text.splitlines()
        if "Job stats:" not in lines:
            assert "Nothing to be done" in text, text
            return Counter()
        start = lines.index("Job stats:") + 3
        end = next(number for number in range(start, len(lines)) if lines[number].startswith("total"))
        return Counter({line.split()[0]: int(line.split()[1]) for line in lines[start:end]})

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        file = self.root / path
        before = file.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, f"{path}: nothing to edit"
        file.write_text(after, encoding="utf-8")
