"""Pins move together: the constraints, the environments, and the container that is made of them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.trees import Tree


@pytest.fixture
def copy(repo: Path, tmp_path: Path) -> Path:
    for path in (*repo.glob("constraints*.txt"), repo / "pyproject.toml"):
        shutil.copy(path, tmp_path / path.name)
    shutil.copytree(repo / "envs", tmp_path / "envs")
    return tmp_path


def upgrade(root: Path, versions: dict[str, str]) -> str:
    entries = [{"metadata": {"name": name, "version": version}} for name, version in versions.items()]
    (root / "report.json").write_text(json.dumps({"install": entries}))
    words = [sys.executable, "envs/upgrade.py", "--report", "report.json"]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout


def files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (*root.glob("constraints*.txt"), *(root / "envs").glob("*.yaml"))}


def test_the_versions_there_are_change_nothing(copy: Path) -> None:
    before = files(copy)
    pins = dict(line.split("==") for line in before["constraints.txt"].splitlines() if "==" in line)
    assert "everything is up to date" in upgrade(copy, {**pins, "gmner": "9.9"})
    assert files(copy) == before


def test_a_new_version_goes_into_constraints_and_every_environment(copy: Path) -> None:
    said = upgrade(copy, {"numpy": "99.1", "torch": "98.0+cpu", "Some_New.Package": "1.0", "PyYAML": "97.0"})
    assert "numpy: " in said and "some-new-package: new -> 1.0" in said
    after = files(copy)
    assert {"numpy==99.1", "torch==98.0", "some-new-package==1.0", "pyyaml==97.0"} <= set(
        after["constraints.txt"].splitlines()
    )
    for name, text in after.items():
        if name.endswith(".yaml"):
            pinned = yaml.safe_load(text)["dependencies"][2]["pip"]
            own = name == "vllm.yaml"  # pins numpy of its own
            assert [line for line in pinned if line.startswith("numpy==")] in ([], ["numpy==99.1"]) or own, name
            assert "torch==98.0" in pinned or not [line for line in pinned if line.startswith("torch==")] or own, name
    assert not [line for line in after["vllm.yaml"].splitlines() if "numpy==99.1" in line]


def test_the_container_holds_what_the_workflow_needs_and_no_more(repo: Path) -> None:
    text = (repo / "Dockerfile").read_text()
    copied = set(re.findall(r"(?m)^COPY (.+) \S+$", text))
    names = {name for line in copied for name in line.split()}
    assert {"Snakefile", "config.yaml", "rules", "envs", "profiles", "workflow", "src", "constraints.txt"} <= names
    assert all((repo / name).exists() for name in names)
    ignored = (repo / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*" and names == {line[1:] for line in ignored if line.startswith("!")}
    assert re.search(r"(?m)^FROM python:3\.11-", text) and re.search(r"(?m)^USER 1000", text)
    assert "--constraint constraints.txt" in text and not re.search(r"(?i)(key|token|secret|password)=", text)
    assert not re.search(r"\b(curl|wget|sudo)\b|\bADD http", text)
    last_user = text.rindex("\nUSER ")
    assert "\nRUN " not in text[last_user:]


@pytest.mark.slow
def test_an_image_is_used_only_where_it_is_named(repo: Path, fresh: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (repo / "Snakefile").read_text().count("containerized:") == 1
    plain = fresh.planned("results/table1.csv")
    monkeypatch.setenv("GMNER_IMAGE", "docker://example.org/gmner:1")
    assert fresh.planned("results/table1.csv") == plain
