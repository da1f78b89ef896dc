"""The environments name the versions of the constraints file, and the constraints cover the project."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

from gmner.workflow.fingerprint import package_code
from gmner.workflow.job import Way
from gmner.workflow.run_kinds import RUN_KINDS
from gmner.workflow.stages import STAGES


def pins(repo: Path, environment: str = "") -> dict[str, str]:
    """The versions of constraints.txt, and over them those of constraints-<environment>.txt where there is one."""
    found: dict[str, str] = {}
    for path in (repo / "constraints.txt", repo / f"constraints-{environment}.txt"):
        lines = path.read_text().splitlines() if path.exists() else []
        found |= dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environments_pin_the_constraints_versions(repo: Path) -> None:
    files = sorted((repo / "envs").glob("*.yaml"))
    assert files
    for file in files:
        parts = yaml.safe_load(file.read_text())["dependencies"]
        assert parts[0] == "python =3.11" and parts[1] == "pip", file
        for line in parts[2]["pip"]:
            name, version = line.split("==")
            assert pins(repo, file.stem).get(normal(name)) == version, f"{file.name}: {line}"


def test_each_further_constraints_file_belongs_to_an_environment_and_differs(repo: Path) -> None:
    files = sorted(repo.glob("constraints-*.txt"))
    assert files
    for file in files:
        own = pins(repo, file.stem.removeprefix("constraints-"))
        used = (repo / "envs" / f"{file.stem.removeprefix('constraints-')}.yaml").read_text()
        for line in file.read_text().splitlines():
            if not line.startswith("#"):
                name, version = line.split("==")
                assert own[name] == version != pins(repo).get(name) and line in used, line


def test_every_dependency_is_constrained(repo: Path) -> None:
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    names = [*project["dependencies"], *(name for group in project["optional-dependencies"].values() for name in group)]
    names = [normal(re.split(r"[\[<>=!~; ]", name)[0]) for name in names]
    missing = [
        name for name in names if name not in pins(repo) | pins(repo, "vllm") | pins(repo, "demo") and name != "gmner"
    ]
    assert not missing


# Never imported by name: the workflow's own program, what TRL's trainer asks for, weight formats.
NOT_IMPORTED = {"accelerate", "safetensors", "snakemake", "jinja2", "tabulate"}  # the last two by pandas
BROUGHT_ALONG = {"pydantic-core"}
# The extras of the stages; the others hold what is optional, or for development.
OF_STAGES = ("workflow", "teachers", "train")


def test_the_project_names_what_it_imports_and_nothing_else(repo: Path) -> None:
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {*project["dependencies"], *(name for extra in OF_STAGES for name in extras[extra])}
    imported = set().union(*(imports_of(path) for path in (repo / "src").rglob("*.py"))) - {"gmner", *OPTIONAL}
    installed = packages_distributions()
    names = {normal(installed.get(name, [name])[0]) for name in imported if name not in sys.stdlib_module_names}
    assert names - BROUGHT_ALONG <= declared, "imported, but in no list of pyproject.toml"
    assert declared - NOT_IMPORTED - OPTIONAL <= names, "in pyproject.toml, but imported nowhere"
    text = (repo / "docs" / "dependencies.md").read_text()
    assert not [name for name in declared if not re.search(rf"^\|.*\b{re.escape(name)}\b.*\|", text, re.MULTILINE)]


def test_every_environment_is_used(repo: Path) -> None:
    used = {environment for environments in ENVIRONMENTS_OF_COMMANDS.values() for environment in environments}
    assert used | {"demo"} == {path.stem for path in (repo / "envs").glob("*.yaml")}


# Imported only where a key asks for it, or part of what another package brings.
OPTIONAL = {"tensorboard", "wandb", "gradio", "vllm", "bitsandbytes", "liger_kernel", "flash_attn"}


def imports_of(path: Path) -> set[str]:
    """Return the top names of the modules that a file imports, relative ones aside."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        found |= {name.split(".")[0] for name in names if name}
    return found


def third_party_imports(command: str) -> set[str]:
    """Return the packages outside the standard library that a command's modules import."""
    found: set[str] = set()
    code = package_code()
    for module in code.behind((command, "gmner.workflow.plan", "gmner.cli")):
        found |= imports_of(code.file(module))
    return {name for name in found if name not in sys.stdlib_module_names} - {"gmner", "", *OPTIONAL}


def ways() -> list[Way]:
    """Return every way in which a stage is done."""
    return [
        *(stage.way for stage in STAGES.values()),
        *(way for kind in RUN_KINDS.values() for way in kind.ways.values()),
    ]


CHOSEN = {"of_teacher": ("teacher", "train"), "of_engine": ("train", "vllm")}
ENVIRONMENTS_OF_COMMANDS = {
    way.command: (way.environment,) if isinstance(way.environment, str) else CHOSEN[way.environment.__name__]
    for way in ways()
}


def test_each_environment_has_what_its_commands_import(repo: Path) -> None:
    installed = packages_distributions()
    for command, environments in sorted(ENVIRONMENTS_OF_COMMANDS.items()):
        for environment in environments:
            parts = yaml.safe_load((repo / "envs" / f"{environment}.yaml").read_text())["dependencies"]
            there = {normal(line.split("==")[0]) for line in parts[2]["pip"]}
            there |= {"llguidance"} if "vllm" in there else set()  # vLLM brings it
            for name in third_party_imports(command):
                needed = {normal(distribution) for distribution in installed.get(name, [name])}
                assert needed & there, f"{environment}.yaml lacks {name}, which {command} imports"
