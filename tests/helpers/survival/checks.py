"""What must hold when a run that was killed again and again is done."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gmner.storage.files import is_half_written
from tests.helpers.survival.killing import Killer, Start
from tests.helpers.survival.ledger import Kill
from tests.helpers.survival.progress import batches
from tests.helpers.survival.project import Project

# Times, and names drawn again each time; what is in `work` and `provenance` is compared by name alone.
_OWN_EVERY_TIME = re.compile(r"\.snakemake/log/.*|.*/ledger/[0-9a-f]{32}\.shard|.*__pycache__.*")
_NOT_COMPARED = ("logs", "settings", "benchmarks", "work", "provenance")


# What the report tells of each job's cost.
_MEASURED = re.compile(rb'"(seconds|cpu|memory)":(\d+(\.\d+)?|null)')


def results(root: Path) -> dict[str, bytes]:
    """Return every result's bytes, without the times and memory that the report tells of."""
    found = {}
    for path in sorted((root / "results").rglob("*")):
        name = path.relative_to(root / "results")
        if path.is_file() and name.parts[0] not in _NOT_COMPARED:
            found[name.as_posix()] = path.read_bytes()
    if "report.html" in found:
        found["report.html"] = _MEASURED.sub(rb'"\1":0', found["report.html"])
    return found


def files(*folders: Path) -> set[str]:
    """Return the names of all files and empty folders, hidden ones too, but for those that differ every time."""
    found = set()
    for folder in folders:
        for place, inner, names in os.walk(folder):
            paths = [Path(place, name).relative_to(folder).as_posix() for name in names]
            paths += [Path(place).relative_to(folder).as_posix() + "/"] if not inner and not names else []
            found |= {path for path in paths if not _OWN_EVERY_TIME.fullmatch(path)}
    return found


def check_results(calm: Project, killed: Project) -> int:
    """Every result is there, with the same bytes; return how many."""
    expected, found = results(calm.root), results(killed.root)
    assert found.keys() == expected.keys()
    different = [name for name, data in expected.items() if found[name] != data]
    assert not different, f"other bytes: {different}"
    return len(expected)


def check_leftovers(calm: Project, killed: Project) -> None:
    """Nothing lies around that an undisturbed run does not leave."""
    more = files(killed.root, killed.temporary) - files(calm.root, calm.temporary)
    # Snakemake's scheduler writes its problem into the system's temporary folder; killed meanwhile, it leaves it there.
    more = {name for name in more if not name.endswith("-pulp.mps")}
    assert not more, sorted(more)
    for folder in ("locks", "incomplete", "gmner"):
        held = [path.name for path in (killed.root / ".snakemake" / folder).glob("*") if path.name != "door"]
        assert not held, f".snakemake/{folder}: {held}"
    half = [path for path in killed.root.rglob("*") if is_half_written(path.name)]
    assert not half, half


def check_resumed(kills: Sequence[Kill], root: Path) -> None:
    """No stage began from zero when it had made progress."""
    for row in kills:
        assert row.resumed, f"kill {row.number}, {row.stage} {row.name}: it never went on"
        number = re.search(r"\d+", row.resumed)
        if row.stage in ("download", "rationales", "train") and number:
            assert int(number[0]) >= row.amount, f"kill {row.number}: {row.kept}, but went on from {row.resumed}"
        if row.stage == "generate":
            now = batches(root, row.name)
            again = [name for name, moment in row.batches.items() if now.get(name) != moment]
            assert not again, f"kill {row.number}: {again} decoded again"


def check_questions(killer: Killer) -> int:
    """No answer that was kept is asked for again; return how many questions were asked twice.

    What was in flight when everything was killed was never received: it must be asked again, and is counted.
    """
    seen = killer.servers.teacher.ledger.seen
    question_of = {one.answer_id: one.question for one in seen}
    last = killer.asked_before
    for row in killer.kills:
        later = {one.question for one in seen[row.asked :]}
        again = [answer for answer in row.answers if question_of[answer] in later]
        assert not again, f"kill {row.number}: {len(again)} answers were kept and asked for again"
        if row.stage == "rationales":
            row.redone = f"{sum(one.question in later for one in seen[last : row.asked])} questions asked again"
        last = row.asked
    counts = Counter(one.question for one in seen[killer.asked_before :])
    killer.questions = len(counts)
    return counts.total() - len(counts)


def note_bytes(killer: Killer) -> int:
    """Write down how many bytes of the archive were sent twice; return their sum."""
    total = 0
    for row in killer.kills:
        if row.stage != "download":
            continue
        twice, number = 0, re.search(r"\d+", row.resumed)
        if number and row.sent > killer.sent_before:
            last = killer.servers.archive.sent[row.sent - 1]
            twice = max(0, last.start + last.bytes - int(number[0]))
        row.redone = f"{twice} bytes"
        total += twice
    return total


def check_never_unlocked(starts: Sequence[Start]) -> None:
    """The user never had to do anything but give the command again."""
    for start in starts:
        for word in ("--unlock", "cannot be locked", "LockException", "Traceback", "IncompleteFilesException"):
            assert word not in start.said, f"{start.output.name}: {start.said[-4000:]}"
