"""The same bytes from two fresh folders, one with a blank in its name, by one core and by two; see `make identity`."""

from pathlib import Path

import pytest
from identity import FOLDERS, compare, copy, digests, run

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = """
datasets:
  demo-gmner: {kind: demo, train: 16, dev: 2, test: 6, seed: 3}
backbones:
  tiny: {kind: tiny}
teachers:
  evidence: {provider: template, style: evidence}
defaults:
  backbone: tiny
  teacher: evidence
  prompt: short
  train: {epochs: 1, batch_size: 8, accumulation: 1, max_length: 512, select: last, gradient_checkpointing: false}
  generate: {batch_size: 6, max_new_tokens: 8}
runs:
  full: {}
tables:
  table1: {runs: [full]}
"""


def test_two_folders_and_other_cores_give_the_same_bytes(repo: Path, tmp_path: Path) -> None:
    found = []
    for number, (name, cores) in enumerate(FOLDERS):
        folder = tmp_path / str(number) / name
        copy(repo, folder)
        (folder / "small.yaml").write_text(CONFIG, encoding="utf-8")
        run(folder, cores, ["--configfile", "small.yaml", "--", "all"])
        found.append(digests(folder))
    assert compare(*found) == []
    kinds = ("table1.csv", "table1.md", "table1.tex", "report.html", "scores.json", "adapter_model.safetensors")
    assert {path.rsplit("/", 1)[1] for path in found[0]} >= {*kinds, "manifest.json", "outputs.parquet", "curves.png"}
