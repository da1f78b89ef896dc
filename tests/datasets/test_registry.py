"""A dataset is added as docs/extending.md says: a settings class, a file, a line in the registry."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gmner.config.data import DatasetBase
from gmner.datasets import DATASETS

# What the guide says to write: one settings class in gmner/config/data.py …
SETTINGS = '''
class LinesDataset(DatasetBase):
    """One sentence per line of a text file, nothing annotated."""

    kind: Literal["lines"] = "lines"
    path: str

    @property
    def folders(self) -> Mapping[str, str]:
        return {"annotations": self.path}


'''
# … one new file …
MODULE = '''"""Sentences of a text file, all as test samples with one image."""

from pathlib import Path

from gmner.config.data import LinesDataset
from gmner.core.records import Sample
from gmner.datasets.oddities import Problems
from gmner.datasets.samples import Built, Folders


def build_lines(settings: LinesDataset, dataset: str, folders: Folders) -> Built:
    """Make the samples."""
    text = (Path(settings.path) / "lines.txt").read_text(encoding="utf-8")
    samples = [
        Sample(f"test/{n}", dataset, "test", str(n), "a.jpg", (9, 9), tuple(line.split()), line, ())
        for n, line in enumerate(text.splitlines())
    ]
    return Built(samples, Problems(), [])
'''
# … and one line in the registry.
ENTRY = '    "lines": DatasetEntry(LinesDataset, "gmner.datasets.lines:build_lines"),\n'

CHECK = """
import json, sys
from gmner.cli import main
from gmner.config import load_config_file
from gmner.storage.tables import read_samples
from gmner.workflow.job import Job
from gmner.workflow.plan import Plan
plan = Plan(load_config_file("config.yaml"))
job = Job("samples", dataset="mine")
assert plan.inputs(job) == [] and plan.settings(job).content, plan.settings(job)
assert plan.code(job)
told = plan.settings(job).model_dump_json()
assert main(["stage", "samples", "--settings", told, "--out", "s.parquet", "--report", "r.json"]) == 0
assert [sample.text for sample in read_samples("s.parquet")] == ["Ann in Rome", "Bob"]
assert main(["config", "check", "bad.yaml"]) == 1
"""
CONFIG = """
datasets: {mine: {kind: lines, path: data}}
backbones: {tiny: {kind: tiny}}
teachers: {t: {provider: template}}
defaults: {backbone: tiny, teacher: t}
runs: {full: {}}
"""


@pytest.mark.parametrize("kind", DATASETS)
def test_every_entry_is_whole(kind: str) -> None:
    entry = DATASETS[kind]
    assert issubclass(entry.settings, DatasetBase) and entry.settings.model_fields["kind"].default == kind
    assert callable(entry.build()) and entry.build().__module__ == entry.module


def test_a_dataset_is_added_as_the_guide_says(repo: Path, tmp_path: Path) -> None:
    package = tmp_path / "src/gmner"
    shutil.copytree(repo / "src/gmner", package, ignore=shutil.ignore_patterns("__pycache__"))
    settings, registry = package / "config/data.py", package / "datasets/__init__.py"
    text = settings.read_text(encoding="utf-8")
    head, marker, tail = text.partition("DatasetSettings = Annotated[")
    settings.write_text(head + SETTINGS + marker + "LinesDataset | " + tail, encoding="utf-8")
    (package / "datasets/lines.py").write_text(MODULE, encoding="utf-8")
    text = registry.read_text(encoding="utf-8").replace("import DatasetBase, ", "import DatasetBase, LinesDataset, ")
    registry.write_text(text.replace('    "demo":', ENTRY + '    "demo":'), encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/lines.txt").write_text("Ann in Rome\nBob\n")
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "bad.yaml").write_text(CONFIG.replace("path", "paht"))
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'src')\n{CHECK}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "did you mean 'path'" in done.stderr
