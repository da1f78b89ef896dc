"""Refresh constraints.txt and envs/*.yaml together: `make upgrade`, or `python envs/upgrade.py`.

pip works out the newest versions that fit the project with all its extras (nothing is installed: `--dry-run`), and
every pin follows. `envs/vllm.yaml` keeps the versions that constraints-vllm.txt names. Run the tests afterwards.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
# Extras whose packages exist for GPUs or one system alone; their pins stay unless the rest moves them. vLLM pins
# versions of its own (constraints-vllm.txt).
LEFT_OUT = {"gpu", "vllm"}


def resolve(repo: Path) -> dict[str, Any]:
    """Return pip's report of what it would install for the project with its extras."""
    project = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ",".join(sorted(set(project["optional-dependencies"]) - LEFT_OUT))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*words, "--report", str(report), f"{repo}[{extras}]"], check=True)
        return json.loads(report.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def versions_of(report: dict[str, Any]) -> dict[str, str]:
    """Return the version of each package in pip's report, the project itself aside; builds (`+cpu`) are no versions."""
    found = {}
    for entry in report["install"]:
        name, version = entry["metadata"]["name"], entry["metadata"]["version"]
        if normal(name) != "gmner":
            found[normal(name)] = version.split("+")[0]
    return found


def normal(name: str) -> str:
    """Return a package's name in its one normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def refresh(repo: Path, versions: dict[str, str]) -> list[str]:
    """Write the versions into constraints.txt and envs/*.yaml; return what changed, one line a package."""
    path = repo / "constraints.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    old = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    new = old | versions
    path.write_text("\n".join([*head, *(f"{name}=={new[name]}" for name in sorted(new))]) + "\n", encoding="utf-8")
    for file in sorted((repo / "envs").glob("*.yaml")):
        known = {name: new[name] for name in new.keys() - _names(repo / f"constraints-{file.stem}.txt")}
        lines = file.read_text(encoding="utf-8").splitlines()
        file.write_text("\n".join(_pinned(line, known) for line in lines) + "\n", encoding="utf-8")
    return [f"{name}: {old.get(name, 'new')} -> {new[name]}" for name in sorted(new) if old.get(name) != new[name]]


def _names(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {normal(line.split("==")[0]) for line in lines if "==" in line}


def _pinned(line: str, versions: dict[str, str]) -> str:
    found = re.fullmatch(r"( +- )([\w.-]+)==(\S+)", line)
    return line if found is None else f"{found[1]}{found[2]}=={versions.get(normal(found[2]), found[3])}"


def main() -> None:
    """Resolve and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="a report of `pip install --report`, in place of asking pip")
    args = parser.parse_args()
    report = json.loads(args.report.read_text(encoding="utf-8")) if args.report else resolve(REPO)
    changes = refresh(REPO, versions_of(report))
    sys.stdout.write("\n".join(changes or ["everything is up to date"]) + "\nnow: make test\n")


if __name__ == "__main__":
    main()
