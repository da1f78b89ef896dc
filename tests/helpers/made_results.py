"""A folder of results as the workflow leaves it, made up at once: no model, no Snakemake, real tables and scores."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from gmner.config.run import ScoreSettings
from gmner.config.stages import ReportDataset, ReportRun, ReportStage, ScoresStage, TableRow, TableStage
from gmner.config.tables import ReportSettings
from gmner.core.records import Box, Entity, Sample
from gmner.datasets.oddities import Problems
from gmner.datasets.report import data_report, write_report
from gmner.evaluation.scores import make_scores
from gmner.reporting.html.gather import ImageBook, gather
from gmner.reporting.tables.stage import make_table
from gmner.storage.files import write_json, write_text
from gmner.storage.tables import PREDICTIONS, SAMPLES, sample_to_row, write_table

TYPES = ("PER", "ORG", "LOC", "OTHER")
RUNS = {"untuned": "Backbone as it is", "full": "E2E-GMNER", "no-cot": "w/o CoT"}
PAPER = Path(__file__).resolve().parents[2] / "workflow/paper/table1.csv"

HOSTILE_TOKENS = (
    "<script>window.pwned=1</script>",
    '<img src=x onerror="window.pwned=2">',
    "</script><script>window.pwned=3</script>",
    "<!--<script>",
    "{{script}}",
    "']];window.pwned=4;//",
    "javascript:window.pwned=5",
    "\u202eesrever\u202c",
    "שלום",
    "\u200f",
    "👩‍👩‍👧🏽",
    "&lt;b&gt;&amp;",
    "\u2028line",
)
HOSTILE_ID = 'test/"><svg onload=window.pwned=6>&run=x#%2F'


def make_results(
    root: Path,
    tweets: int = 12,
    hostile: bool = False,
    sides: tuple[int, int] = (320, 240),
    distinct_images: int = 12,
) -> ReportStage:
    """Fill `root`/results with one data set and three runs; return what the report's command is given."""
    results, draw = root / "results", random.Random(0)
    paths = _images(root / "images", distinct_images, sides)
    samples = [_sample(draw, i, paths[i % len(paths)], sides) for i in range(tweets)]
    if hostile:
        samples[0] = _hostile(samples[0])
    train = [Sample("train/0", "made", "train", "0", paths[0], sides, ("Ada",), "Ada", (Entity(0, 1, "Ada", "PER"),))]
    folder = results / "samples" / "made"
    write_table(folder / "samples.parquet", [sample_to_row(s) for s in [*train, *samples]], SAMPLES)
    write_report(folder / "report.json", data_report("made", [*train, *samples], Problems(), []))
    rows = [_row(name, title) for name, title in RUNS.items()]
    for row in rows:
        _run(results, row, samples, random.Random(row.run), hostile)
    table_rows = tuple(TableRow(**row.model_dump(exclude={"score"})) for row in rows)
    make_table(
        TableStage(name="table1", rows=table_rows), [Path(r.scores) for r in rows], PAPER, results / "table1.csv"
    )
    _beside(results)
    return ReportStage(
        datasets=(ReportDataset(name="made", fine=False, teachers=("template",)),),
        runs=tuple(row.model_copy(update={"scores": str(row.scores)}) for row in rows),
        tables=("table1", "figure3"),
        backbones=("tiny",),
        report=ReportSettings(),
    )


def _row(name: str, title: str) -> ReportRun:
    kind = "untuned" if name == "untuned" else "tuned"
    place = f"results/scores/made/{name}/seed42/scores.json"
    about = {
        "run": name,
        "title": title,
        "kind": kind,
        "dataset": "made",
        "fine": False,
        "backbone": "tiny",
        "seed": 42,
    }
    teacher = "template" if name == "full" else None
    strength = None if kind == "untuned" else 0.1
    return ReportRun(
        **about, teacher=teacher, cot=name == "full", strength=strength, scores=place, score=ScoreSettings()
    )


