"""Fingerprints of code: what a stage's modules say, whatever their comments and docstrings.

Snakemake sees a rule's own command line, not the modules behind it. Each rule therefore carries the fingerprint of
its command's module and of every module of this package that it imports, directly or not, at the top of a file or
inside a function. A module that reads files of the package names them: `FINGERPRINT_FILES = ("prompts/texts/model",)`.
"""

import ast
import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from gmner.errors import GmnerError

PACKAGE = "gmner"
ROOT = Path(__file__).resolve().parents[1]
# The door, the words of errors, the machine's faults and the progress shown change no result; the version number
# stands in the package's __init__. Settings models do so only by the values they hold, and these are parameters of the
# rules, defaults included.
LEFT_OUT = frozenset(
    {
        PACKAGE,
        *(
            f"{PACKAGE}.{name}"
            for name in ("cli", "__main__", "commands", "errors", "runtime.system_errors", "runtime.progress")
        ),
    }
)
LEFT_OUT_PACKAGES = (f"{PACKAGE}.config",)
FILES_NAME = "FINGERPRINT_FILES"
# Parsing every module takes half a second, reading what was parsed before a few milliseconds. Entries are named by
# the hash of a module's bytes, so that a stale one is never found; the oldest go when there are too many.
MEMORY = ROOT / "__pycache__" / "fingerprints.json"
MEMORY_ENTRIES = 2000
Parsed = tuple[str, list[str], list[str]]


def code_fingerprint(command: str, without: Collection[str] = (), also: Collection[str] = ()) -> str:
    """Return the fingerprint of the modules behind `gmner <command>` (or a module's full name), 16 hex digits.

    `without` names modules whose code does not take part under the stage's settings; what only they import is
    left out too. `also` names modules that are imported by a name made at run time. Raises GmnerError where a
    module, or a file named by one, does not exist.
    """
    start = command if command.startswith(f"{PACKAGE}.") else f"{PACKAGE}.commands.{command.replace('-', '_')}"
    if _file_of(start) is None:
        raise GmnerError(f"the command '{command}' has no module {start}; see gmner --help for those that exist")
    found = _fingerprint((start, *sorted(also)), frozenset(without))
    _save_memory()
    return found


def modules_behind(*modules: str, without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of `modules` and of all package modules they import, directly or not, sorted."""
    found: set[str] = set()
    open_names = list(modules)
    while open_names:
        name = open_names.pop()
        if name in found or name in without or _is_left_out(name):
            continue
        found.add(name)
        open_names.extend(_read(name)[1])
    return tuple(sorted(found))


@functools.cache
def _fingerprint(starts: tuple[str, ...], without: frozenset[str]) -> str:
    digest = hashlib.sha256()
    for name in modules_behind(*starts, without=without):
        digest.update(f"{name} {_read(name)[0]}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Return the hash of a module and the package modules that it imports."""
    path = _file_of(module)
    if path is None:
        raise GmnerError(f"no module {module} in {ROOT}")
    source = path.read_bytes()
    key = hashlib.sha256(module.encode() + b"\0" + source).hexdigest()
    memory = _memory()
    if key not in memory:
        memory[key] = _parse(module, path, source)
    meaning, imports, files = memory[key]
    return hashlib.sha256("\0".join([meaning, *_data_hashes(module, path, files)]).encode()).hexdigest(), tuple(imports)


def _parse(module: str, path: Path, source: bytes) -> Parsed:
    """Return a module's hash without comments and docstrings, its package imports, its named files."""
    tree = ast.parse(source, filename=str(path))
    files = list(_named_files(tree))
    imports = sorted(set(_imports(tree, module, path.name == "__init__.py")))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports, files


def _is_text(node: ast.stmt) -> bool:
    """Say whether a statement is a bare string: a docstring, or the description under a constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _named_files(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == FILES_NAME for t in node.targets):
            yield from ast.literal_eval(node.value)


def _data_hashes(module: str, path: Path, files: Collection[str]) -> Iterator[str]:
    for name in files:
        place = ROOT / name
        if not place.exists():
            raise GmnerError(f"{path}: {FILES_NAME} names '{name}', but {place} does not exist")
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and file.suffix not in {".py", ".pyc"}:
                yield f"{file.relative_to(ROOT).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, module, is_package)
            yield from _with_parents(base)
            for alias in node.names:
                yield from _with_parents(f"{base}.{alias.name}")


def _base_of(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _with_parents(name: str) -> Iterator[str]:
    """Yield the package modules that importing `name` runs: itself, if it is one, and its parents."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for end in range(2, len(parts) + 1):
        inner = ".".join(parts[:end])
        if not _is_left_out(inner) and _file_of(inner) is not None:
            yield inner


def _is_left_out(module: str) -> bool:
    return module in LEFT_OUT or any(f"{module}.".startswith(f"{package}.") for package in LEFT_OUT_PACKAGES)


@functools.cache
def _memory() -> dict[str, Parsed]:
    return _read_memory()


def _read_memory() -> dict[str, Parsed]:
    try:
        found: dict[str, Parsed] = json.loads(MEMORY.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _save_memory() -> None:
    """Keep what was parsed, where the folder can be written; several processes may do so at once."""
    memory = _memory()
    if memory.keys() <= _read_memory().keys():
        return
    temporary = MEMORY.with_name(f".fingerprints-{os.getpid()}.json")
    with contextlib.suppress(OSError):
        MEMORY.parent.mkdir(exist_ok=True)
        newest = dict(list(memory.items())[-MEMORY_ENTRIES:])
        temporary.write_text(json.dumps(newest), encoding="utf-8")
        temporary.replace(MEMORY)


@functools.cache
def _file_of(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None
