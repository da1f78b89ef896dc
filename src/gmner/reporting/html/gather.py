"""Everything that the page shows, gathered from a folder of results as plain JSON."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gmner.config.stages import ReportDataset, ReportRun, ReportStage
from gmner.core.mentions import normalise_mention
from gmner.core.records import Sample
from gmner.datasets.report import ROWS
from gmner.errors import DataError
from gmner.evaluation.error_analysis import OUTCOMES
from gmner.reporting.html.runs import missing_of_run, place_of, read_report, run_json, without_nan
from gmner.reporting.html.thumbnails import SizedImage
from gmner.reporting.html.tweets import tweet_json, types_of
from gmner.runtime.progress import Progress
from gmner.storage.tables import read_samples

log = logging.getLogger(__name__)
SPLIT = "test"


class ImageBook:
    """The images that the page needs, each once however many datasets share it."""

    def __init__(self) -> None:
        self.images: list[SizedImage] = []
        self._known: dict[SizedImage, int] = {}

    def number(self, sample: Sample) -> int:
        """Return the number of a sample's image."""
        image = (sample.image_path, sample.size_wh)
        if image not in self._known:
            self._known[image] = len(self.images)
            self.images.append(image)
        return self._known[image]


def gather(stage: ReportStage, results: Path, book: ImageBook) -> dict[str, Any]:
    """Return the page's data; the images that it names by number are put into `book`.

    What is not finished yet is left out and named in `missing`. Raises DataError naming a file that is damaged.
    """
    progress = Progress("report: runs", len(stage.runs), "runs")
    missing: list[str] = []
    datasets, runs = [], []
    for dataset in stage.datasets:
        table = results / "samples" / dataset.name / "samples.parquet"
        if not table.exists():
            missing.append(f"dataset {dataset.name}: its samples, and with them its runs")
            continue
        samples = read_samples(table)
        test = [sample for sample in samples if sample.split == SPLIT]
        if not test:
            raise DataError(f"{dataset.name}: no sample of split '{SPLIT}'; rerun the samples stage")
        shown = min(len(test), stage.report.tweets or len(test))
        known = frozenset(normalise_mention(e.mention) for s in samples if s.split == "train" for e in s.entities)
        datasets.append(_dataset(results, dataset, test, shown, book))
        for run in stage.runs:
            if run.dataset != dataset.name:
                continue
            lacks = missing_of_run(results, run)
            if lacks:
                missing.append(f"{run.title} on {run.dataset}, seed {run.seed}: {lacks}")
            else:
                runs.append(run_json(results, run, test, shown, known))
            progress.advance()
    progress.finish()
    tables = [_present(results / f"{name}.json", f"table {name}", missing) for name in stage.tables]
    teachers = [
        (name, dataset.name, results / "rationales" / dataset.name / name / "report.json")
        for dataset in stage.datasets
        for name in dataset.teachers
    ]
    taught = [
        (dataset, _present(path, f"rationales of {name} for {dataset}", missing)) for name, dataset, path in teachers
    ]
    figures = [table for table in tables if table and "panels" in table]
    return {
        "outcomes": OUTCOMES,
        "datasets": datasets,
        "runs": runs,
        "tables": [table for table in tables if table and "panels" not in table],
        "figure3": figures[0]["panels"] if figures else None,
        "costs": list(costs(stage, results)),
        "teachers": [{"dataset": dataset, **report} for dataset, report in taught if report],
        "asked": list(_asked(results, stage.runs)),
        "missing": missing,
    }


def _present(path: Path, what: str, missing: list[str]) -> dict[str, Any] | None:
    """Read a JSON file; if it is not there yet, say so in `missing` and return None."""
    if path.exists():
        return read_report(path)
    missing.append(what)
    return None


def _dataset(
    results: Path, dataset: ReportDataset, test: Sequence[Sample], shown: int, book: ImageBook
) -> dict[str, Any]:
    path = results / "samples" / dataset.name / "report.json"
    report = read_report(path) if path.exists() else {}
    return {
        "name": dataset.name,
        "fine": dataset.fine,
        "types": types_of(test, dataset.fine),
        "all": len(test),
        "tweets": [tweet_json(sample, book.number(sample), dataset.fine) for sample in test[:shown]],
        "report": {
            "holds": _block("number of", {ROWS.get(k, k): v for k, v in _turned(report.get("splits", {})).items()}),
            "types": _block("type", _turned(report.get("types", {}))),
            "limit": report.get("limit"),
            "problems": report.get("problems", []),
        },
    }


def _turned(by_split: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return counts by what they count, then by split."""
    names = dict.fromkeys(name for counts in by_split.values() for name in counts)
    return {name: {split: counts.get(name) for split, counts in by_split.items()} for name in names}


def _block(first: str, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    splits = list(dict.fromkeys(split for values in rows.values() for split in values))
    cells = [[name, *(_cell(values.get(split)) for split in splits)] for name, values in rows.items()]
    return {"caption": "", "heads": [first, *splits], "numbers": [False, *[True] * len(splits)], "rows": cells}


def _cell(value: Any) -> str:
    if value is None:
        return "0"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def costs(stage: ReportStage, results: Path) -> Iterator[dict[str, Any]]:
    """Yield time and memory of each job of the shown runs that Snakemake measured (results/benchmarks).

    Seconds of the wall clock and of the processors, MiB of memory at the peak. Jobs that it did not measure, being
    short or made elsewhere, are left out.
    """
    jobs: dict[tuple[str, str, str], None] = {}
    for dataset in stage.datasets:
        jobs["samples", dataset.name, dataset.name] = None
    for name in stage.backbones:
        jobs["pretrain_tiny", name, name] = None
        jobs["backbone", name, name] = None
    for dataset in stage.datasets:
        for teacher in dataset.teachers:
            jobs["rationales", f"{dataset.name}/{teacher}", f"{dataset.name} · {teacher}"] = None
    for step in ("targets", "train", "generate"):
        for run in stage.runs:
            jobs[step, place_of(run), f"{run.dataset} · {run.run} · seed {run.seed}"] = None
    for step, place, what in jobs:
        path = results / "benchmarks" / step / f"{place}.tsv"
        if path.exists() and len(found := pd.read_csv(path, sep="\t")):
            last = found.iloc[-1]
            measured = {name: without_nan(pd.to_numeric(last.get(key), "coerce")) for name, key in _MEASURED.items()}
            yield {"stage": step, "what": what, **measured}


_MEASURED = {"seconds": "s", "cpu": "cpu_time", "memory": "max_rss"}


def _asked(results: Path, runs: Sequence[ReportRun]) -> Iterator[dict[str, Any]]:
    """Yield what a provider's model cost that answered the test tweets by itself."""
    for run in runs:
        if run.kind == "api":
            report = read_report(results / "generate" / place_of(run) / "report.json")
            yield {"dataset": run.dataset, "run": run.title, **report}
