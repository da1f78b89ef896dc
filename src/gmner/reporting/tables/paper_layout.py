"""How the paper lays out its tables, and how measured rows stand below: a block of their own for each data set."""

from collections.abc import Callable, Sequence

from gmner.reporting.tables.markdown_latex import Block, Heading, Page
from gmner.reporting.tables.rows import TASK_SCORES, Row, number

SIGNIFICANT = 0.05
PAPER_DATASETS = {"twitter-gmner": "Twitter-GMNER", "twitter-fmnerg": "Twitter-FMNERG"}
NO_VALUE = "-"
CITATION = "Zhang et al., E2E-GMNER: End-to-End Generative Grounded Multimodal Named Entity Recognition"


def page_of(name: str, rows: Sequence[Row]) -> Page:
    """Return table1, table2 or table3 for reading."""
    title, reported = _REPORTED[name]
    measured = [row for row in rows if row.measured]
    blocks = [reported([row for row in rows if not row.measured])]
    for dataset in dict.fromkeys(row.dataset for row in measured):
        blocks.append(_measured_block([row for row in measured if row.dataset == dataset], dataset))
    return Page(title, blocks, _notes(measured, any(row.compared for row in measured)))


def _notes(measured: Sequence[Row], compared: bool) -> list[str]:
    notes = [
        "All numbers are F1 in per cent. The first table holds what the paper printed; every other was measured by "
        "this workflow on the data set that its heading names, and numbers of different data sets do not compare."
    ]
    if any(row.intervals for row in measured):
        notes.append(
            "In parentheses: 95 % bootstrap interval over the tweets of the test set (10 000 resamples), one seed."
        )
    if any(row.sds for row in measured):
        notes.append("After ±: standard deviation over seeds.")
    if compared:
        notes.append(
            "Difference: GMNER F1 less that of the block's first tuned row; an asterisk marks p < 0.05 (two-sided "
            "approximate randomisation over the same tweets, each with its answers of all seeds, 10 000 exchanges)."
        )
    if measured:
        notes.append(f"Counted by: {', '.join(sorted({row.signature for row in measured}))}.")
    return notes


def _by_method(rows: Sequence[Row], label: Callable[[Row], str]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(label(row), {})[row.dataset] = row
    return found


def _main_results(rows: Sequence[Row]) -> Block:
    block = Block(
        f"As reported by the paper ({CITATION})",
        ["Method", *["GMNER", "MNER", "EEG"] * 2],
        spans=[("", 1), *((name, 3) for name in PAPER_DATASETS.values())],
    )
    group = ""
    for method, by_dataset in _by_method(rows, lambda row: row.method).items():
        one = next(iter(by_dataset.values()))
        if one.group != group:
            group = one.group
            block.lines.append(Heading(group))
        values = [
            number(by_dataset[dataset].scores.get(score)) or NO_VALUE
            for dataset in PAPER_DATASETS
            for score in TASK_SCORES
        ]
        block.lines.append([f"{method}†" if group == "External knowledge" else method, *values])
    return block


def _gmner_only(rows: Sequence[Row], head: str, label: Callable[[Row], str]) -> Block:
    block = Block(f"GMNER F1 as reported by the paper ({CITATION})", [head, *PAPER_DATASETS.values()])
    for name, by_dataset in _by_method(rows, label).items():
        block.lines.append([name, *(number(by_dataset[d].scores.get("gmner_f1")) or NO_VALUE for d in PAPER_DATASETS)])
    return block


_REPORTED: dict[str, tuple[str, Callable[[Sequence[Row]], Block]]] = {
    "table1": ("Table 1: main results", _main_results),
    "table2": (
        "Table 2: ablations, without chain of thought (CoT), without box perturbation (GRBP)",
        lambda rows: _gmner_only(rows, "Method", lambda row: row.method),
    ),
    "table3": (
        "Table 3: teachers of the chain of thought",
        lambda rows: _gmner_only(rows, "Teacher", lambda row: row.teacher),
    ),
}


def _measured_block(rows: Sequence[Row], dataset: str) -> Block:
    compared = any(row.compared for row in rows)
    samples = ", ".join(str(n) for n in sorted({row.samples for row in rows if row.samples is not None}))
    heads = ["Method", "Backbone", "Teacher", "Seeds", "GMNER", "MNER", "EEG", *(["Difference"] if compared else [])]
    block = Block(f"Measured on {dataset} ({samples} test samples)", heads, text_columns=4)
    for row in rows:
        identity = [row.method, row.backbone, row.teacher or NO_VALUE, ", ".join(map(str, row.seeds))]
        difference = [_difference(row)] if compared else []
        block.lines.append([*identity, *(_value(row, name) for name in TASK_SCORES), *difference])
    return block


def _value(row: Row, name: str) -> str:
    text = number(row.scores[name])
    if name in row.sds:
        return f"{text} ± {row.sds[name]:.2f}"
    if name in row.intervals:
        low, high = row.intervals[name]
        return f"{text} ({low:.1f} to {high:.1f})"
    return text


def _difference(row: Row) -> str:
    if row.compared is None:
        return NO_VALUE
    mark = "*" if row.compared.p_randomisation < SIGNIFICANT else ""
    return f"{row.compared.difference:+.2f}{mark}"
