"""The stage `tables`: from score files and printed numbers to one table for programs, for reading and for papers."""

from collections.abc import Sequence
from pathlib import Path

from gmner.config.stages import TableStage
from gmner.errors import ConfigError
from gmner.reporting.tables import TABLES
from gmner.reporting.tables.made import Made
from gmner.reporting.tables.pages import to_json, to_latex, to_markdown
from gmner.reporting.tables.rows import measured_rows, reported_rows, to_csv
from gmner.storage.files import write_json, write_text


def make_table(stage: TableStage, scores: Sequence[Path], paper: Path | None, out: Path) -> None:
    """Write `out` (CSV) and beside it .md, .json, and .tex of a table or .png and .pdf of a figure.

    Raises MissingInputError if a score file or the printed numbers are missing.
    """
    entry = TABLES.get(stage.name)
    if entry is None:
        known = ", ".join(TABLES)
        raise ConfigError(f"no table is called '{stage.name}'; there are {known}")
    if entry.paper and paper is None:
        raise ConfigError(f"{stage.name} needs --paper, the numbers that were printed: workflow/paper/{stage.name}.csv")
    reported = reported_rows(paper) if entry.paper and paper is not None else []
    made: Made = entry.load()(stage.name, reported, measured_rows(stage.rows, scores))
    if made.draw is not None:
        made.draw([out.with_suffix(".png"), out.with_suffix(".pdf")])
    else:
        write_text(out.with_suffix(".tex"), to_latex(made.page, stage.name))
    write_text(out.with_suffix(".md"), to_markdown(made.page))
    write_json(out.with_suffix(".json"), {"name": stage.name, **to_json(made.page), **made.more})
    write_text(out, to_csv(made.rows, made.columns))
