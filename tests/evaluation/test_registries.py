"""Adding a convention and a metric exactly as docs/extending.md says, in a copied tree: two files each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gmner.evaluation.compared import Convention
from gmner.evaluation.conventions import CONVENTIONS, convention_of
from gmner.evaluation.metrics import METRICS, metric_of

CONVENTION = '''
"""Mentions alone."""
from gmner.evaluation.record_matching import RecordMatching
from dataclasses import dataclass, replace

@dataclass(frozen=True)
class LowerCase(RecordMatching):
    """Letter case does not count."""

    def compare(self, sample, predicted, iou, fine=False):
        """Compare lower-case mentions."""
        found = super().compare(sample, predicted, iou, fine)
        lower = lambda side: [replace(r, mention=r.mention.lower()) for r in side]
        return replace(found, predicted=lower(found.predicted), gold=lower(found.gold))

DUMMY = LowerCase("dummy")
'''
METRIC = '''
"""Predictions of one word."""
from gmner.evaluation.metrics import Metric, share_percent

SHORT = Metric(
    "one word", ("short", "predicted"),
    lambda tweet: (sum(" " not in r.mention for r in tweet.predicted), len(tweet.predicted)), share_percent,
)
'''


@pytest.fixture
def tree(repo: Path, tmp_path: Path) -> Path:
    shutil.copytree(repo / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "txt").mkdir()
    (tmp_path / "xml").mkdir()
    (tmp_path / "txt" / "test.txt").write_text("IMGID:1\nJo\tB-PER\nDoe\tI-PER\nParis\tB-LOC\n\n", encoding="utf-8")
    rows = [{"image_id": "1", "output": "jo doe|PER|None; Paris|LOC|None"}]
    (tmp_path / "p.jsonl").write_text("".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def _score(tree: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "gmner", "score", "txt/test.txt", "p.jsonl", "--json", *options]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _add(path: Path, after: str, line: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(after) == 1
    path.write_text(text.replace(after, f"{after}\n    {line}"), encoding="utf-8")


def test_add_a_convention(tree: Path) -> None:
    package = tree / "src" / "gmner" / "evaluation"
    (package / "dummy.py").write_text(CONVENTION, encoding="utf-8")
    line = '"dummy": ConventionEntry("nobody\'s", "gmner.evaluation.dummy:DUMMY"),'
    _add(package / "conventions.py", "CONVENTIONS = {", line)
    assert _score(tree)["gmner"]["correct"] == 1
    found = _score(tree, "--profile", "dummy")
    assert found["gmner"]["correct"] == 2
    assert found["signature"].startswith("gmner|profile:dummy|")
    check = "from gmner.config.run import ScoreSettings; print(ScoreSettings(profile='dummy').profile)"
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    said = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "dummy\n"


def test_add_a_metric(tree: Path) -> None:
    package = tree / "src" / "gmner" / "evaluation"
    (package / "dummy.py").write_text(METRIC, encoding="utf-8")
    _add(package / "metrics.py", "METRICS = {", '"short": "gmner.evaluation.dummy:SHORT",')
    found = _score(tree)
    assert found["percent"]["short"] == 50
    assert found["counts"]["short"] == {"short": 1, "predicted": 2}
    assert found["intervals"]["short"]["low"] <= 50


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_convention_is_whole(name: str) -> None:
    convention: Convention = convention_of(name)
    assert convention.name == name
    assert f"profile:{name}|" in convention.signature(0.5)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_makes_per_cent_of_nothing(name: str) -> None:
    assert metric_of(name).of([]) == 0


def test_what_a_registry_names_takes_part_in_the_fingerprint() -> None:
    from gmner.config.run import ScoreSettings
    from gmner.config.stages import ScoresStage
    from gmner.workflow import stage_code

    chosen = stage_code.scores(ScoresStage(score=ScoreSettings(profile="sake"), fine=False)).also
    assert "gmner.evaluation.box_sets" in chosen
    assert "gmner.evaluation.modality_bias" in chosen
    assert "gmner.evaluation.record_matching" not in chosen
