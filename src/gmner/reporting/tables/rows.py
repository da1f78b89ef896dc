"""Rows of a table: what the paper printed, and what was measured, with everything that identifies a number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gmner.config.stages import TableRow
from gmner.errors import DataError, MissingInputError
from gmner.evaluation.bootstrap import mean_and_deviation
from gmner.evaluation.metrics import metric_of
from gmner.evaluation.scores import tweet_rows
from gmner.evaluation.seeds import MethodComparison, compare_over_seeds, score_over_seeds
from gmner.storage.files import read_json

GROUPS = {
    "tuned": "End to end",
    "refined": "Refined",
    "decoded": "Other decoding",
    "untuned": "Untuned backbone",
    "api": "Provider's model, untrained",
    "external": "Another system, counted here",
}
"""What a table calls the kinds of runs; a kind without an entry is called by its own name."""

TASK_SCORES = ("gmner_f1", "mner_f1", "eeg_f1")
REGION_SCORES = ("acc_50", "mean_iou")
IDENTITY = ("method", "group", "source", "dataset", "backbone", "teacher", "seeds", "samples")
TABLE_COLUMNS = (*IDENTITY, *TASK_SCORES, *(f"{name}_sd" for name in TASK_SCORES), "signature")
"""Columns of table1.csv. Tables 2 to 4 add DIFFERENCE, against their first end-to-end run."""
DIFFERENCE = ("difference", "difference_low", "difference_high", "p_value", "statement")

PAPER_COLUMNS = ("method", "group", "source", "dataset", "backbone", "teacher", *TASK_SCORES, "citation")


@dataclass
class Row:
    """One method on one dataset. Scores are in per cent; `sds` are over seeds, empty for one seed.

    `intervals` are over tweets, and over seeds if there are several; `tweets` holds each seed's counts of tweets for
    paired tests; `compared` says how the row differs from its table's reference; `gold` are the numbers of gold
    entities and of groundable ones; `about` are further columns of a reported row.
    """

    method: str
    group: str
    source: str
    dataset: str
    backbone: str = ""
    teacher: str = ""
    seeds: tuple[int, ...] = ()
    samples: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    sds: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    signature: str = ""
    citation: str = ""
    strength: float | None = None  # of the centre's shift (beta)
    scale_strength: float | None = None  # of the scale's change (gamma); in Figure 3 the same number as beta
    tweets: dict[int, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    compared: MethodComparison | None = None
    gold: tuple[int, int] | None = None
    about: dict[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Say whether the row was measured here."""
        return self.source == "measured"


def reported_rows(path: Path) -> list[Row]:
    """Read the paper's printed numbers; raises DataError naming file and line."""
    if not path.exists():
        raise MissingInputError(f"{path}: the paper's numbers are missing; it is part of the repository: check it out")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns[: len(PAPER_COLUMNS)]) != PAPER_COLUMNS:
        raise DataError(f"{path}:1: expected the columns {', '.join(PAPER_COLUMNS)}, found {list(frame.columns)}")
    return [_reported_row(path, number, line) for number, line in enumerate(frame.to_dict("records"), start=2)]


def _reported_row(path: Path, number: int, line: dict[Any, str]) -> Row:
    if line["source"] != "reported":
        raise DataError(f"{path}:{number}: source is {line['source']!r}, expected 'reported'")
    try:
        scores = {name: float(line[name]) for name in TASK_SCORES if line[name]}
    except ValueError as error:
        raise DataError(f"{path}:{number}: {error}; expected per cent or nothing") from error
    return Row(
        method=line["method"],
        group=line["group"],
        source=line["source"],
        dataset=line["dataset"],
        backbone=line["backbone"],
        teacher=line["teacher"],
        citation=line["citation"],
        scores=scores,
        about={str(name): cell for name, cell in line.items() if name not in PAPER_COLUMNS},
    )


def measured_rows(rows: Iterable[TableRow], given: Sequence[Path]) -> list[Row]:
    """Return one row for each run and dataset, in their first order, from all its seeds' score files.

    Raises MissingInputError naming the files that are not there, and DataError if seeds were counted differently.
    """
    asked = _found(rows, given)
    _check_files(asked)
    groups: dict[tuple[str, str], list[TableRow]] = {}
    for row in asked:
        groups.setdefault((row.run, row.dataset), []).append(row)
    return [_measured_row(group) for group in groups.values()]


def _found(rows: Iterable[TableRow], given: Sequence[Path]) -> list[TableRow]:
    """Return the rows with the given files' paths, which may lie below a folder of copies from a storage."""
    found, unnamed = [], []
    for row in rows:
        place = next((path for path in given if path == Path(row.scores) or str(path).endswith(f"/{row.scores}")), None)
        found.append(row if place is None else row.model_copy(update={"scores": str(place)}))
        unnamed += [row.scores] if place is None else []
    if unnamed:
        raise MissingInputError(f"{len(unnamed)} score files of the table's rows are not in --scores: {unnamed[:3]}")
    return found


def _check_files(rows: Sequence[TableRow]) -> None:
    missing = [row.scores for row in rows if not Path(row.scores).exists()]
    if missing:
        raise MissingInputError(
            f"{len(missing)} of {len(rows)} score files are missing: {', '.join(missing[:3])}"
            f"{' …' if len(missing) > 3 else ''}; make them with: snakemake --cores 1 scores"
        )


