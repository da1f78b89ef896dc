"""Stands in for gmner/__main__.py in a copied tree: writes what a command would write, at once.

What it writes is a digest of its command line and of the files it reads, so that other settings or inputs give
other contents. The rules, the plan and the fingerprints of the copied tree are the real ones.
"""

import hashlib
import itertools
import sys
from pathlib import Path

ADAPTER = ("adapter_model.safetensors", "adapter_config.json", "run.json", "curves.csv", "curves.png", "manifest.json")
BESIDE = {"table1": (".md", ".tex", ".json"), "figure3": (".md", ".png", ".pdf", ".json")}


def main(words: list[str]) -> None:
    given = dict(itertools.pairwise(words[1:]))
    digest = hashlib.sha256(" ".join(words).encode())
    for word in words[1:]:
        if (
            not word.startswith("{")
            and word not in (given.get("--out"), given.get("--report"))
            and Path(word).is_file()
        ):
            digest.update(Path(word).read_bytes())
    for path in outputs(words[0], given):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{words[0]} {digest.hexdigest()}\n")


def outputs(command: str, given: dict[str, str]) -> list[Path]:
    if "--out-dir" in given:
        return [Path(given["--out-dir"]) / name for name in (ADAPTER if command == "train" else ("manifest.json",))]
    out = Path(given["--out"])
    found = [out]
    if "--report" in given:
        report = Path(given["--report"])
        found += [report, report.with_suffix(".md")]
    if command == "tables":
        kind = "figure3" if given["--name"] == "figure3" else "table1"
        found += [out.with_suffix(suffix) for suffix in BESIDE[kind]]
    return found


main(sys.argv[2:])  # without the word "stage"
