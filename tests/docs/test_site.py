"""The pages build into a site without network, every link leads somewhere, and no script lies among them."""

import re
import subprocess
import sys
from pathlib import Path

ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "config/README.md")


def anchors(path: Path) -> set[str]:
    heads = re.findall(r"(?m)^#+ (.+)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_the_site_builds_strictly(repo: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.stem for path in (repo / "docs").glob("*.md")}
    assert {path.stem for path in tmp_path.glob("*.html")} - {"404"} == pages
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://(?!github\.com|squidfunk)[^"]*\.(?:js|css|woff2?)"', html)


def test_every_page_is_in_the_menu(repo: Path) -> None:
    menu = (repo / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1]
    assert set(re.findall(r"[\w-]+\.md", menu)) == {path.name for path in (repo / "docs").glob("*.md")}


def test_links_of_pages_outside_the_site_lead_somewhere(repo: Path) -> None:
    for name in ROOT_PAGES:
        page = repo / name
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            target, _, anchor = link.partition("#")
            path = (page.parent / target) if target else page
            assert path.exists(), f"{name}: {link} leads nowhere"
            assert not anchor or anchor in anchors(path), f"{name}: {link}: no such heading"


def test_no_scripts_among_the_pages(repo: Path) -> None:
    assert not list((repo / "docs").rglob("*.py"))
