"""Fingerprints see what code means and not how it is commented."""

from pathlib import Path

import pytest

from gmner.errors import GmnerError
from gmner.workflow import fingerprint, relevance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "gmner"
    for name, text in {
        "__init__.py": "",
        "commands/__init__.py": "",
        "commands/work.py": "from gmner.first import go\n\n\ndef run():\n    from gmner.pack import lazy\n    lazy()\n",
        "commands/other.py": "import gmner.alone\n",
        "first.py": '"""Doc."""\nfrom gmner.errors import GmnerError\n\n\ndef go():\n    """Doc."""\n    return 1\n',
        "errors.py": "class GmnerError(Exception):\n    pass\n",
        "alone.py": "",
        "pack/__init__.py": "from .inner import lazy\n",
        "pack/inner.py": 'FINGERPRINT_FILES = ("texts",)\nlazy = 2\n',
        "texts/a.txt": "hello",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(fingerprint, "ROOT", root)
    monkeypatch.setattr(fingerprint, "MEMORY", root / "__pycache__" / "fingerprints.json")
    forget()
    yield root
    forget()


def forget() -> None:
    for cached in (fingerprint._fingerprint, fingerprint._read, fingerprint._file_of, fingerprint._memory):
        cached.cache_clear()


def code_of(command: str, **options: frozenset[str]) -> str:
    forget()
    return fingerprint.code_fingerprint(command, **options)


def test_graph_holds_lazy_and_relative_imports_and_packages(package: Path) -> None:
    assert fingerprint.modules_behind("gmner.commands.work") == (
        "gmner.commands.work",
        "gmner.first",
        "gmner.pack",
        "gmner.pack.inner",
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "differs"),
    [
        ("first.py", "return 1", "return 3", True),
        ("first.py", '    """Doc."""', '    """Another."""', False),
        ("first.py", '"""Doc."""\nfrom', "# a comment\nfrom", False),
        ("pack/inner.py", "lazy = 2", "lazy = 2  # two", False),
        ("pack/inner.py", "lazy = 2", "lazy = 4", True),
        ("texts/a.txt", "hello", "hallo", True),
        ("alone.py", "", "X = 1\n", False),
        ("errors.py", "pass", "x = 1", False),
    ],
)
def test_what_changes_it(package: Path, file: str, old: str, new: str, differs: bool) -> None:
    before = code_of("work")
    path = package / file
    path.write_text(path.read_text().replace(old, new, 1))
    assert (code_of("work") != before) is differs


def test_modules_can_be_left_out_with_what_only_they_import(package: Path) -> None:
    without = frozenset({"gmner.pack", "gmner.pack.inner"})
    before = code_of("work", without=without)
    (package / "pack/inner.py").write_text("lazy = 5\n")
    assert code_of("work", without=without) == before


def test_memory_is_used_and_survives_nonsense(package: Path) -> None:
    before = code_of("work")
    assert fingerprint.MEMORY.exists()
    assert code_of("work") == before
    fingerprint.MEMORY.write_text("{nonsense")
    assert code_of("work") == before


def test_unknown_command_and_missing_file(package: Path) -> None:
    with pytest.raises(GmnerError, match=r"no module gmner\.commands\.nothing"):
        code_of("nothing")
    (package / "texts/a.txt").unlink()
    (package / "texts").rmdir()
    with pytest.raises(GmnerError, match="names 'texts'"):
        code_of("work")


def test_modules_that_stand_aside_exist() -> None:
    forget()
    named = (relevance.SCORING, relevance.DRAWING, relevance.PARSING, relevance.FOLDERS, relevance.FETCHING)
    for name in (*(name for group in named for name in group), *relevance.PROMPTING, *relevance.PROVIDERS.values()):
        assert fingerprint._file_of(f"gmner.{name}") is not None, name


def test_metrics_stand_aside_in_training_for_the_last_epoch() -> None:
    forget()
    aside = [f"gmner.{name}" for name in relevance.SCORING]
    assert "gmner.evaluation.counts" in fingerprint.modules_behind("gmner.commands.stages.train")
    assert "gmner.evaluation.counts" not in fingerprint.modules_behind("gmner.commands.stages.train", without=aside)


def test_modules_chosen_at_run_time_take_part(package: Path) -> None:
    before = code_of("work", also=frozenset({"gmner.alone"}))
    (package / "alone.py").write_text("X = 2\n")
    assert code_of("work", also=frozenset({"gmner.alone"})) != before
