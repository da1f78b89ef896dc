"""Snakemake's own report is made without a network, and each result in it has its caption."""

import re
import zipfile
from pathlib import Path

import pytest

from tests.helpers.trees import Tree

pytestmark = pytest.mark.slow
CAPTIONS = (
    "The whole experiment on one page",
    "strength of box perturbation",
    "rationales were accepted",
    "gradient norm",
)


def test_it_is_made_without_a_network_and_with_captions(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    tree.run("--report", "out.html", "--", "all")
    tree.run("--report", "out.zip", "--", "all")
    with zipfile.ZipFile(tree.root / "out.zip") as bundle:
        inside = {Path(name).name: name for name in bundle.namelist()}
        assert {"report.html", "table1.csv"} <= {name.split("-")[-1] for name in inside} | set(inside)
        zipped = "".join(bundle.read(name).decode("utf-8", "replace") for name in bundle.namelist())
    for text in ((tree.root / "out.html").read_text(encoding="utf-8"), zipped):
        for caption in CAPTIONS:
            assert caption in re.sub(r"(\\n|\s)+", " ", text), caption
        assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//[^"']+\.(?:js|css)["']""", text)