def _measured_row(rows: Sequence[TableRow]) -> Row:
    first = rows[0]
    reports = [_read_scores(row.scores) for row in rows]
    signatures = sorted({report["signature"] for report in reports})
    if len(signatures) > 1:
        raise DataError(
            f"run '{first.run}' on {first.dataset}: its seeds were counted by different conventions "
            f"({'; '.join(signatures)}): rerun the scores"
        )
    sizes = sorted({report["samples"] for report in reports})
    if len(sizes) > 1:
        raise DataError(f"run '{first.run}' on {first.dataset}: its seeds have {sizes} samples: rerun the scores")
    result = Row(
        method=first.title,
        group=GROUPS.get(first.kind, first.kind),
        source="measured",
        dataset=first.dataset,
        backbone=first.backbone,
        teacher=first.teacher or "",
        seeds=tuple(row.seed for row in rows),
        samples=sizes[0],
        signature=signatures[0],
        strength=first.strength,
        scale_strength=first.scale_strength,
        gold=(reports[0]["gmner"]["gold"], reports[0]["regions"]["groundable"]),
        tweets={row.seed: report["tweets"] for row, report in zip(rows, reports, strict=True)},
    )
    for name in (*TASK_SCORES, *REGION_SCORES):
        mean, deviation = mean_and_deviation([report["percent"][name] for report in reports])
        result.scores[name] = mean
        if deviation is not None:
            result.sds[name] = deviation
    if len(reports) == 1:
        result.intervals = {name: (i["low"], i["high"]) for name, i in reports[0]["intervals"].items()}
    else:
        for name in TASK_SCORES:
            over = score_over_seeds([tweet_rows(report, name) for report in reports], metric_of(name).value)
            result.intervals[name] = (over.low, over.high)
    return result


def _read_scores(path: str) -> Any:
    try:
        found = read_json(path)
        for name in ("signature", "samples", "percent", "tweets", "intervals", "gmner", "regions"):
            found[name]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a file of scores ({error!r}); delete it and rerun the scores") from error
    return found


def compare_with_first(rows: Sequence[Row]) -> None:
    """Compare each measured row with the first end-to-end one of its dataset, if both were counted alike."""
    references: dict[str, Row] = {}
    for row in rows:
        if row.measured and row.group == GROUPS["tuned"]:
            references.setdefault(row.dataset, row)
    for row in rows:
        reference = references.get(row.dataset)
        if row.measured and reference is not None and row is not reference:
            row.compared = compare_rows(row, reference)


def compare_rows(row: Row, reference: Row, metric: str = "gmner_f1") -> MethodComparison | None:
    """Return what two rows' difference says of their methods, None if their tweets or their conventions differ.

    Seeds and tweets both vary (`gmner.evaluation.seeds`); with one seed on a side nothing is said.
    """
    tweets = [*row.tweets.values(), *reference.tweets.values()]
    if row.signature != reference.signature or any(one["sample_id"] != tweets[0]["sample_id"] for one in tweets):
        return None
    ours, theirs = ([tweet_rows({"tweets": one}, metric) for one in side.tweets.values()] for side in (row, reference))
    return compare_over_seeds(ours, theirs, metric_of(metric).value)


def none_everywhere(rows: Sequence[Row]) -> list[Row]:
    """Return for each dataset and convention of measured rows what answering 'no region' everywhere would score.

    All mentions and types as annotated, none with a box: right are exactly the gold entities without a region. A
    model that grounds anything at all should be above it. Counted from the gold entities of the rows' score files.
    """
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.gold and (row.dataset, row.signature) not in found:
            entities, groundable = row.gold
            share = 100 * (entities - groundable) / entities
            found[row.dataset, row.signature] = Row(
                method="None everywhere",
                group="Trivial baseline",
                source="computed",
                dataset=row.dataset,
                samples=row.samples,
                scores={"gmner_f1": share, "mner_f1": 100.0, "eeg_f1": share},
                signature=row.signature,
            )
    return list(found.values())


def cells(row: Row) -> dict[str, str]:
    """Return a row as cells of a tidy table: per cent with two decimals, empty if not known."""
    found = {name: str(getattr(row, name)) for name in IDENTITY}
    found["seeds"] = ";".join(str(seed) for seed in row.seeds)
    found["samples"] = "" if row.samples is None else str(row.samples)
    for name in (*TASK_SCORES, *REGION_SCORES):
        found[name] = number(row.scores.get(name))
        found[f"{name}_sd"] = number(row.sds.get(name))
        found[f"{name}_low"], found[f"{name}_high"] = (number(side) for side in row.intervals.get(name, (None, None)))
    found["signature"], found["citation"] = row.signature, row.citation
    found["strength"] = "" if row.strength is None else f"{row.strength:g}"
    found["scale_strength"] = "" if row.scale_strength is None else f"{row.scale_strength:g}"
    one = row.compared
    found["difference"] = number(one.difference) if one else ""
    found["difference_low"], found["difference_high"] = (number(one.low), number(one.high)) if one else ("", "")
    found["p_value"] = f"{one.p:.4f}" if one and one.p is not None else ""
    found["statement"] = (one.statement or "") if one else ""
    return {**found, **row.about}


def number(value: float | None) -> str:
    """Return a number with two decimals, nothing for None."""
    return "" if value is None else f"{value:.2f}"


def _no_formula(cell: str) -> str:
    """Return a cell of words that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell


def to_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV text with these columns."""
    frame = pd.DataFrame([cells(row) for row in rows], columns=list(columns))
    words = [name for name in columns if name in IDENTITY]
    frame[words] = frame[words].map(_no_formula)
    return frame.to_csv(index=False, lineterminator="\n")
