"""Scoring: 1500 answers parsed and counted, against a matching that tries every assignment; prints JSON.

    python benchmarks/scorer.py [--quick] [--tweets 100000]

The answers are the golden ones over the real test tweets (`$GMNER_SHARED`, default ../shared) or, where these are
absent, made up. `ratio`: with one answer in a hundred caught in a loop, as greedy decoding has it: one record, eleven
times, in a tweet that names it eleven times. `ratio_without_loops`: as they are. Both sides' counts are equal: that
is asserted. `command`: `gmner score` on a large file, with its peak memory. `resamples_seconds`: 10 000 bootstrap
resamples of 1500 tweets. `identical_seconds`: 1000 x 1000 equal records in one tweet.
"""

import measure  # noqa: I001
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import samples as sample_data
from baselines import scoring as plain
from gmner.core.answer import parse_output, render_answer
from gmner.evaluation.counts import TASKS, count_sample, total
from gmner.evaluation.conventions import convention_of
from gmner.core.records import Entity, Record, Sample
from gmner.evaluation.any_system.gold import read_gold
from gmner.evaluation.f1 import count_tweets
from gmner.evaluation.bootstrap import interval

TARGET, IOU, LOOP, ONE_IN = 10, 0.5, 11, 100
TYPES = ("PER", "ORG", "LOC", "OTHER")
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def test_tweets(folder: Path, quick: bool) -> tuple[list[Sample], list[str], str]:
    """Return gold tweets, an output for each, and what they are, in words."""
    golden = measure.SHARED / "golden" / "test_a.jsonl"
    data = sample_data.annotations(folder, quick or not golden.exists())
    gold = read_gold(folder / sample_data.FOLDER / "txt" / "test.txt")
    if golden.exists() and not quick:
        rows = map(json.loads, golden.read_text(encoding="utf-8").splitlines())
        outputs = {row["image_id"]: row["output"] for row in rows}
        return gold, [outputs[sample.image_id] for sample in gold], f"golden outputs over {data}"
    records = [[Record(e.mention, e.type, e.boxes) for e in sample.entities] for sample in gold]
    return gold, [render_answer(one, "Because of the text.") for one in records], data


def with_loops(gold: Sequence[Sample], outputs: Sequence[str]) -> tuple[list[Sample], list[str]]:
    """Return the tweets with every hundredth one a loop."""
    box = (10.0, 10.0, 200.0, 300.0)
    entities = tuple(Entity(k, k + 1, "Go", "ORG", None, (box,)) for k in range(LOOP))
    names = ("loop", "", "test", "loop", "")
    loop = Sample(*names, (600, 450), ("Go",) * LOOP, " ".join(["Go"] * LOOP), entities)
    answer = render_answer([Record("Go", "ORG", (box,))] * LOOP, "")
    places = range(len(gold))
    return [loop if i % ONE_IN == 0 else gold[i] for i in places], [
        answer if i % ONE_IN == 0 else outputs[i] for i in places
    ]


def score(gold: Sequence[Sample], outputs: Sequence[str]) -> dict[str, int]:
    """Parse and count all tweets, as the stages do."""
    counts = total(count_tweets(gold, [parse_output(text).records for text in outputs], convention_of("paper"), IOU))
    return {"predicted": counts.predicted, "gold": counts.gold, **{task: getattr(counts, task) for task in TASKS}}


def compare(gold: list[Sample], outputs: list[str], repeats: int) -> tuple[measure.Timed, measure.Timed]:
    """Score both ways and assert equal counts."""
    triples: list[list[plain.Triple]] = [
        [(entity.mention, entity.type, [list(box) for box in entity.boxes]) for entity in sample.entities]
        for sample in gold
    ]
    ours, baseline = measure.timed_together(
        [lambda: score(gold, outputs), lambda: plain.score(outputs, triples, IOU)], repeats
    )
    assert ours.result == baseline.result, (ours.result, baseline.result)
    return ours, baseline


def make(folder: Path, tweets: int) -> tuple[Path, Path]:
    """Write gold and predictions of so many tweets; return their paths."""
    rng = np.random.default_rng(0)
    for name in ("txt", "xml"):
        (folder / name).mkdir(parents=True)
    gold, predictions = folder / "txt" / "test.txt", folder / "predictions.jsonl"
    with gold.open("w") as tweet_file, predictions.open("w") as prediction_file:
        for number in range(tweets):
            kinds = rng.integers(0, 4, rng.integers(0, 5)).tolist()
            words = [f"word{k}\tO" for k in range(12)]
            words += [f"Name{k}\tB-{TYPES[kind]}\nSur\tI-{TYPES[kind]}" for k, kind in enumerate(kinds)]
            tweet_file.write(f"IMGID:{number}\n" + "\n".join(words) + "\n\n")
            box = [10, 10, int(rng.integers(100, 400)), 300]
            if number % 2 and kinds:
                _write_boxes(folder / "xml" / f"{number}.xml", len(kinds), box)
            region = f"[10,10,{box[2] + 20},300]" if number % 2 else "None"
            said = "; ".join(f"Name{k} Sur|{TYPES[kind]}|{region}" for k, kind in enumerate(kinds)) or "None"
            output = f"<think>Because of the text.</think><answer>{said}</answer>"
            prediction_file.write(json.dumps({"image_id": str(number), "output": output}) + "\n")
    return gold, predictions


def _write_boxes(path: Path, names: int, box: list[int]) -> None:
    objects = "".join(f"<object><name>Name{k} Sur</name>{BOX.format(*box)}</object>" for k in range(names))
    size = "<size><width>600</width><height>400</height></size>"
    path.write_text(f"<annotation>{size}{objects}</annotation>")


def run_command(place: Path, tweets: int) -> dict[str, Any]:
    """Run `gmner score` on a file of so many tweets; return its time and memory."""
    gold, predictions = make(place, tweets)
    begin = time.perf_counter()
    command = [sys.executable, "-m", "gmner", "score", str(gold), str(predictions), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "tweets": tweets,
        "seconds": round(seconds, 2),
        "rate": round(tweets / seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": used.ru_maxrss // 1024,
        "gmner_f1": json.loads(done.stdout)["gmner"]["f1"],
    }


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = measure.parser(__doc__)
    parser.add_argument("--tweets", type=int, default=100_000, help="of the large file")
    parser.add_argument("--folder", type=Path, help="where to write the made-up files (default: a temporary folder)")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = arguments()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        gold, outputs, data = test_tweets(Path(name), args.quick)
        ours, baseline = compare(*with_loops(gold, outputs), repeats=1 if args.quick else 3)
        ours_plain, baseline_plain = compare(gold, outputs, repeats=1 if args.quick else 3)
        command = run_command(Path(name, "large"), 200 if args.quick else args.tweets)
    rows = np.random.default_rng(0).integers(0, 4, (1500, 3))
    resampled = measure.timed(lambda: interval(rows))
    records = [Record("a", "PER", ((0.0, 0.0, 9.0, 9.0),))] * 1000
    identical = measure.timed(lambda: count_sample(records, records, IOU))
    way = "a matching that tries every assignment, once for each task"
    measure.emit(
        measure.document(
            "scorer",
            args.quick,
            data=data,
            **measure.against_baseline("tweets", len(gold), ours, baseline, way, TARGET),
            ratio_without_loops=round(baseline_plain.seconds / ours_plain.seconds, 2),
            ours_without_loops=ours_plain.to_json(len(gold)),
            command=command,
            resamples_seconds=round(resampled.seconds, 3),
            identical_seconds=round(identical.seconds, 3),
        )
    )


if __name__ == "__main__":
    main()
