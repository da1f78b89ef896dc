"""How long the report takes to make, how large it is, and how soon a browser answers in it; prints JSON.

    python benchmarks/report.py [--quick] [--tweets 1500] [--keep FILE]

The results are made up by the tests: two trained runs and an untuned one, images of 600 x 450 pixels with fine grain,
which no format makes small. Without Chromium the browser's part is left out.
"""

import measure  # noqa: I001
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(measure.REPO))


def make_and_browse(tweets: int, folder: Path) -> dict[str, Any]:
    """Make a report of so many tweets in `folder` and measure it."""
    from gmner.reporting.html.stage import make_report
    from tests.helpers.made_results import make_results

    with contextlib.chdir(folder):
        stage = make_results(folder, tweets, sides=(600, 450), distinct_images=60)
        _own_images(folder, tweets)
        ours = measure.timed(lambda: make_report(stage, Path("results"), Path("report.html")))
    found: dict[str, Any] = {"work": tweets, "unit": "tweets", "runs": len(stage.runs), "ours": ours.to_json(tweets)}
    found |= {"page_mb": round(ours.result.page / 1e6, 2), "images_mb": round(ours.result.images / 1e6, 2)}
    return found | browse(folder / "report.html")


def _own_images(folder: Path, tweets: int) -> None:
    """Give each tweet an image of its own: none may be made small once for many."""
    from gmner.storage.tables import SAMPLES, read_table, write_table

    table = folder / "results/samples/made/samples.parquet"
    rows = read_table(table, SAMPLES).to_pylist()
    for number, row in enumerate(rows):
        own = folder / "images" / f"own-{number}.jpg"
        os.link(row["image_path"], own)
        row["image_path"] = str(own)
    write_table(table, rows, SAMPLES)


def browse(page: Path) -> dict[str, Any]:
    """Open a page in headless Chromium: milliseconds until it answers, to filter, to open a tweet; MiB of its heap."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    timed = "(act) => { const begin = performance.now(); act(); return performance.now() - begin; }"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        opened.goto(page.as_uri())
        opened.wait_for_selector("html[data-ready]")
        found = {"interactive_ms": int(opened.evaluate("Number(document.documentElement.dataset.ready)"))}
        picked = "() => { const s = document.querySelectorAll('#filters select')[2]; s.value = 'wrong';"
        picked += " s.dispatchEvent(new Event('change')); }"
        found["filter_ms"] = round(opened.evaluate(f"() => ({timed})({picked})"), 1)
        click = "() => document.querySelector('#cards .open').click()"
        found["open_tweet_ms"] = round(opened.evaluate(f"() => ({timed})({click})"), 1)
        found["cards"] = opened.locator("#cards .card").count()
        found["heap_mib"] = round(opened.evaluate("performance.memory.usedJSHeapSize") / 2**20, 1)
        browser.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = measure.parser(__doc__)
    parser.add_argument("--tweets", type=int, default=1500)
    parser.add_argument("--keep", type=Path, help="where to keep the page")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = make_and_browse(12 if args.quick else args.tweets, Path(place))
        if args.keep:
            shutil.copy(Path(place) / "report.html", args.keep)
    measure.emit(measure.document("report", args.quick, **found, baseline=None))


if __name__ == "__main__":
    main()
