"""Fingerprints see what code means and not how it is commented, and nothing that decides no result."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmner.errors import GmnerError
from gmner.workflow import fingerprint
from gmner.workflow.fingerprint import Code, meaning_of, package_code
from gmner.workflow.run_kinds import RUN_KINDS
from gmner.workflow.stages import STAGES

FILES = {
    "__init__.py": "",
    "commands/__init__.py": "",
    "commands/work.py": "from toy.first import go\n\n\ndef run():\n    from toy.pack import lazy\n    lazy()\n",
    "commands/other.py": "import toy.alone\n",
    "first.py": '"""Doc."""\nfrom toy.errors import ToyError\n\n\ndef go():\n    """Doc."""\n    return 1\n',
    "errors.py": "RESULT_NEUTRAL = True  # words\n\n\nclass ToyError(Exception):\n    pass\n",
    "alone.py": "",
    "pack/__init__.py": "from .inner import lazy\nfrom .fetching.key import key\n",
    "pack/inner.py": "import toy.pack.fetching.transport\nlazy = 2\n",
    "pack/fetching/__init__.py": "RESULT_NEUTRAL = True  # transport\n",
    "pack/fetching/transport.py": "import toy.only_transport\n",
    "pack/fetching/key.py": "RESULT_NEUTRAL = False  # what is asked\nkey = 1\n",
    "only_transport.py": "X = 1\n",
    "typed.py": "",
    "texts/a.txt": "hello",
    "texts/b.txt": "unused",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "toy"
    for name in [name for name in sys.modules if name.split(".")[0] == "toy"]:
        del sys.modules[name]


def code_of(*starts: str, **options: tuple[str, ...]) -> str:
    return Code("toy").fingerprint(starts or ("toy.commands.work",), **options)


def test_graph_holds_lazy_and_relative_imports_and_packages(package: Path) -> None:
    assert Code("toy").behind(["toy.commands.work"]) == (
        "toy.commands.work",
        "toy.first",
        "toy.pack",
        "toy.pack.fetching.key",
        "toy.pack.inner",
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "differs"),
    [
        ("first.py", "return 1", "return 3", True),
        ("first.py", '    """Doc."""', '    """Another."""', False),
        ("first.py", '"""Doc."""\nfrom', "# a comment\nfrom", False),
        ("first.py", "return 1", "return (\n        1\n    )", False),
        ("pack/inner.py", "lazy = 2", "lazy = 2  # two", False),
        ("pack/inner.py", "lazy = 2", "lazy = 4", True),
        ("texts/a.txt", "hello", "hallo", True),
        ("texts/b.txt", "unused", "still unused", False),
        ("alone.py", "", "X = 1\n", False),
        ("errors.py", "pass", "x = 1", False),
        ("pack/fetching/transport.py", "import", "X = 1\nimport", False),
        ("only_transport.py", "X = 1", "X = 2", False),
        ("pack/fetching/key.py", "key = 1", "key = 2", True),
    ],
)
def test_what_changes_it(package: Path, file: str, old: str, new: str, differs: bool) -> None:
    before = code_of(files=("texts/a.txt",))
    path = package / file
    path.write_text(path.read_text().replace(old, new, 1))
    assert (code_of(files=("texts/a.txt",)) != before) is differs


def test_modules_and_packages_can_be_left_out_with_what_only_they_import(package: Path) -> None:
    before = code_of(without=("toy.pack",))
    (package / "pack/inner.py").write_text("lazy = 5\n")
    assert code_of(without=("toy.pack",)) == before


def test_modules_chosen_at_run_time_take_part(package: Path) -> None:
    before = code_of("toy.commands.work", "toy.alone")
    (package / "alone.py").write_text("X = 2\n")
    assert code_of("toy.commands.work", "toy.alone") != before


def test_imports_for_type_checkers_alone_do_not_count(package: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import toy.typed\n"
    (package / "alone.py").write_text(text)
    before = code_of("toy.alone")
    (package / "typed.py").write_text("X = 2\n")
    assert code_of("toy.alone") == before


def test_unknown_module_and_missing_file(package: Path) -> None:
    with pytest.raises(GmnerError, match=r"no module toy\.commands\.nothing"):
        code_of("toy.commands.nothing")
    with pytest.raises(GmnerError, match=r"no module toy\.gone"):
        code_of(without=("toy.gone",))
    with pytest.raises(GmnerError, match="a stage reads texts/c"):
        code_of(files=("texts/c.txt",))


SAMPLE = '''
"""Doc."""
import os as o
from a import (b, c)

X: int = 3
"""About X."""


@decorated(1, *more, key=b"x")
async def first(a, /, b=1.5, *rest, c: "T" = None, **others) -> None:
    """Doc."""
    async with a as b, c:
        await d
    name = f"{a!r:>{width}} and {b=} {'nested'!s}" "joined" f'{c["key"]}'
    return (y := 10, [z async for z in b if z], lambda q: -q, a if b else ..., 1j, "\\N{BULLET}")


class Thing(Base, metaclass=Meta):
    def go(self):
        match self:
            case {"a": [1, *rest], **more} | Point(x=0) if rest:
                pass
            case _:
                raise E from None
        try:
            del a[1:2, ::3]
        except* (A, B) as error:
            global q
            q <<= 2
        else:
            assert a < b <= c, "no"
'''
DIGEST = "0bda6fc576cbf043"


def test_the_meaning_of_source_has_the_same_digest_everywhere() -> None:
    assert hashlib.sha256(meaning_of(SAMPLE).encode()).hexdigest()[:16] == DIGEST


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_version_of_python_reads_the_same(version: str, tmp_path: Path) -> None:
    python = shutil.which(f"python{version}")
    found = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    if python is None and not found:
        pytest.skip(f"no Python {version} here")
    source = Path(fingerprint.__file__).read_text()
    source = source[source.index("_NOT_SAID = ") :].split("\nclass Code")[0] + source[source.index("def meaning_of") :]
    program = f"import ast, sys\n{source}\nprint(meaning_of(sys.stdin.read()))"
    program = program.replace("Collection[str]", "list").replace("Iterator[str]", "list")
    everything = SAMPLE + "\n".join(path.read_text() for path in sorted(package_code().root.rglob("*.py")))
    everything = re.sub(r"(?m)^from __future__.*$", "", everything)
    words = [str(found[-1] if found else python), "-c", program]
    said = subprocess.run(words, input=everything, capture_output=True, text=True, check=True).stdout
    assert said.rstrip("\n") == meaning_of(everything)


def test_each_mark_gives_its_reason() -> None:
    code = package_code()
    for module in code.marked():
        assert re.search(r"^RESULT_NEUTRAL = (True|False)  # \w.+$", code.file(module).read_text(), re.MULTILINE), (
            module
        )


def test_no_neutral_module_counts_anywhere_and_commands_do() -> None:
    code = package_code()
    ways = [stage.way for stage in STAGES.values()]
    ways += [way for kind in RUN_KINDS.values() for way in kind.ways.values()]
    for way in ways:
        behind = code.behind([way.command])
        assert way.command in behind
        assert not [name for name in behind if name != way.command and code.is_neutral(name)]
        # Nothing of the workflow's own machinery, of transport or of the words of errors decides a result.
        assert not [name for name in behind if name.startswith(("gmner.workflow", "gmner.errors", "gmner.runtime"))]
