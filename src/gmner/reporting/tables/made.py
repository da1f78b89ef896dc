"""What the layout of a table gives to the stage that writes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gmner.reporting.tables.pages import Page
from gmner.reporting.tables.rows import Row


@dataclass
class Made:
    """A table: rows and columns for programs, a page for people, and what else a table has.

    `more` goes into its JSON; `draw` saves a figure in the format that a path's ending names.
    """

    rows: list[Row]
    columns: Sequence[str]
    page: Page
    more: dict[str, Any] = field(default_factory=dict)
    draw: Callable[[Sequence[Path]], None] | None = None
