"""The stage `report`: from a folder of results to one page."""

import logging
from pathlib import Path

from gmner.config.stages import ReportStage
from gmner.reporting.html.gather import ImageBook, gather
from gmner.reporting.html.page import Sizes, build_page
from gmner.reporting.html.thumbnails import data_uris
from gmner.runtime.progress import Progress
from gmner.storage.files import write_text

log = logging.getLogger(__name__)
TITLE = "gmner report"


def make_report(stage: ReportStage, results: Path, out: Path) -> Sizes:
    """Write the page; return its sizes, which are logged too.

    What is not finished yet is named on the page. Raises DataError naming a file that is damaged; an image that cannot
    be read is left out with a warning.
    """
    book = ImageBook()
    data = gather(stage, results, book)
    chosen = book.images if stage.report.images else []
    progress = Progress("report: images", len(chosen), "images")
    images = []
    for uri in data_uris(chosen, stage.report.image_side, stage.report.image_quality):
        images.append(uri)
        progress.advance()
    progress.finish()
    names = ", ".join(dataset.name for dataset in stage.datasets)
    page, sizes = build_page(f"{TITLE}: {names}" if names else TITLE, data, images)
    write_text(out, page)
    for one in data["missing"]:
        log.info("report: not finished yet: %s", one)
    log.info(
        "%s: %d tweets, %d runs, %s", out, sum(len(d["tweets"]) for d in data["datasets"]), len(data["runs"]), sizes
    )
    return sizes
