"""Table 4: ways to train and to answer that the paper has not, each against the same reference run."""

from gmner.reporting.tables.made import Made
from gmner.reporting.tables.pages import Page
from gmner.reporting.tables.paper_layout import measured_blocks, notes_on
from gmner.reporting.tables.rows import DIFFERENCE, TABLE_COLUMNS, TASK_SCORES, Row, compare_rows

TITLE = "Table 4: other ways to train and to answer, against the first row"
COLUMNS = (*TABLE_COLUMNS, *(f"{name}_{end}" for name in TASK_SCORES for end in ("low", "high")), *DIFFERENCE)


def table4(name: str, reported: list[Row], measured: list[Row]) -> Made:
    """Return the runs compared with the first of their dataset, over seeds, on the same tweets."""
    references: dict[str, Row] = {}
    for row in measured:
        reference = references.setdefault(row.dataset, row)
        if row is not reference:
            row.compared = compare_rows(row, reference)
    notes = [
        note.replace("the block's first end-to-end row", "the block's first row")
        for note in notes_on(measured, "Every number was measured by this workflow")
    ]
    return Made(measured, COLUMNS, Page(TITLE, measured_blocks(measured), notes))