def _images(folder: Path, number: int, sides: tuple[int, int]) -> list[str]:
    folder.mkdir(parents=True)
    paths = []
    for i in range(number):
        values = np.random.default_rng(i).normal(128, 60, (sides[1], sides[0], 3)).clip(0, 255)
        noise = Image.fromarray(values.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
        image = Image.blend(noise, Image.new("RGB", sides, ((37 * i) % 255, (91 * i) % 255, 120)), 0.55)
        ImageDraw.Draw(image).ellipse(
            (sides[0] // 3, sides[1] // 4, sides[0] // 2, sides[1] // 2), fill=(240, 200, 160)
        )
        paths.append(str(folder / f"{i}.jpg"))
        image.save(paths[-1], quality=85)
    return paths


def _sample(draw: random.Random, i: int, path: str, sides: tuple[int, int]) -> Sample:
    tokens, entities = ["so", "glad", "to", "see"], []
    for k in range(draw.randrange(4)):
        start = len(tokens)
        tokens += [f"Name{i}", f"Sur{k}", "and", "others"]
        boxes = (_box(draw, sides),) if draw.random() < 0.6 else ()
        entities.append(Entity(start, start + 2, f"Name{i} Sur{k}", draw.choice(TYPES), None, boxes))
    return Sample(f"test/{i}", "made", "test", str(i), path, sides, tuple(tokens), " ".join(tokens), tuple(entities))


def _hostile(sample: Sample) -> Sample:
    entities = tuple(
        Entity(i, i + 1, token, "PER", None, ((5.0, 5.0, 90.0, 90.0),)) for i, token in enumerate(HOSTILE_TOKENS)
    )
    text = " ".join(HOSTILE_TOKENS)
    return Sample(HOSTILE_ID, "made", "test", "0", sample.image_path, sample.size_wh, HOSTILE_TOKENS, text, entities)


def _box(draw: random.Random, sides: tuple[int, int]) -> Box:
    x, y = draw.uniform(0, sides[0] * 0.6), draw.uniform(0, sides[1] * 0.6)
    return x, y, x + draw.uniform(20, sides[0] * 0.4), y + draw.uniform(20, sides[1] * 0.4)


def _run(results: Path, row: ReportRun, samples: list[Sample], draw: random.Random, hostile: bool) -> None:
    place = f"made/{row.run}/seed42"
    rows = [_answer(sample, row, draw, hostile and i == 0) for i, sample in enumerate(samples)]
    predictions = results / "predictions" / place / "predictions.parquet"
    write_table(predictions, rows, PREDICTIONS)
    table = results / "samples/made/samples.parquet"
    make_scores(ScoresStage(score=row.score, fine=False), table, predictions, "test", results.parent / row.scores)
    write_text(
        results / "benchmarks/generate" / f"{place}.tsv", "s\th:m:s\tmax_rss\tcpu_time\n12.5\t0:00:12\t700.1\t11.0\n"
    )
    if row.kind == "tuned":
        lines = [f"{step},{step / 20},{4 / step:.4f},0.003,1.5,0.5,,," for step in range(1, 40)]
        head = "step,epoch,loss,learning_rate,grad_norm,token_accuracy,dev_gmner_f1,dev_mner_f1,dev_eeg_f1"
        write_text(
            results / "train" / place / "curves.csv", "\n".join([head, *lines, "40,2,0.1,0,1,0.9,50,90,50"]) + "\n"
        )
        train = {"epochs": 2, "batch_size": 16, "accumulation": 1, "learning_rate": 0.003, "lora": {"r": 32}}
        details = {"steps": 40, "epoch": 1, "selected_by": "best", "samples": 1, "rows": {"longest": 9}, "train": train}
        about = {"backbone": {"id": "tiny", "revision": None}, "prompt_version": "short-0", "details": details}
        write_json(results / "train" / place / "run.json", about)


def _answer(sample: Sample, row: ReportRun, draw: random.Random, hostile: bool) -> dict[str, object]:
    found = []
    for entity in sample.entities if row.kind == "tuned" else ():
        turn = draw.random()
        kind = entity.type if hostile or not 0.1 < turn < 0.2 else TYPES[TYPES.index(entity.type) - 1]
        mention = entity.mention if turn > 0.1 or hostile else entity.mention.split()[0]
        boxes = [[side + draw.uniform(-9, 9) for side in box] for box in entity.boxes] if turn > 0.35 else []
        if turn < 0.95:
            found.append({"mention": mention, "type": kind, "boxes": boxes})
    if draw.random() < 0.1 and row.kind == "tuned":
        found.append({"mention": "nobody here", "type": "PER", "boxes": []})
    reasoning = f"Evidence of {sample.sample_id}: {sample.text}" if row.cot else None
    problems = [] if row.kind == "tuned" else [{"code": "no_answer", "detail": sample.text[:80]}]
    return {"sample_id": sample.sample_id, "reasoning": reasoning, "entities": found, "problems": problems}


def _beside(results: Path) -> None:
    points = [
        {"method": f"run {s}", "strength": s, "label": str(s), "seeds": [42], "acc_50": 60 + 100 * s}
        | {"gmner_f1": 50 + 90 * s, "mean_iou": 40 + 80 * s, "acc_50_sd": None, "gmner_f1_sd": 1.5, "mean_iou_sd": None}
        for s in (0, 0.1, 0.2)
    ]
    panel = {"dataset": "made", "backbone": "tiny", "points": points}
    write_json(results / "figure3.json", {"name": "figure3", "title": "", "blocks": [], "notes": [], "panels": [panel]})
    report = {
        "teacher": "template",
        "model": "evidence",
        "prompt_version": "v1",
        "samples": 1,
        "accepted": 1,
        "refused": 0,
    }
    counted = {"tokens_in": 1200, "tokens_out": 300, "cost_usd": 0.0123}
    write_json(results / "rationales/made/template/report.json", report | counted)
    write_text(results / "benchmarks/samples/made.tsv", "s\th:m:s\tmax_rss\tcpu_time\n2.5\t0:00:02\tNA\t2.0\n")


def settings_text(stage: ReportStage) -> str:
    """The settings as the rule passes them."""
    return json.dumps(stage.model_dump(mode="json"))


def gathered(stage: ReportStage) -> dict[str, Any]:
    """The page's data, from the results in the working directory."""
    return gather(stage, Path("results"), ImageBook())
