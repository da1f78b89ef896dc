"""What outsiders expect of a repository: each file parses, and says what the others say."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml


def read_yaml(path: Path) -> dict[str, object]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_ci_runs_what_contributors_run(repo: Path) -> None:
    text = (repo / ".github" / "workflows" / "ci.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert ".ci/run" in steps
    assert "secrets." not in text and yaml.safe_load(text)["permissions"] == {"contents": "read"}
    asked = set(re.findall(r"(?m)^(?:time )?make ([a-z-]+)$", (repo / ".ci" / "run").read_text()))
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):.*##", (repo / "Makefile").read_text()))
    assert {"test", "lint", "types", "format-check", "dry-runs", "docs"} <= asked <= targets


def test_issue_forms_are_forms(repo: Path) -> None:
    forms = [path for path in (repo / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) >= 2 and (repo / ".github" / "pull_request_template.md").exists()
    for path in forms:
        form = read_yaml(path)
        assert {"name", "description", "body"} <= set(form), path
        assert isinstance(form["body"], list)
        assert all(field["type"] == "markdown" or {"id", "attributes"} <= set(field) for field in form["body"]), path


def test_hooks_are_the_tools_of_the_environment(repo: Path) -> None:
    hooks = yaml.safe_load((repo / ".pre-commit-config.yaml").read_text())["repos"]
    assert [one["repo"] for one in hooks] == ["local"], "a hook fetched from elsewhere would have a version of its own"
    dev = tomllib.loads((repo / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    tools = {Path(hook["entry"].split()[0]).name for hook in hooks[0]["hooks"]}
    assert tools == {"ruff", "snakefmt", "mypy"} and tools <= set(dev)
    width = tomllib.loads((repo / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    assert f"max_line_length = {width}" in (repo / ".editorconfig").read_text()


def test_citation_names_the_software_and_the_paper(repo: Path) -> None:
    citation = read_yaml(repo / "CITATION.cff")
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors", "references"} <= set(citation)
    readme = (repo / "README.md").read_text()
    title = "End-to-End Generative Grounded Multimodal Named Entity Recognition"
    assert title in str(citation["references"]) and title in readme
    assert readme.count("@misc{") + readme.count("@software{") + readme.count("@article{") >= 2


def test_the_repository_has_one_address(repo: Path) -> None:
    urls = tomllib.loads((repo / "pyproject.toml").read_text())["project"]["urls"]
    home = urls["Homepage"]
    assert all(url.startswith(home) for name, url in urls.items() if name != "Paper")
    assert read_yaml(repo / "CITATION.cff")["repository-code"] == home
    assert f"repo_url: {home}\n" in (repo / "mkdocs.yml").read_text()


def test_the_snakemake_catalogue_finds_what_it_looks_for(repo: Path) -> None:
    usage = read_yaml(repo / ".snakemake-workflow-catalog.yml")["usage"]
    assert isinstance(usage, dict) and usage["software-stack-deployment"]["conda"] is True
    assert (repo / "config" / "README.md").exists() and (repo / "Snakefile").exists()


def imported_tests(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names] + [node.module or ""]
        found += [name for name in names if re.search(r"(^|\.)(test_\w+|conftest)(\.|$)", name)]
    return found


def test_no_test_imports_another(repo: Path) -> None:
    tests = repo / "tests"
    guilty = {
        path.relative_to(tests).as_posix(): names for path in tests.rglob("*.py") if (names := imported_tests(path))
    }
    assert not guilty, "what tests share belongs into tests/helpers or a fixture"


@pytest.mark.parametrize("code", ["from tests.core.test_boxes import box", "import tests.core.conftest"])
def test_an_import_of_a_test_is_seen(code: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(code)
    assert imported_tests(tmp_path / "a.py")
