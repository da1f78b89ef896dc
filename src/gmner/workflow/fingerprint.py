"""Fingerprints of code: what a stage's modules say, whatever their comments, docstrings and layout.

Snakemake sees a rule's own command line, not the modules behind it. Each rule therefore carries the fingerprint of
its command's module and of every module of this package that it imports, directly or not, at the top of a file or
inside a function (grimp finds them). What does not count says so itself, in one line with its reason:
`RESULT_NEUTRAL = True  # why`. The line in a package's `__init__` holds for all that is below it; the nearest line
decides, so that `RESULT_NEUTRAL = False` takes a module of such a package back in.
"""

import ast
import functools
import hashlib
import importlib.util
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import grimp

from gmner.errors import GmnerError

_MARK = re.compile(r"^RESULT_NEUTRAL = (True|False)\b", re.MULTILINE)
# Fields of syntax trees that say nothing, or that only some versions of Python have.
_NOT_SAID = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


class Code:
    """The modules of a package and what they import."""

    def __init__(self, package: str) -> None:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise GmnerError(f"there is no package {package}")
        self.package = package
        self.root = Path(found.origin).parent
        self._fingerprints: dict[tuple[frozenset[str], frozenset[str], frozenset[str]], str] = {}
        self._said: dict[str, str] = {}
        self._neutral: dict[str, bool] = {}

    @functools.cached_property
    def _graph(self) -> grimp.ImportGraph:
        # Imports for type checkers alone run nothing. No cache: it would be written into the working folder.
        return grimp.build_graph(self.package, cache_dir=None, exclude_type_checking_imports=True)

    def fingerprint(self, starts: Collection[str], without: Collection[str] = (), files: Collection[str] = ()) -> str:
        """Return the fingerprint of `starts` and all that they import, 16 hex digits.

        `without` names modules and packages that are imported but not used under the stage's settings; what only
        they import is left out too. `files` names files, or folders of files, of the package that are read. Raises
        GmnerError if one of all these does not exist.
        """
        key = (frozenset(starts), frozenset(without), frozenset(files))
        if key not in self._fingerprints:
            lines = [f"{name} {self._meaning(name)}" for name in self.behind(starts, without)]
            lines += [line for name in sorted(files) for line in self._contents(name)]
            self._fingerprints[key] = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        return self._fingerprints[key]

    def behind(self, starts: Collection[str], without: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of `starts` and of all modules of the package that count behind them, sorted."""
        for name in (*starts, *without):
            self.file(name)
        found: set[str] = set()
        waiting = list(starts)
        while waiting:
            name = waiting.pop()
            if name in found or _is_within(name, without):
                continue
            found.add(name)
            imported = self._graph.find_modules_directly_imported_by(name)
            # Importing a.b.c runs a.b too. The package itself only leads to its parts.
            ran = {part for one in imported for part in _with_parents(one)} - {self.package}
            waiting += [one for one in ran if not self.is_neutral(one)]
        return tuple(sorted(found))

    def is_neutral(self, module: str) -> bool:
        """Say whether a module says of itself, or its package of it, that it decides no result."""
        if module not in self._neutral:
            said = _MARK.search(self.file(module).read_text(encoding="utf-8"))
            above = module.rpartition(".")[0]
            inherited = above != self.package and bool(above) and self.is_neutral(above)
            self._neutral[module] = said[1] == "True" if said else inherited
        return self._neutral[module]

    def marked(self) -> list[str]:
        """Return the modules that carry the line, sorted."""
        modules = [name for name in self._graph.modules if name != self.package]
        return sorted(name for name in modules if _MARK.search(self.file(name).read_text(encoding="utf-8")))

    def file(self, module: str) -> Path:
        """Return a module's file. Raises GmnerError if there is none."""
        place = self.root.joinpath(*module.split(".")[1:])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
        raise GmnerError(f"there is no module {module} in {self.root}")

    def _meaning(self, module: str) -> str:
        if module not in self._said:
            source = self.file(module).read_text(encoding="utf-8")
            self._said[module] = hashlib.sha256(meaning_of(source).encode()).hexdigest()
        return self._said[module]

    def _contents(self, name: str) -> Iterator[str]:
        place = self.root / name
        if not place.exists():
            raise GmnerError(f"a stage reads {name} of the package, but {place} does not exist")
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and file.suffix not in {".py", ".pyc"}:
                yield f"{file.relative_to(self.root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}"


@functools.cache
def package_code() -> Code:
    """Return the code of gmner itself."""
    return Code("gmner")


def code_fingerprint(*starts: str, without: Collection[str] = (), files: Collection[str] = ()) -> str:
    """Return the fingerprint of modules of gmner; see `Code.fingerprint`."""
    return package_code().fingerprint(starts, without, files)


def meaning_of(source: str) -> str:
    """Return what Python source says, as text that is the same in every version of Python.

    It is the syntax tree without positions, docstrings and empty fields. `ast.dump` and `ast.unparse` both differ
    between minor versions, as do the tokens of f-strings.
    """
    parts: list[str] = []
    _write(ast.parse(source), parts)
    return "".join(parts)


def _write(node: object, parts: list[str]) -> None:
    if isinstance(node, ast.AST):
        parts.append(f"({type(node).__name__}")
        for name, value in ast.iter_fields(node):
            if name in _NOT_SAID or value is None or value == []:
                continue
            if name == "body" and isinstance(value, list):
                value = [one for one in value if not _is_text(one)]
            elif isinstance(node, ast.JoinedStr):
                value = _joined(value)
            parts.append(f" {name}=")
            _write(value, parts)
        parts.append(")")
    elif isinstance(node, list):
        for one in node:
            _write(one, parts)
    else:
        parts.append(f"{type(node).__name__}:{node!r}")


def _is_text(node: ast.stmt) -> bool:
    """Say whether a statement is a bare string: a docstring, or the description under a constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Return an f-string's parts, neighbouring texts as one and none empty: versions of Python cut them differently."""
    joined: list[ast.expr] = []
    for part in parts:
        if not isinstance(part, ast.Constant) or not isinstance(part.value, str):
            joined.append(part)
        elif joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(joined[-1].value) + part.value)
        elif part.value:
            joined.append(part)
    return joined


def _is_within(module: str, packages: Collection[str]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def _with_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        yield ".".join(parts[:end])
