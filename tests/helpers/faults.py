"""The table of faults in docs/robustness.md: each test adds the rows that it has seen, and no other hand writes it."""

import re
from dataclasses import dataclass, field

AREAS = ("images", "text", "annotations", "archives", "configuration", "answers", "names and paths", "machine")
HEAD = """# What happens to bad input, and on a machine that refuses

Written by the tests that inject these faults (`make robustness`). An error is one message and exit status 1, never a
traceback; it names the file and, if there is one, the line or row. Nothing is left out without being counted.

What becomes of a run that is killed: [survival.md](survival.md).
"""
ABOUT = {
    "machine": """Each command was given each fault. Afterwards former results are as they were, or nothing is there: no
temporary file, no manifest over half a folder; and the same command, run again on a sound machine, writes what it
writes without a fault. `GMNER_LOG=DEBUG` shows where such an error came from.
"""
}


@dataclass
class Faults:
    """Rows seen so far: (area, input, result)."""

    rows: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, area: str, given: str, result: str) -> None:
        """Note what became of an input."""
        if area not in AREAS:
            raise ValueError(f"unknown area {area!r}")
        self.rows.add((area, given, result))

    def error(self, area: str, given: str, message: str) -> None:
        """Note an error message, without the folders of the test run."""
        shown = " ".join(re.sub(r"(?<![\w.])/[^\s:'\"]*/", "", message).split())
        self.add(area, given, f"error: `{shown[:200].replace('`', '')}{'…' if len(shown) > 200 else ''}`")

    def markdown(self) -> str:
        """Return the page."""
        lines = [HEAD]
        for area in AREAS:
            rows = sorted((given, result) for place, given, result in self.rows if place == area)
            if rows:
                lines += [f"## {area.capitalize()}", "", *([ABOUT[area]] if area in ABOUT else [])]
                lines += [f"| {'fault' if area == 'machine' else 'input'} | result |", "|---|---|"]
                lines += [*(_row(given, result) for given, result in rows), ""]
        return "\n".join(lines).rstrip() + "\n"


def _row(given: str, result: str) -> str:
    return f"| {_cell(given)} | {_cell(result)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
