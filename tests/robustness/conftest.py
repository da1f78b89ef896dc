"""The rows of docs/robustness.md: compared with the file as they are seen, or, on request, written into it."""

import os
from pathlib import Path

import pytest

from tests.helpers.faults import Faults

_KEY = pytest.StashKey[Faults]()
_WRITE = "GMNER_WRITE_FAULTS"
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """The table that this run's tests fill."""
    if _KEY not in request.config.stash:
        known = None if os.environ.get(_WRITE) else _PAGE.read_text(encoding="utf-8")
        request.config.stash[_KEY] = Faults(known)
    return request.config.stash[_KEY]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter is None or bool(reporter.stats.get("skipped"))  # the rows of these would be lost
    if os.environ.get(_WRITE) and exitstatus == 0 and not skipped and _KEY in session.config.stash:
        _PAGE.write_text(session.config.stash[_KEY].markdown(), encoding="utf-8")
