"""The page to try a run, in headless Chromium and through Gradio's client, on a scripted model."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gmner.core.records import Record
from gmner.errors import GmnerError
from gmner.reporting.annotate import Annotation
from gmner.reporting.live.answers import Busy, OneAtATime, highlighted, remarks, with_boxes

HOSTILE = '<img src=x onerror="window.pwned=1"> met Anna in Oslo'


def found(image: str, text: str) -> Annotation:
    words = " ".join(text.split())
    at = words.find("Anna")
    place = {"start": 1, "end": 2, "char_start": at, "char_end": at + 4}
    nowhere = dict.fromkeys(place)
    records = (Record("Anna", "PER", ((10.0, 5.0, 90.4, 400.0),)), Record("<b>Nobody</b>", "ORG"))
    problem = {"code": "not_in_text", "detail": "<b>Nobody</b>"}
    return Annotation(image, image, words, (120, 80), records, (place, nowhere), (None, None), "why", (problem,))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.radial_gradient("L").resize((120, 80)).convert("RGB").save(path)
    return path


def test_pieces_regions_and_remarks(image: Path) -> None:
    one = found(str(image), HOSTILE)
    assert "".join(piece for piece, _ in highlighted(one)) == one.text
    assert ("Anna", "PER") in highlighted(one)
    assert with_boxes(one)[1] == [((10, 5, 90, 79), "Anna (PER)")]
    assert "not seen in the image: <b>Nobody</b> (ORG)" in remarks(one) and "not_in_text" in remarks(one)


def test_a_slow_answer_is_given_up_on_and_others_are_told_to_wait() -> None:
    guarded, gate = OneAtATime(0.1), threading.Event()
    with pytest.raises(Busy, match=r"no answer within 0\.1 s"):
        guarded(gate.wait)
    with pytest.raises(Busy, match="busy with another image"):
        guarded(lambda: 1)
    gate.set()
    time.sleep(0.2)
    assert guarded(lambda: 1) == 1


@pytest.fixture
def address(image: Path) -> Iterator[str]:
    """The served page; skipped without gradio, which needs an older pillow than the other tests have."""
    pytest.importorskip(
        "gradio", reason="gradio has an environment of its own: pip install '.[demo]'; docs/demo-page.md"
    )
    from gmner.reporting.live.page import build_page, serve

    def failing(path: str, text: str) -> Annotation:
        raise GmnerError(f"{path}: <script>window.pwned=2</script>")

    examples = [(str(image), HOSTILE)]
    page = build_page({"full": found, "broken": failing}, examples, 20)
    _, url, _ = serve(page, "127.0.0.1", None, "1mb", examples)
    yield url
    page.close()


@pytest.mark.slow
def test_the_client_gets_the_same_as_the_page(address: str, image: Path) -> None:
    from gradio_client import Client, handle_file

    answer = Client(address, verbose=False).predict(
        handle_file(str(image)), "Anna in Oslo", "full", "no other run", api_name="/annotate"
    )
    assert answer[4]["entities"][0]["mention"] == "Anna" and answer[2] == "why"


@pytest.mark.slow
def test_a_file_that_is_too_large_is_refused(address: str, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(2_000_000))
    with pytest.raises(Exception, match=r"(?i)413|size|large"):
        Client(address, verbose=False).predict(
            handle_file(str(tmp_path / "large.png")), "x", "full", "no other run", api_name="/annotate"
        )


@pytest.mark.slow
@pytest.mark.browser
def test_it_answers_in_a_browser_compares_and_stays_inert(address: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium found; on Debian: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page: Any = browser.new_page()
        hosts: set[str] = set()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "://" in request.url else None)
        page.goto(address)
        page.locator("table tbody tr, .gallery-item").first.click(timeout=60_000)
        expect(page.get_by_label("Text")).to_have_value(HOSTILE, timeout=30_000)
        page.locator("[data-testid=image] img, .image-frame img").first.wait_for(timeout=30_000)
        page.get_by_role("button", name="Annotate").click()
        expect(page.get_by_text("Anna (PER)").first).to_be_visible(timeout=60_000)
        expect(page.get_by_text("onerror").first).to_be_visible()
        assert page.evaluate("window.pwned") is None
        page.get_by_label("Run").click()
        page.get_by_role("option", name="broken").click()
        page.get_by_role("button", name="Annotate").click()
        expect(page.get_by_text("window.pwned=2").first).to_be_visible(timeout=60_000)
        assert page.evaluate("window.pwned") is None
        assert all(host.startswith("127.0.0.1") for host in hosts if host), hosts
        browser.close()
