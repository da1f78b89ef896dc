"""The stage `table`: from score files and the paper's numbers to a table for programs, for reading and for papers."""

from collections.abc import Sequence
from pathlib import Path

from gmner.config.stages import TableStage
from gmner.errors import ConfigError
from gmner.reporting.tables.figure3 import FIGURE_COLUMNS, draw, figure_page, panels_of
from gmner.reporting.tables.markdown_latex import to_latex, to_markdown
from gmner.reporting.tables.paper_layout import page_of
from gmner.reporting.tables.rows import TABLE_COLUMNS, compare_with_first, measured_rows, reported_rows, to_csv
from gmner.storage.files import write_text

COLUMNS = {
    "table1": TABLE_COLUMNS,
    "table2": (*TABLE_COLUMNS, "difference", "p_value"),
    "table3": (*TABLE_COLUMNS, "difference", "p_value"),
}


def make_table(stage: TableStage, scores: Sequence[Path], paper: Path | None, out: Path) -> None:
    """Write `out` (CSV) and beside it the other forms: .md and .tex of a table, .md, .png and .pdf of the figure.

    Raises MissingInputError where a score file or the paper's numbers are missing.
    """
    measured = measured_rows(stage.rows, scores)
    if stage.name == "figure3":
        panels = panels_of(measured)
        if not panels:
            raise ConfigError("tables.figure3 has no run to draw; name runs with different strengths")
        draw(panels, [out.with_suffix(".png"), out.with_suffix(".pdf")])
        write_text(out.with_suffix(".md"), to_markdown(figure_page(panels)))
        write_text(out, to_csv([row for rows in panels.values() for row in rows], FIGURE_COLUMNS))
        return
    if paper is None:
        raise ConfigError(
            f"{stage.name} needs --paper, the numbers that the paper printed: workflow/paper/{stage.name}.csv"
        )
    compare_with_first(measured)
    rows = [*reported_rows(paper), *measured]
    page = page_of(stage.name, rows)
    write_text(out.with_suffix(".md"), to_markdown(page))
    write_text(out.with_suffix(".tex"), to_latex(page, stage.name))
    write_text(out, to_csv(rows, COLUMNS[stage.name]))
