"""A page of tables as people read it (Markdown, LaTeX) and as the report is given it (JSON)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass
class Block:
    """One table: a caption and a frame of texts, of which the first `text_columns` columns hold words.

    `groups` are headings inside the table: the number of a row to the words above it. `spans` are heads over several
    columns, (text, number of columns), covering all of them.
    """

    caption: str
    frame: pd.DataFrame
    text_columns: int = 1
    groups: dict[int, str] = field(default_factory=dict)
    spans: Sequence[tuple[str, int]] = ()

    def heads(self) -> list[str]:
        """Return the columns' heads; the first column of each span names it."""
        heads, start = [str(head) for head in self.frame.columns], 0
        for text, width in self.spans:
            if text:
                heads[start] = f"{text}: {heads[start]}"
            start += width
        return heads

    def lines(self) -> list[list[str]]:
        """Return the rows as texts; a line of one text is a heading inside the table."""
        found: list[list[str]] = []
        for number, cells in enumerate(self.frame.to_numpy().tolist()):
            if number in self.groups:
                found.append([self.groups[number]])
            found.append([str(cell) for cell in cells])
        return found

    def aligned(self, words: str, numbers: str) -> list[str]:
        """Return one of two marks per column: that of words or that of numbers."""
        return [words if i < self.text_columns else numbers for i in range(self.frame.shape[1])]


@dataclass
class Page:
    """A title, tables one after the other, and notes below them."""

    title: str
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)


def to_json(page: Page) -> dict[str, Any]:
    """Return a page for programs: each block has its caption, heads, rows, and which columns hold numbers."""
    blocks = [
        {
            "caption": block.caption,
            "heads": block.heads(),
            "numbers": [mark == "n" for mark in block.aligned("w", "n")],
            "rows": block.lines(),
        }
        for block in page.blocks
    ]
    return {"title": page.title, "blocks": blocks, "notes": page.notes}


def to_markdown(page: Page) -> str:
    """Return a page as Markdown (GitHub's tables)."""
    parts = [f"# {page.title}"]
    for block in page.blocks:
        parts += [f"## {block.caption}", _markdown_table(block)]
    if page.notes:
        parts.append("\n".join(f"- {note}" for note in page.notes))
    return "\n\n".join(parts) + "\n"


def _markdown_table(block: Block) -> str:
    width = block.frame.shape[1]
    lines = [
        [f"**{_markdown(line[0])}**", *[""] * (width - 1)] if len(line) < width else [_markdown(cell) for cell in line]
        for line in block.lines()
    ]
    frame = pd.DataFrame(lines, columns=[_markdown(head) for head in block.heads()])
    align = block.aligned("left", "right")
    return frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=align if lines else None)


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", _on_one_line(text))


def to_latex(page: Page, label: str) -> str:
    """Return a page's tables as LaTeX for the package booktabs; the label of the n-th is `tab:<label>-<n>`."""
    head = f"% {_on_one_line(page.title)}. Needs \\usepackage{{booktabs}}.\n"
    tables = [_latex_table(block, f"tab:{label}-{n}") for n, block in enumerate(page.blocks, start=1)]
    return head + "\n".join(tables) + "".join(f"% {_on_one_line(note)}\n" for note in page.notes)


def _latex_table(block: Block, label: str) -> str:
    width = block.frame.shape[1]
    lines = [
        [f"\\textit{{{_latex(line[0])}}}", *[""] * (width - 1)]
        if len(line) < width
        else [_latex(cell) for cell in line]
        for line in block.lines()
    ]
    heads = [_latex(str(head)) for head in block.frame.columns]
    if block.spans:
        above = [_latex(text) for text, wide in block.spans for _ in range(wide)]
        frame = pd.DataFrame(lines, columns=pd.MultiIndex.from_arrays([above, heads]))
    else:
        frame = pd.DataFrame(lines, columns=heads)
    return frame.style.hide(axis="index").to_latex(
        column_format="".join(block.aligned("l", "r")),
        position="t",
        position_float="centering",
        hrules=True,
        caption=_latex(block.caption),
        label=label,
        multicol_align="c",
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "—": "---",
    "–": "--",
    "≥": r"$\geq$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "*": r"$^{*}$",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex(text: str) -> str:
    # Styler's own escaping knows neither ± nor Greek letters, nor which asterisk is a mark.
    return "".join(_LATEX.get(character, character) for character in _on_one_line(text))


def _on_one_line(text: str) -> str:
    """Return a text in which nothing ends a table's row: controls and line breaks become blanks."""
    return "".join(character if character.isprintable() else " " for character in text)
