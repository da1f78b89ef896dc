"""A table for reading, as Markdown and as LaTeX (booktabs)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heading:
    """A line inside a table that names the rows below it."""

    text: str


@dataclass
class Block:
    """One table: a caption, the columns' heads, the lines. The first `text_columns` columns hold words.

    `spans` are heads over several columns, (text, number of columns), covering all of them.
    """

    caption: str
    heads: Sequence[str]
    lines: list[Sequence[str] | Heading] = field(default_factory=list)
    text_columns: int = 1
    spans: Sequence[tuple[str, int]] = ()


@dataclass
class Page:
    """A title, tables one after the other, and notes below them."""

    title: str
    blocks: list[Block]
    notes: list[str] = field(default_factory=list)


def to_markdown(page: Page) -> str:
    """Return a page as Markdown (GitHub's tables)."""
    parts = [f"# {page.title}"]
    for block in page.blocks:
        parts.append(f"## {block.caption}")
        parts.append("\n".join(_markdown_lines(block)))
    parts += [f"- {note}" for note in page.notes[:1]]
    text = "\n\n".join(parts) + "\n"
    return text + "".join(f"- {note}\n" for note in page.notes[1:])


def _markdown_lines(block: Block) -> list[str]:
    rule = ["---" if i < block.text_columns else "---:" for i in range(len(block.heads))]
    lines = [_markdown_row(_spanned_heads(block)), _markdown_row(rule)]
    for line in block.lines:
        if isinstance(line, Heading):
            lines.append(_markdown_row([f"**{_markdown(line.text)}**", *[""] * (len(block.heads) - 1)]))
        else:
            lines.append(_markdown_row([_markdown(cell) for cell in line]))
    return lines


def _spanned_heads(block: Block) -> list[str]:
    # Markdown has no cells over several columns: the first column of each span names it.
    heads = [_markdown(head) for head in block.heads]
    start = 0
    for text, width in block.spans:
        if text:
            heads[start] = f"{_markdown(text)}: {heads[start]}"
        start += width
    return heads


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_<>`\[\]])", r"\\\1", _on_one_line(text))


def to_latex(page: Page, label: str) -> str:
    """Return a page's tables as LaTeX for the package booktabs; the label of the n-th is `tab:<label>-<n>`."""
    head = f"% {_on_one_line(page.title)}. Needs \\usepackage{{booktabs}}.\n"
    return (
        head
        + "\n".join(_latex_block(block, f"{label}-{n}") for n, block in enumerate(page.blocks, start=1))
        + ("".join(f"% {_on_one_line(note)}\n" for note in page.notes))
    )


def _latex_block(block: Block, label: str) -> str:
    columns = "l" * block.text_columns + "r" * (len(block.heads) - block.text_columns)
    lines = [
        "\\begin{table}[t]",
        "\\centering",
        f"\\caption{{{_latex(block.caption)}}}",
        f"\\label{{tab:{label}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        *_latex_spans(block),
        " & ".join(_latex(head) for head in block.heads) + " \\\\",
        "\\midrule",
    ]
    for number, line in enumerate(block.lines):
        if isinstance(line, Heading):
            lines += ["\\midrule"] if number else []
            lines.append(f"\\multicolumn{{{len(block.heads)}}}{{l}}{{\\textit{{{_latex(line.text)}}}}} \\\\")
        else:
            lines.append(" & ".join(_latex(cell) for cell in line) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _latex_spans(block: Block) -> list[str]:
    if not block.spans:
        return []
    cells, rules, start = [], [], 1
    for text, width in block.spans:
        cells.append(f"\\multicolumn{{{width}}}{{c}}{{{_latex(text)}}}" if text else " & ".join([""] * width))
        if text:
            rules.append(f"\\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [" & ".join(cells) + " \\\\", " ".join(rules)]


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "—": "---",
    "–": "--",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "*": r"$^{*}$",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _on_one_line(text))


def _on_one_line(text: str) -> str:
    """Return a text in which nothing ends a table's row: controls and line breaks become blanks."""
    return "".join(character if character.isprintable() else " " for character in text)
