import os
import signal
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.helpers.tiny_fixtures",
    "tests.helpers.image_fixture",
    "tests.helpers.annotations_fixture",
    "tests.helpers.tree_fixtures",
]
REPO = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start: a shell's background jobs, and what they start, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with the real annotations and golden counts (GMNER_SHARED, default ../shared)."""
    folder = Path(os.environ.get("GMNER_SHARED", REPO.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"real annotations not found at {folder}; set GMNER_SHARED to their folder")
    return folder
