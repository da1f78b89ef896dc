"""release.yaml and paper.yaml differ in the keys that docs/release.md lists, and in no other."""

import re
from pathlib import Path
from typing import Any

from gmner.config.root import load_config_file


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= flat(part, f"{prefix}.{key}" if prefix else key)
    return found


def test_every_difference_is_a_line_of_the_table(repo: Path) -> None:
    loaded = {name: load_config_file(repo / f"workflow/configs/{name}.yaml") for name in ("paper", "release")}
    text = (repo / "docs/release.md").read_text(encoding="utf-8")
    told = {key: (ours, theirs) for key, ours, theirs in re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \|", text, re.M)}
    for run in ("full", "no-cot", "no-grbp"):
        ours, theirs = (flat(loaded[name].runs[run].model_dump(mode="json")) for name in ("paper", "release"))
        differ = {key: (str(ours[key]), str(theirs[key])) for key in ours if ours[key] != theirs.get(key)}
        assert {key: (a.lower(), b.lower()) for key, (a, b) in differ.items()} == told, run
    paper, release = (loaded[name].backbones["qwen2.5-vl-7b"] for name in ("paper", "release"))
    assert paper == release and loaded["paper"].datasets["twitter-gmner"] == loaded["release"].datasets["twitter-gmner"]
