"""The rows of docs/robustness.md, written into it on request; and the folder that other users may look into."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.demo_stages import LIGHT, Demo
from tests.helpers.faults import Faults

_KEY = pytest.StashKey[Faults]()
_WRITE = "GMNER_WRITE_FAULTS"
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """The table that this run's tests fill; `make robustness` writes it into docs/robustness.md."""
    return request.config.stash.setdefault(_KEY, Faults())


@pytest.fixture(scope="module")
def everybodys() -> Iterator[Path]:
    """A folder that every user may look into; pytest's own are for this one alone."""
    place = Path(tempfile.mkdtemp(prefix="gmner-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def demo(repo: Path, everybodys: Path) -> Demo:
    made = Demo(everybodys / "demo", repo)
    made.make("download", "samples", "backbone", "rationales", "targets")
    made.answer()
    made.make(*LIGHT[5:])
    return made


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter is None or bool(reporter.stats.get("skipped"))  # the rows of these would be lost
    if os.environ.get(_WRITE) and exitstatus == 0 and not skipped and _KEY in session.config.stash:
        _PAGE.write_text(session.config.stash[_KEY].markdown(), encoding="utf-8")
