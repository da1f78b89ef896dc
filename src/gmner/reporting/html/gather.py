"""Everything that the page shows, gathered from a folder of results as plain JSON."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gmner.config.stages import ReportDataset, ReportRun, ReportStage
from gmner.core.mentions import normalise_mention
from gmner.core.records import Sample
from gmner.errors import DataError, MissingInputError
from gmner.evaluation.error_analysis import OUTCOMES
from gmner.reporting.html.read_tables import as_number, markdown_page, table_rows
from gmner.reporting.html.runs import place_of, read_report, run_json
from gmner.reporting.html.thumbnails import SizedImage
from gmner.reporting.html.tweets import tweet_json, types_of
from gmner.runtime.progress import Progress
from gmner.storage.tables import read_samples

log = logging.getLogger(__name__)
SPLIT = "test"


class ImageBook:
    """The images that the page needs, each once however many data sets share it."""

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

    Raises MissingInputError and DataError naming the file that is missing or damaged.
    """
    progress = Progress("report: runs", len(stage.runs), "runs")
    datasets, runs = [], []
    for dataset in stage.datasets:
        samples = read_samples(results / "samples" / dataset.name / "samples.parquet")
        test = [sample for sample in samples if sample.split == SPLIT]
        if not test:
            raise DataError(f"{dataset.name}: no sample of split '{SPLIT}'; run the samples stage again")
        shown = min(len(test), stage.report.tweets or len(test))
        known = frozenset(normalise_mention(e.mention) for s in samples if s.split == "train" for e in s.entities)
        datasets.append(_dataset(results, dataset, test, shown, book))
        for run in stage.runs:
            if run.dataset == dataset.name:
                runs.append(run_json(results, run, test, shown, known))
                progress.advance()
    progress.finish()
    return {
        "outcomes": OUTCOMES,
        "datasets": datasets,
        "runs": runs,
        "tables": [_table(results / f"{name}.md", name) for name in stage.tables if name != "figure3"],
        "figure3": _figure(results / "figure3.csv") if "figure3" in stage.tables else None,
        "costs": list(costs(stage, results)),
        "teachers": [
            _teacher(results / "rationales" / dataset.name / name / "report.json", dataset.name)
            for dataset in stage.datasets
            for name in dataset.teachers
        ],
        "asked": list(_asked(results, stage.runs)),
    }


def _dataset(
    results: Path, dataset: ReportDataset, test: Sequence[Sample], shown: int, book: ImageBook
) -> dict[str, Any]:
    report = read_report(results / "samples" / dataset.name / "report.json")
    holds, types = markdown_page(_text_of(results / "samples" / dataset.name / "report.md"))["blocks"][:2]
    return {
        "name": dataset.name,
        "fine": dataset.fine,
        "types": types_of(test, dataset.fine),
        "all": len(test),
        "tweets": [tweet_json(sample, book.number(sample), dataset.fine) for sample in test[:shown]],
        "report": {
            "holds": holds,
            "types": types,
            "limit": report.get("limit"),
            "problems": report["problems"],
        },
    }


def _table(path: Path, name: str) -> dict[str, Any]:
    return {"name": name, **markdown_page(_text_of(path))}


def _figure(path: Path) -> list[dict[str, Any]]:
    """Return figure 3's panels: one a data set and backbone, its metrics by strength."""
    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table_rows(_text_of(path)):
        strength, scale = row["strength"], row["scale_strength"]
        point: dict[str, Any] = {"method": row["method"], "strength": as_number(strength), "seeds": row["seeds"]}
        point["label"] = f"{strength} (γ {scale})" if scale and scale != strength else strength
        for name in ("acc_50", "gmner_f1", "mean_iou"):
            point[name], point[f"{name}_sd"] = as_number(row[name]), as_number(row[f"{name}_sd"])
        panels.setdefault((row["dataset"], row["backbone"]), []).append(point)
    return [{"dataset": key[0], "backbone": key[1], "points": points} for key, points in panels.items()]


def _text_of(path: Path) -> str:
    if not path.exists():
        raise MissingInputError(f"{path}: missing; make it with: snakemake --cores 1 {path}")
    return path.read_text(encoding="utf-8")


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
        rows = table_rows(path.read_text(encoding="utf-8"), "\t") if path.exists() else []
        if rows:
            measured = {name: as_number(rows[-1].get(key)) for name, key in _MEASURED.items()}
            yield {"stage": step, "what": what, **measured}


_MEASURED = {"seconds": "s", "cpu": "cpu_time", "memory": "max_rss"}


def _teacher(path: Path, dataset: str) -> dict[str, Any]:
    return {"dataset": dataset, **read_report(path)}


def _asked(results: Path, runs: Sequence[ReportRun]) -> Iterator[dict[str, Any]]:
    """Yield what a provider's model cost that answered the test tweets by itself."""
    for run in runs:
        if run.kind == "api":
            report = read_report(results / "generate" / place_of(run) / "report.json")
            yield {"dataset": run.dataset, "run": run.title, **report}
