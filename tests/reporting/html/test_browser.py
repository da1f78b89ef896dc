"""The page in headless Chromium: hostile tweets do nothing and show everything; filters, links, two runs, access."""

import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gmner.reporting.html.page import build_page
from gmner.reporting.html.thumbnails import data_uris
from tests.helpers.made_results import HOSTILE_ID, HOSTILE_TOKENS, gathered, make_results

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HALF = "\ud800half"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, browser: "Browser") -> Path:
    """A page with a hostile tweet among 60, written once."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        data = gathered(make_results(root, tweets=60, hostile=True))
        data["datasets"][0]["tweets"][1]["tokens"].append(HALF)  # no table can hold it; the page must all the same
        data["datasets"][0]["report"]["problems"] = [
            {"count": 1, "meaning": "an example", "by_split": {}, "examples": ["<b onclick=window.pwned=7>"]}
        ]
        names = ("__proto__", "constructor", "toString", "PER")
        data["runs"][1]["analysis"]["confusion"] = {name: {names[i - 1]: 3} for i, name in enumerate(names)}
        data["runs"][1]["risk_coverage"] = [[50.0, 0.0], [100.0, 30.0]]
        for number, answer in enumerate(data["runs"][1]["answers"]):
            for entity in answer["e"]:
                entity["c"] = (number * 7 % 60) / 60
        data["missing"] = ["<i>E2E</i> on made, seed 43: its scores"]
        images = list(data_uris([(f"images/{i}.jpg", (320, 240)) for i in range(12)], 320, 55))
        page, _ = build_page("report </title><script>window.pwned=8</script>", data, images)
    (root / "report.html").write_bytes(page.encode("utf-8"))
    return root / "report.html"


class Opened:
    """A page that was opened, with everything it complained about or asked the network for."""

    def __init__(self, page: "Page", path: Path, fragment: str = "") -> None:
        self.page, self.complaints, self.requests = page, [], []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("html[data-ready]")

    def pick(self, label: str, option: str, within: str = "#filters") -> None:
        self.page.locator(within).get_by_label(label, exact=True).select_option(label=option)

    def count(self) -> int:
        return int(self.page.locator("#count").inner_text().split()[0])

    def axe(self) -> list[str]:
        from axe_playwright_python.sync_playwright import Axe

        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        found = Axe().run(self.page, options=rules).response["violations"]
        return [f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}" for v in found]


@pytest.fixture
def opened(report: Path, browser: "Browser") -> Iterator[Any]:
    contexts = []

    def open_page(size: dict[str, int] = WIDE, scheme: str = "light", fragment: str = "") -> Opened:
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce"))
        return Opened(contexts[-1].new_page(), report, fragment)

    yield open_page
    for context in contexts:
        context.close()


def tweet_link(tweet: str, run: str, beside: str = "") -> str:
    parts = {"tweet": f"made/{tweet}", "run": f"{run}/42"} | ({"beside": f"{beside}/42"} if beside else {})
    return "#" + urllib.parse.urlencode(parts)


def test_hostile_tweets_run_nothing_ask_for_nothing_and_show_everything(opened: Any) -> None:
    seen = opened(fragment=tweet_link(HOSTILE_ID, "full"))
    seen.page.wait_for_timeout(300)
    assert seen.page.evaluate("window.pwned") is None
    assert seen.complaints == [] and [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
    assert seen.page.locator("#detail h2").inner_text().startswith(HOSTILE_ID)
    text = seen.page.locator("#detail .tweet").inner_text()
    card = (
        seen.page.locator("#cards .card").first.locator(".tweet").text_content() or ""
    )  # not on the screen: no layout
    for token in HOSTILE_TOKENS:
        plain = re.sub("[\u202e\u202c\u200f\u2028]", lambda found: f"U+{ord(found[0]):04X}", token)
        assert plain in text and plain in card, token
    assert "<script>window.pwned=1</script>" in seen.page.locator("#detail .reasoning").inner_text()
    assert seen.page.locator("#detail .tweet script, #detail .tweet img").count() == 0
    assert "\ufffdhalf" in seen.page.locator("#cards .card").nth(1).locator(".tweet").text_content()
    assert "<b onclick=window.pwned=7>" in seen.page.locator("#data").inner_text()
    assert seen.page.title().startswith("report </title><script>")


def test_types_called_as_what_objects_have_break_nothing(opened: Any) -> None:
    seen = opened()
    confusion = seen.page.get_by_role("region", name="Confusion of types")
    heads = [cell.strip() for cell in confusion.locator("thead th").all_inner_texts()]
    assert sorted(heads[1:]) == sorted(["PER", "__proto__", "constructor", "toString"])
    rows = [row.split("\t") for row in confusion.locator("tbody tr").all_inner_texts()]
    cells = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert all(sorted(values) == ["0", "0", "0", "3"] for values in cells.values()) and len(cells) == 4
    assert seen.complaints == []


def test_the_result_comes_first_and_what_is_missing_is_said(opened: Any) -> None:
    for size in (WIDE, PHONE):
        page = opened(size).page
        tiles = page.locator(".tiles b")
        assert tiles.count() == 3 and tiles.last.bounding_box()["y"] < 400
        page.get_by_text("1 result not finished yet").click()
        assert "<i>E2E</i> on made" in page.locator("details.notice").inner_text()
        last = page.locator(".top a").last.bounding_box()
        assert last["x"] + last["width"] <= size["width"]


def test_confidences_order_the_gallery_and_draw_the_risk(opened: Any) -> None:
    seen = opened()
    assert seen.page.get_by_text("Wrong predictions among the surest").count() == 1
    first = seen.page.locator("#cards .card").first.locator(".id")
    before = first.text_content()
    seen.pick("Order", "surest first")
    assert first.text_content() != before
    assert seen.complaints == []


def test_the_policy_stops_what_the_page_does_not_do(opened: Any) -> None:
    page = opened().page
    blocked = page.evaluate("""() => {
        const tried = [];
        try { document.body.innerHTML = "<b>x</b>"; tried.push("markup"); } catch { tried.push("no markup"); }
        const script = document.createElement("script");
        try { script.text = "window.pwned = 9"; document.body.append(script); } catch { tried.push("no script"); }
        return tried;
    }""")
    assert blocked == ["no markup", "no script"] and page.evaluate("window.pwned") is None


def test_filters_by_kind_type_run_and_text(opened: Any) -> None:
    from playwright.sync_api import expect

    seen = opened()
    assert seen.count() == 60
    seen.pick("Kind", "wrong type")
    few = seen.count()
    assert 0 < few < 60
    for card in seen.page.locator("#cards .card").all():
        assert "wrong type" in (card.text_content() or "")
    seen.pick("Type", "PER")
    assert seen.count() < few
    seen.page.get_by_role("button", name="Clear").click()
    assert seen.count() == 60
    seen.pick("Run", "Backbone as it is")
    seen.pick("Kind", "odd answer (not as asked)")
    assert seen.count() == 60
    seen.page.get_by_label("Text").fill("NAME7 sur0")
    expect(seen.page.locator("#count")).to_have_text(re.compile("^1 tweet "))
    assert "Name7" in (seen.page.locator("#cards").text_content() or "")


def test_a_number_of_the_taxonomy_opens_the_tweets_behind_it(opened: Any) -> None:
    seen = opened()
    cell = seen.page.locator("#errors tbody tr", has_text="w/o CoT").first.get_by_role(
        "button", name=re.compile("^wrong type")
    )
    cell.click()
    assert seen.page.locator("#filters").get_by_label("Run", exact=True).input_value() == "no-cot/42"
    assert 0 < seen.count() <= int(cell.inner_text())


def test_a_tweet_has_an_address_and_two_runs_stand_side_by_side(opened: Any) -> None:
    from playwright.sync_api import expect

    seen = opened(fragment=tweet_link("test/5", "full", "no-cot"))
    page = seen.page
    expect(page.locator("#detail .answer h3")).to_have_text(["E2E-GMNER", "w/o CoT"])
    left, right = (column.bounding_box() for column in page.locator("#detail .answer").all())
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"] + 1
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail h2")).to_contain_text("test/6")
    expect(page).to_have_url(re.compile("test%2F6"))
    seen.pick("Compare with", "Backbone as it is", "#detail")
    expect(page.locator("#detail .answer h3")).to_have_text(["E2E-GMNER", "Backbone as it is"])
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page).to_have_url(re.compile("#gallery$"))
    seen.pick("Kind", "only the first is right")
    expect(page.locator("#count")).not_to_have_text(re.compile("^(60|0) tweets"))


def test_links_that_lead_nowhere_show_the_page(opened: Any) -> None:
    for fragment in (tweet_link("test/none", "full"), "#tweet=", "#tweet=%", "#nothing"):
        seen = opened(fragment=fragment)
        assert not seen.page.locator("#detail").is_visible() and seen.complaints == []
    unknown_run = opened(fragment=tweet_link("test/5", "gone"))
    assert unknown_run.page.locator("#detail .answer h3").all_inner_texts() == ["E2E-GMNER"]


def test_everything_is_reached_by_keyboard(opened: Any) -> None:
    page = opened().page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#cards .open").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[open]")
    inside = "document.querySelector('#detail').contains(document.activeElement)"
    for _ in range(12):
        assert page.evaluate(f"document.activeElement === document.body || {inside}")  # body: the browser's own bar
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "open"
    outlined = page.evaluate("""() => { document.querySelector('#more')?.focus();
        return getComputedStyle(document.querySelector('select')).outlineStyle; }""")
    assert outlined == "none"  # only what has the focus is outlined
    page.locator("#filters select").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


def test_cards_come_as_one_scrolls(opened: Any) -> None:
    from playwright.sync_api import expect

    seen = opened()
    assert seen.page.locator("#cards .card").count() == 24
    seen.page.locator("#more").scroll_into_view_if_needed()
    expect(seen.page.locator("#cards .card")).to_have_count(48)
    seen.page.locator("#more").scroll_into_view_if_needed()
    expect(seen.page.locator("#cards .card")).to_have_count(60)
    assert not seen.page.locator("#more").is_visible()


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["wide-light", "phone-dark"])
def test_axe_finds_nothing(opened: Any, size: dict[str, int], scheme: str) -> None:
    seen = opened(size, scheme)
    assert seen.axe() == []
    seen.page.locator("#cards .open").first.click()
    seen.pick("Compare with", "w/o CoT", "#detail")
    assert seen.axe() == []


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_never_scrolls_sideways(opened: Any, width: int) -> None:
    page = opened({"width": width, "height": 844}).page
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    page.evaluate(f"location.hash = {tweet_link(HOSTILE_ID, 'full', 'no-cot')!r}")
    page.wait_for_selector("#detail[open]")
    assert page.evaluate("document.querySelector('#detail').scrollWidth") <= width
    boxes = [column.bounding_box() for column in page.locator("#detail .answer").all()]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]


def test_it_prints(opened: Any, tmp_path: Path) -> None:
    page = opened().page
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible() and page.locator("#cards .card").first.is_visible()
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
