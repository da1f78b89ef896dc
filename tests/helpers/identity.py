"""Whether one commit gives the same bytes everywhere.

    python tests/e2e/identity.py                            results/table1.csv of the demo, as `make identity` does
    python tests/e2e/identity.py --target all               everything
    python tests/e2e/identity.py --configfile small.yaml    another experiment

Two fresh clones of HEAD run the same target: one in a folder with a blank in its name with `--cores 1`, one elsewhere
with `--cores 2`. What they wrote is compared byte by byte; the report without the times and memory that it shows. Logs,
benchmarks, Snakemake's records and checkpoints are no results. One JSON document on standard output; status 1 where
something differs.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config.yaml", "rules", "profiles", "workflow", "envs", "src")
NO_RESULTS = frozenset({"logs", "settings", "benchmarks", "provenance", "work"})
FOLDERS = (("first clone", 1), ("second", 2))  # below different parents, by Snakemake's --cores
_COSTS = re.compile(r'"costs":\[.*?\]|"sizes":".*?"')


def clone(repo: Path, folder: Path) -> None:
    """Make `folder` a fresh clone of the commit that `repo` stands at."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(repo), str(folder)], check=True)


def copy(repo: Path, folder: Path) -> None:
    """Make `folder` a copy of the workflow as it lies in `repo`, with nothing that was computed or compiled."""
    folder.mkdir(parents=True)
    for name in PARTS:
        source = repo / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(source, folder / name)


def run(folder: Path, cores: int, words: Sequence[str]) -> float:
    """Run Snakemake in a folder; return the seconds it took."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    started = time.monotonic()
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{folder}: Snakemake ended with {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-8000:]}"
        )
    return time.monotonic() - started


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every result and of the backbone's files, by their paths; times of the report left out."""
    found = {}
    for path in sorted((folder / "results").rglob("*")) + sorted((folder / "resources").rglob("*")):
        place = path.relative_to(folder)
        if path.is_dir() or place.parts[1] in NO_RESULTS or path.name == ".times.json":  # when files were checked
            continue
        data = path.read_bytes()
        if place.name == "report.html":
            data = _COSTS.sub("", data.decode("utf-8")).encode("utf-8")
        found[place.as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def compare(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Return the paths that are not the same in both, or in one of them alone."""
    return sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))


def main() -> int:
    """Clone twice, run both, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="results/table1.csv", help="what to make (default: %(default)s)")
    parser.add_argument("--configfile", type=Path, help="another experiment than config.yaml")
    parser.add_argument("--keep", type=Path, help="an empty folder for the clones, which are removed otherwise")
    args = parser.parse_args()
    words = ["--configfile", str(args.configfile.resolve())] if args.configfile else []
    place = args.keep or Path(tempfile.mkdtemp(prefix="gmner-identity-"))
    told: dict[str, Any] = {"target": args.target, "runs": []}
    found = []
    try:
        folders = [place / str(number) / name for number, (name, _) in enumerate(FOLDERS)]
        for folder in folders:
            clone(REPO, folder)
        for folder, (name, cores) in zip(folders, FOLDERS, strict=True):
            seconds = run(folder, cores, [*words, "--", args.target])
            found.append(digests(folder))
            told["runs"].append({"folder": name, "cores": cores, "seconds": round(seconds), "files": len(found[-1])})
    finally:
        if args.keep is None:
            shutil.rmtree(place, ignore_errors=True)
    told["differ"] = compare(*found)
    print(json.dumps(told, indent=1))
    return int(bool(told["differ"]))


if __name__ == "__main__":
    sys.exit(main())
