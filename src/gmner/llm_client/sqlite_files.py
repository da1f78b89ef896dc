"""A SQLite file that survives crashes and says in one line what is wrong with it.

`journal_mode=TRUNCATE` needs no shared memory, so that it works on network file systems; `synchronous=FULL` puts every
commit on the disk before it returns. https://www.sqlite.org/pragma.html
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gmner.errors import DataError, GmnerError

_BUSY_S = 60.0  # how long another process may hold the file
_PROBLEMS = (  # what SQLite says, what is wrong, what to do
    ("database or disk is full", "the disk is full", "make room, then rerun"),
    ("readonly database", "it cannot be written", "allow this user to write the file and its folder, then rerun"),
    ("unable to open", "it cannot be opened", "allow this user to write its folder, then rerun"),
    ("database is locked", "another process holds it", "wait until that has ended, then rerun"),
    ("disk I/O error", "the disk cannot be read or written", "check the disk and its free space, then rerun"),
)
_DAMAGED = "put back a copy of it; the answers of all runs that ended are in answers.parquet beside it too"


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """Open or make a database. Raises DataError if the file is damaged, GmnerError if the system refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with told(path):
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")  # a checksum tells damage
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if found != ["ok"]:
                raise DataError(f"{path}: the database is damaged ({'; '.join(found)[:300]}); {_DAMAGED}")
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                connection.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Let what SQLite refuses name the file and the remedy."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged file makes SQLite's own messages unreadable
        for said, what, remedy in _PROBLEMS:
            if said in str(error):
                raise GmnerError(f"{path}: {what} ({error}); {remedy}; nothing that was answered is lost") from error
        raise DataError(f"{path}: the database is damaged ({error}); {_DAMAGED}") from error


def checksum_of(values: Sequence[Any]) -> str:
    """Return a checksum of a row's values."""
    text = json.dumps(values, ensure_ascii=True, default=repr, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
