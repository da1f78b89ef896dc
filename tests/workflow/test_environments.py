"""The environments name the versions of the constraints file, and the constraints cover the project."""

import re
import tomllib
from pathlib import Path

import yaml


def pins(repo: Path) -> dict[str, str]:
    lines = (repo / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environments_pin_the_constraints_versions(repo: Path) -> None:
    known = pins(repo)
    files = sorted((repo / "envs").glob("*.yaml"))
    assert files
    for file in files:
        parts = yaml.safe_load(file.read_text())["dependencies"]
        assert parts[0] == "python =3.11" and parts[1] == "pip", file
        for line in parts[2]["pip"]:
            name, version = line.split("==")
            assert known.get(normal(name)) == version, f"{file.name}: {line}"


def test_every_dependency_is_constrained(repo: Path) -> None:
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    names = [*project["dependencies"], *(name for group in project["optional-dependencies"].values() for name in group)]
    missing = [name for name in names if normal(re.split(r"[\[<>=!~; ]", name)[0]) not in pins(repo)]
    assert not missing


def test_every_environment_is_used(repo: Path) -> None:
    rules = "".join(path.read_text() for path in (repo / "rules").glob("*.smk"))
    unused = [path.name for path in (repo / "envs").glob("*.yaml") if f"envs/{path.name}" not in rules]
    assert not unused
