"""How long `gmner score` takes on a large file, and its peak memory; prints JSON.

    python benchmarks/scorer.py [--tweets 100000] [--folder DIR]

The tweets are made up: five tokens or more, up to four entities, boxes for half of the tweets in files of their own.
`resamples`: 10 000 bootstrap resamples of 1500 tweets. `identical`: 1000 x 1000 equal records in one tweet.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gmner.metrics import count_sample
from gmner.records import Record
from gmner.significance import f1_interval

TYPES = ("PER", "ORG", "LOC", "OTHER")
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tweets", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to write the made-up files (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        gold, predictions = make(Path(place), args.tweets)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "gmner", "score", str(gold), str(predictions), "--json"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = np.random.default_rng(0).integers(0, 4, (1500, 3))
    begin = time.perf_counter()
    f1_interval(rows)
    resampled = time.perf_counter()
    records = [Record("a", "PER", ((0.0, 0.0, 9.0, 9.0),))] * 1000
    count_sample(records, records, 0.5)
    report = {
        "tweets": args.tweets,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": used.ru_maxrss // 1024,
        "gmner_f1": found["gmner"]["f1"],
        "resamples_seconds": round(resampled - begin, 3),
        "identical_seconds": round(time.perf_counter() - resampled, 3),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
