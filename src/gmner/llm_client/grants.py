"""One budget for all that ask one model through one store at the same time.

The main ledger and those of the parts each take grants out of the one budget, under one lock, before they spend: a
grant says how far a ledger's sum may go. What a process that is at work has been granted counts as spent for the
others; what an ended one was granted and did not spend is free again. So the sum of all ledgers never passes the
budget, whoever writes to them, in however many shards, after whatever crash.
"""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gmner.config.teachers import Budget
from gmner.errors import DataError
from gmner.llm_client.journal import locked
from gmner.llm_client.pricing import NOTHING, Amount
from gmner.storage.files import read_json, write_json
from gmner.storage.leftovers import remove_half_written

LOCK = "lock"  # in a ledger's folder, held by the process that is at work there
PLACE = "grants"  # in the model's folder: who has been granted what, and the lock on it and on all ledgers
_FILE = "grants.json"
_SLICE = 64  # a grant takes this part of what is left, so that no one holds much more than it needs
_LOOK_AGAIN_S = 0.2  # after a refusal
_ROUNDING = 1e-12
Sums = dict[str, float]


def model_folder(folder: Path) -> Path:
    """Return the model's folder of a ledger's: itself, or the one above the parts."""
    return folder.parent.parent if folder.parent.name == "parts" else folder


@contextlib.contextmanager
def ledgers_held(folder: Path) -> Iterator[None]:
    """Hold still all ledgers of the model: none is folded, moved or granted more meanwhile."""
    place = model_folder(folder) / PLACE
    with locked(place / LOCK, waiting=None):
        remove_half_written(place)
        yield


def is_at_work(folder: Path) -> bool:
    """Say whether a process holds a ledger's folder."""
    try:
        with (folder / LOCK).open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def grant_sum_of(part: Path, spent: Callable[[Path], Amount]) -> None:
    """Count a part's sum for the main ledger too, before it is moved there; the ledgers are held.

    Whoever looks after a crash on the way counts some of it twice and none too little.
    """
    model = model_folder(part)
    _write(model, {**_read(model), _name(model): _sums(spent(model) + spent(part))})


class Grant:
    """What one ledger may spend of the model's budget."""

    def __init__(self, folder: Path, budget: Budget, spent: Callable[[Path], Amount], committed: Amount) -> None:
        """`committed` is the ledger's own sum so far; the ledgers are held."""
        self._folder, self._model, self._spent = folder, model_folder(folder), spent
        self._limits = {name: value for name, value in budget.model_dump().items() if value is not None}
        self._reach = _sums(committed)
        self._left: Sums = {}
        self._looked_at = float("-inf")
        self._known: dict[Path, tuple[object, Amount]] = {}
        self.others = NOTHING  # what the other ledgers have spent or may spend, when it was last looked at
        if self._limits:
            _write(self._model, {**_read(self._model), _name(folder): self._reach})

    def reaches(self, total: Amount) -> bool:
        """Say whether the ledger's sum may become `total`; take a further grant where that is needed and possible."""
        wanted = _sums(total)
        if not self._exceeds(wanted, self._reach):
            return True
        if time.monotonic() < self._looked_at + _LOOK_AGAIN_S and self._exceeds(wanted, self._left):
            return False
        with ledgers_held(self._folder):
            grants = _read(self._model)
            self.others = self._of_others(grants)
            others = _sums(self.others)
            self._left = {name: limit - others[name] for name, limit in self._limits.items()}
            if self._exceeds(wanted, self._left):
                self._looked_at = time.monotonic()
                return False
            self._reach = {
                name: value + self._more(name, self._left[name] - value) if name in self._left else value
                for name, value in wanted.items()
            }
            _write(self._model, {**grants, _name(self._folder): self._reach})
        return True

    def _more(self, name: str, left: float) -> float:
        part = max(left, 0.0) / _SLICE
        return part if name == "usd" else int(part)

    def _exceeds(self, wanted: Sums, most: Sums) -> bool:
        return any(wanted[name] > most[name] + _ROUNDING for name in self._limits)

    def _of_others(self, grants: dict[str, Sums]) -> Amount:
        total = NOTHING
        for folder in (self._model, *_parts(self._model)):
            if folder == self._folder:
                continue
            amount = self._spent_by(folder)
            if is_at_work(folder) and (granted := grants.get(_name(folder))):
                spent = _sums(amount)
                most = {name: max(spent[name], granted[name]) for name in spent}
                amount = Amount(most["usd"], int(most["tokens"]), int(most["requests"]))
            total += amount
        return total

    def _spent_by(self, folder: Path) -> Amount:
        """Return a ledger's sum, read again where its files have changed."""
        files = [(path.name, path.stat().st_size) for path in sorted((folder / "ledger").glob("*"))]
        if self._known.get(folder, (None, NOTHING))[0] != files:
            self._known[folder] = files, self._spent(folder)
        return self._known[folder][1]


def _parts(model: Path) -> list[Path]:
    return sorted((model / "parts").glob("*-of-*"))


def _name(folder: Path) -> str:
    return folder.name if folder.parent.name == "parts" else "main"


def _sums(amount: Amount) -> Sums:
    return {"usd": amount.usd or 0.0, "tokens": amount.tokens, "requests": amount.requests}


def _read(model: Path) -> dict[str, Sums]:
    path = model / PLACE / _FILE
    try:
        found = read_json(path)
        return {name: {key: sums[key] for key in ("usd", "tokens", "requests")} for name, sums in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: not a table of grants ({error}); when nothing asks this model any more, remove it, it is made "
            "again"
        ) from error


def _write(model: Path, grants: dict[str, Sums]) -> None:
    """Keep the grants of the ledgers that there are."""
    names = {"main", *(part.name for part in _parts(model))}
    write_json(model / PLACE / _FILE, {name: sums for name, sums in grants.items() if name in names})
