"""Reading the small text tables that other stages write: Markdown for reading, CSV and TSV for programs."""

import csv
import io
import re
from typing import Any

_CELL = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([\\|*_<>`\[\]])")
_HEADING = re.compile(r"\*\*(.*)\*\*")


def markdown_page(text: str) -> dict[str, Any]:
    """Return what `to_markdown` of `gmner.reporting.tables` wrote: a title, blocks of heads and rows, notes.

    A block is {caption, heads, rows, numbers}: `numbers` says of each column whether it holds numbers. A row of one
    cell is a heading inside the table.
    """
    page: dict[str, Any] = {"title": "", "blocks": [], "notes": []}
    for line in text.split("\n"):  # splitlines also cuts at U+2028, which a title may have
        if line.startswith("# "):
            page["title"] = _plain(line[2:])
        elif line.startswith("## "):
            page["blocks"].append({"caption": _plain(line[3:]), "heads": [], "rows": [], "numbers": []})
        elif line.startswith("- "):
            page["notes"].append(_plain(line[2:]))
        elif line.startswith("|"):
            if not page["blocks"]:
                page["blocks"].append({"caption": "", "heads": [], "rows": [], "numbers": []})
            _add_row(page["blocks"][-1], [cell.strip() for cell in _CELL.split(line.strip())[1:-1]])
    return page


def _add_row(block: dict[str, Any], cells: list[str]) -> None:
    if not block["heads"]:
        block["heads"] = [_plain(cell) for cell in cells]
    elif not block["numbers"]:
        block["numbers"] = [cell.endswith(":") for cell in cells]
    else:
        heading = _HEADING.fullmatch(cells[0])
        block["rows"].append([_plain(heading[1])] if heading else [_plain(cell) for cell in cells])


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def table_rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    """Return a CSV (or, with a tab, TSV) text as one mapping a line."""
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def as_number(cell: str | None) -> float | None:
    """Return a cell's number, None where it holds none (empty, `-`, `NA`, not finite)."""
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def thinned(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return at most about `most` rows, evenly picked, the last one among them."""
    if len(rows) <= most:
        return rows
    step = -(-len(rows) // most)
    return [row for number, row in enumerate(rows) if (len(rows) - 1 - number) % step == 0]
