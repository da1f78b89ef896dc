import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gmner.config.stages import ReportStage
from tests.helpers.made_results import make_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("GMNER_REQUIRE_BROWSER") == "1"
# As root in a container Chromium has no sandbox; the others keep it from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Headless Chromium of this machine; a missing one is a skip, and a failure where GMNER_REQUIRE_BROWSER=1.

    Of one module: while it is open an event loop runs in this thread, and no command with a loop of its own could.
    """
    if CHROMIUM is None:
        reason = "no Chromium found; on Debian: apt-get install chromium"
        if REQUIRED:
            pytest.fail(f"GMNER_REQUIRE_BROWSER=1, but {reason}")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportStage:
    """A small folder of results in the working directory."""
    monkeypatch.chdir(tmp_path)
    return make_results(tmp_path)
