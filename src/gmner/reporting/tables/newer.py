"""Systems published after the paper, as their authors report them, and measured rows below."""

import pandas as pd

from gmner.reporting.tables.made import Made
from gmner.reporting.tables.pages import Block, Page
from gmner.reporting.tables.paper_layout import NO_VALUE, PAPER_DATASETS, measured_blocks, notes_on
from gmner.reporting.tables.rows import TABLE_COLUMNS, TASK_SCORES, Row, number

TITLE = "Newer systems, as their authors report them"
ABOUT = ("counted_by", "seen", "remark")
"""Columns of workflow/paper/newer.csv beside those of the paper's numbers."""


def newer(name: str, reported: list[Row], measured: list[Row]) -> Made:
    """Return published rows, a block per dataset and convention of scoring, then measured ones."""
    kinds = dict.fromkeys((row.dataset, row.about.get("counted_by", "")) for row in reported)
    blocks = [
        _reported([row for row in reported if (row.dataset, row.about.get("counted_by", "")) == kind], *kind)
        for kind in kinds
    ]
    first = "Reported rows hold what their authors print, by the scoring in the heading; others were measured"
    notes = [*notes_on(measured, first), *dict.fromkeys(_remark(row) for row in reported if row.about.get("remark"))]
    return Made(
        [*reported, *measured],
        (*TABLE_COLUMNS, "citation", *ABOUT),
        Page(TITLE, [*blocks, *measured_blocks(measured)], notes),
    )


def _reported(rows: list[Row], dataset: str, counted_by: str) -> Block:
    lines = [
        [
            row.method,
            row.citation,
            row.about.get("seen", "") or NO_VALUE,
            *(number(row.scores.get(score)) or NO_VALUE for score in TASK_SCORES),
        ]
        for row in rows
    ]
    frame = pd.DataFrame(lines, columns=["Method", "Source", "Seen", "GMNER", "MNER", "EEG"])
    caption = f"As reported on {PAPER_DATASETS.get(dataset, dataset)}; scoring: {counted_by or 'not stated'}"
    return Block(caption, frame, text_columns=3)


def _remark(row: Row) -> str:
    return f"{row.method}: {row.about['remark']}"
