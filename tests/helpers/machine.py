"""What each fault of a machine is checked for: one line, nothing half-written that looks whole, a good rerun."""

from pathlib import Path

from gmner.models.content import TIMES_FILE
from tests.helpers.demo_stages import Demo, digests
from tests.helpers.faults import Faults
from tests.helpers.pipeline import Ran

AREA = "machine"
_DATABASE = (".sqlite", ".sqlite-journal")


def check(ran: Ran, place: Path, before: dict[str, str], demo: Demo, name: str) -> str:
    """Check that a command failed with one line, and left only what was there or what is whole; return the line."""
    assert ran.code == 1 and ran.err.count("error: ") == 1, ran.err
    line = ran.error
    assert "\n" not in line, line
    left_whole(place, before, demo, name)
    return line


def left_whole(place: Path, before: dict[str, str], demo: Demo, name: str) -> None:
    """Check that each file below `place` is the old one or whole, and that what is written last is not new."""
    after = {path: digest for path, digest in digests(place).items() if path != "ballast"}
    whole = demo.digests[name]
    for path, digest in after.items():
        if path.startswith("images/") or path.endswith((".lock", "/lock", TIMES_FILE, *_DATABASE)):
            continue  # images count when the table says so; a lock is an empty file; a database is whole by itself
        assert digest == before.get(path) or digest == whole.get(path), f"{path} is neither the old one nor whole"
    last = [path for path in whole if path.endswith(("manifest.json", "samples.parquet", "answers.parquet"))]
    assert not [path for path in last if path in after and path not in before]


def completes(place: Path, demo: Demo, name: str) -> None:
    """Check that the same command, run again, writes what it writes on a sound machine."""
    ran = demo.stage(name).run(place)
    assert ran.code == 0, ran.err
    found = digests(place)
    wanted = {path: digest for path, digest in demo.digests[name].items() if not _varies(path)}
    assert {path: found.get(path) for path in wanted} == wanted
    hidden = {path for path in found.keys() - wanted.keys() if Path(path).name.startswith(".")}
    assert not {path for path in hidden if not _varies(path)}


def _varies(path: str) -> bool:
    """Say whether a file is another each time: tables that name folders, checkpoints, noted times, locks, databases."""
    return path.startswith(("samples.parquet", "work-")) or path.endswith((".lock", TIMES_FILE, *_DATABASE))


def noted(faults: Faults, fault: str, name: str, line: str) -> None:
    """Add a row to docs/robustness.md."""
    faults.error(AREA, f"{fault}: {NAMES.get(name, f'`gmner stage {name}`')}", line)


NAMES = {"figure": "`gmner stage tables --name figure3`", "import": "`gmner teacher import`",
         "export": "`gmner teacher export`"}  # fmt: skip
