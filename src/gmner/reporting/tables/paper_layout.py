"""How the paper lays out its tables, and how measured rows stand below: a block of their own for each dataset."""

from collections.abc import Callable, Sequence

import pandas as pd

from gmner.evaluation.seeds import ONE_SEED
from gmner.reporting.tables.made import Made
from gmner.reporting.tables.pages import Block, Page
from gmner.reporting.tables.rows import (
    DIFFERENCE,
    TABLE_COLUMNS,
    TASK_SCORES,
    Row,
    compare_with_first,
    none_everywhere,
    number,
)

PAPER_DATASETS = {"twitter-gmner": "Twitter-GMNER", "twitter-fmnerg": "Twitter-FMNERG"}
NO_VALUE = "-"
CITATION = "Zhang et al., E2E-GMNER: End-to-End Generative Grounded Multimodal Named Entity Recognition"


TITLES = {
    "table1": "Table 1: main results",
    "table2": "Table 2: ablations, without chain of thought (CoT), without box perturbation (GRBP)",
    "table3": "Table 3: teachers of the chain of thought",
}


def table1(name: str, reported: list[Row], measured: list[Row]) -> Made:
    """Return Table 1: the paper's, then measured rows and the trivial baseline."""
    rows = [*reported, *measured, *none_everywhere(measured)]
    return Made(rows, TABLE_COLUMNS, page_of(name, rows, _main_results(reported)))


def table2(name: str, reported: list[Row], measured: list[Row]) -> Made:
    """Return Table 2: the paper's ablations, then the measured ones against the first."""
    return _compared(name, reported, measured, _gmner_only(reported, "Method", lambda row: row.method))


def table3(name: str, reported: list[Row], measured: list[Row]) -> Made:
    """Return Table 3: the paper's teachers, then the measured ones against the first."""
    return _compared(name, reported, measured, _gmner_only(reported, "Teacher", lambda row: row.teacher))


def _compared(name: str, reported: list[Row], measured: list[Row], block: Block) -> Made:
    compare_with_first(measured)
    baseline = none_everywhere(measured) if name == "table2" else []
    rows = [*reported, *measured, *baseline]
    return Made(rows, (*TABLE_COLUMNS, *DIFFERENCE), page_of(name, rows, block))


def page_of(name: str, rows: Sequence[Row], reported: Block) -> Page:
    """Return a table of the paper for reading, with its printed part first."""
    ours = [row for row in rows if row.source != "reported"]
    first = "The first table holds what the paper printed; every other was measured by this workflow"
    return Page(TITLES[name], [reported, *measured_blocks(ours)], notes_on(ours, first))


def measured_blocks(rows: Sequence[Row]) -> list[Block]:
    """Return a block per dataset and convention of scoring: numbers of different ones never share a column."""
    kinds = dict.fromkeys((row.dataset, row.signature) for row in rows)
    conventions = {dataset: [s for d, s in kinds if d == dataset] for dataset, _ in kinds}
    return [
        _measured_block(
            [row for row in rows if (row.dataset, row.signature) == (dataset, signature)],
            dataset,
            signature if len(conventions[dataset]) > 1 else "",
        )
        for dataset, signature in kinds
    ]


def notes_on(rows: Sequence[Row], first: str) -> list[str]:
    """Return the notes below measured rows; `first` says what the blocks hold."""
    notes = [
        f"All numbers are F1 in per cent. {first} on the dataset that its heading names, and numbers of different "
        "datasets do not compare."
    ]
    several = [row for row in rows if len(row.seeds) > 1]
    if any(row.intervals and len(row.seeds) == 1 for row in rows):
        notes.append(
            "In parentheses: 95 % interval; with one seed over the tweets of the test set alone (10 000 bootstrap "
            f"resamples): {ONE_SEED}."
        )
    if several:
        notes.append(
            "After ±: standard deviation over seeds; with several seeds the interval in parentheses is over seeds and "
            "tweets."
        )
    if any(row.compared for row in rows):
        notes.append(
            "Difference: GMNER F1 less that of the block's first end-to-end row. An asterisk marks a significant one: "
            "seeds and tweets both vary (Student's t over seeds and tweets, and an exact permutation of seeds if there "
            "are four or more). With one seed on a side nothing is marked."
        )
    if any(row.source == "computed" for row in rows):
        notes.append(
            "None everywhere: a trivial baseline, computed and not run: every mention and type as annotated, no region "
            "for any of them. Its GMNER F1 is the share of gold entities without a region."
        )
    if rows:
        notes.append(f"Counted by: {', '.join(sorted({row.signature for row in rows}))}.")
    return notes


def _by_method(rows: Sequence[Row], label: Callable[[Row], str]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(label(row), {})[row.dataset] = row
    return found


def _main_results(rows: Sequence[Row]) -> Block:
    lines: list[list[str]] = []
    groups: dict[int, str] = {}
    group = ""
    for method, by_dataset in _by_method(rows, lambda row: row.method).items():
        one = next(iter(by_dataset.values()))
        if one.group != group:
            group = groups[len(lines)] = one.group
        values = [
            number(by_dataset[dataset].scores.get(score)) or NO_VALUE
            for dataset in PAPER_DATASETS
            for score in TASK_SCORES
        ]
        lines.append([f"{method}†" if group == "External knowledge" else method, *values])
    return Block(
        f"As reported by the paper ({CITATION})",
        pd.DataFrame(lines, columns=["Method", *["GMNER", "MNER", "EEG"] * 2]),
        groups=groups,
        spans=[("", 1), *((name, 3) for name in PAPER_DATASETS.values())],
    )


def _gmner_only(rows: Sequence[Row], head: str, label: Callable[[Row], str]) -> Block:
    lines = [
        [name, *(number(by_dataset[d].scores.get("gmner_f1")) or NO_VALUE for d in PAPER_DATASETS)]
        for name, by_dataset in _by_method(rows, label).items()
    ]
    frame = pd.DataFrame(lines, columns=[head, *PAPER_DATASETS.values()])
    return Block(f"GMNER F1 as reported by the paper ({CITATION})", frame)


def _measured_block(rows: Sequence[Row], dataset: str, signature: str) -> Block:
    compared = any(row.compared for row in rows)
    samples = ", ".join(str(n) for n in sorted({row.samples for row in rows if row.samples is not None}))
    heads = ["Method", "Backbone", "Teacher", "Seeds", "GMNER", "MNER", "EEG", *(["Difference"] if compared else [])]
    lines = []
    for row in rows:
        seeds = ", ".join(map(str, row.seeds)) or NO_VALUE
        identity = [row.method, row.backbone or NO_VALUE, row.teacher or NO_VALUE, seeds]
        difference = [_difference(row)] if compared else []
        lines.append([*identity, *(_value(row, name) for name in TASK_SCORES), *difference])
    counted = f", counted by {signature}" if signature else ""
    caption = f"Measured on {dataset} ({samples} test samples{counted})"
    return Block(caption, pd.DataFrame(lines, columns=heads), text_columns=4)


def _value(row: Row, name: str) -> str:
    text = number(row.scores.get(name)) or NO_VALUE
    if name in row.sds:
        text = f"{text} ± {row.sds[name]:.2f}"
    if name in row.intervals:
        low, high = row.intervals[name]
        text = f"{text} ({low:.1f} to {high:.1f})"
    return text


def _difference(row: Row) -> str:
    """Return the difference, and a mark if it says something of the methods."""
    if row.compared is None:
        return NO_VALUE
    mark = "*" if row.compared.significant else ""
    one_seed = " (one seed)" if row.compared.statement else ""
    return f"{row.compared.difference:+.2f}{mark}{one_seed}"
