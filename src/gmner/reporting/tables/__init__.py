"""The tables of results and their figure: a registry. Adding one: docs/extending.md, "Add a table"."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class TableEntry:
    """A table: where it is laid out, and whether it reads workflow/paper/NAME.csv.

    `make` is "package.module:function" of a function that takes the name, the reported and the measured rows, and
    returns a `Made` (made.py).
    """

    make: str
    paper: bool = True

    def load(self) -> Any:
        """Import the function."""
        module, name = self.make.split(":")
        return getattr(import_module(module), name)


_HERE = "gmner.reporting.tables"
TABLES: dict[str, TableEntry] = {
    "table1": TableEntry(f"{_HERE}.paper_layout:table1"),
    "table2": TableEntry(f"{_HERE}.paper_layout:table2"),
    "table3": TableEntry(f"{_HERE}.paper_layout:table3"),
    "table4": TableEntry(f"{_HERE}.table4:table4", paper=False),
    "newer": TableEntry(f"{_HERE}.newer:newer"),
    "figure3": TableEntry(f"{_HERE}.figure3:figure3", paper=False),
}
"""Every key of `tables` in the configuration."""
