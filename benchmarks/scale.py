"""Scale: made-up tweets through samples, targets and scores, ten times as many each time; prints JSON.

    python benchmarks/scale.py [--quick] [--million] [--sizes 10000 100000]

Each stage runs in a process of its own, so that its peak memory is its own. The tweets come from a generator; targets
are one epoch without rationales, with a box perturbed for each entity that is seen; predictions are right for most.
`seconds_growth` and `memory_growth_mib`: from the smallest to the largest size, the time a tweet and the peak memory.
"""

import measure  # noqa: I001
import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gmner.config.model import FrameSettings
from gmner.config.run import GrbpSettings, ScoreSettings
from gmner.config.stages import ScoresStage, TargetsStage
from gmner.core.records import Entity, Sample
from gmner.storage.tables import PREDICTIONS, SAMPLES, samples_to_table, table_writer
from gmner.evaluation.scores import make_scores
from gmner.targets.stage import make_targets

SIZES, MILLION, GROUP = (10_000, 100_000), 1_000_000, 8192
TYPES = ("PER", "ORG", "LOC", "OTHER")
STAGES = ("samples", "targets", "scores")
FRAME = FrameSettings(coordinates="absolute", min_pixels=256 * 28 * 28, max_pixels=1024 * 28 * 28)


def made_groups(count: int) -> Iterator[list[Sample]]:
    """Yield so many tweets of 16 words, up to three entities, half of the tweets with boxes, in groups."""
    for start in range(0, count, GROUP):
        rng = np.random.default_rng(start)
        size = min(GROUP, count - start)
        entities, kinds = rng.integers(0, 4, size).tolist(), rng.integers(0, 4, (size, 3)).tolist()
        corners = rng.integers(10, 200, (size, 2)).astype(float).tolist()
        group = []
        for place in range(size):
            number, (x, y) = start + place, corners[place]
            tokens = (
                *(f"word{k}" for k in range(10)),
                *(w for k in range(entities[place]) for w in (f"Name{k}", "Sur")),
            )
            box = ((x, y, x + 150.0, y + 120.0),) if number % 2 else ()
            found = tuple(
                Entity(10 + 2 * k, 12 + 2 * k, f"Name{k} Sur", TYPES[kinds[place][k]], None, box)
                for k in range(entities[place])
            )
            names = (f"train/{number}", "made", "train", str(number), "none.jpg")
            group.append(Sample(*names, (600, 450), tokens, " ".join(tokens), found))
        yield group


def predictions_of(group: list[Sample]) -> pa.Table:
    """Return predictions of some tweets: right but for every tenth type."""
    rows = [
        {
            "sample_id": sample.sample_id,
            "reasoning": "Because of the text.",
            "entities": [
                {
                    "mention": e.mention,
                    "type": "PER" if number % 10 == 0 else e.type,
                    "boxes": [list(b) for b in e.boxes],
                }
                for e in sample.entities
            ],
            "problems": [],
        }
        for number, sample in enumerate(group)
    ]
    return pa.Table.from_pylist(rows, schema=PREDICTIONS)


def run_stage(stage: str, folder: Path, count: int) -> dict[str, Any]:
    """Run one stage in this process; return its seconds and its peak memory."""
    samples, predictions = folder / "samples.parquet", folder / "predictions.parquet"

    def write_samples() -> None:
        with table_writer(samples, SAMPLES) as writer:
            for group in made_groups(count):
                writer.add(samples_to_table(group))

    if stage == "samples":
        timed = measure.timed(write_samples)
        with table_writer(predictions, PREDICTIONS) as writer:
            for group in made_groups(count):
                writer.add(predictions_of(group))
    elif stage == "targets":
        settings = TargetsStage(
            cot=False, epochs=1, grbp=GrbpSettings(), frame=FRAME, fine=False, when_refused="no_reasoning"
        )
        timed = measure.timed(lambda: make_targets(settings, samples, None, 0, folder / "targets.parquet"))
    else:
        scores = ScoresStage(score=ScoreSettings(), fine=False)
        timed = measure.timed(lambda: make_scores(scores, samples, predictions, "train", folder / "scores.json"))
    return timed.to_json(count)


def run_size(folder: Path, count: int) -> dict[str, Any]:
    """Run all stages on so many tweets, each in a process of its own."""
    found: dict[str, Any] = {}
    for stage in STAGES:
        command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder), "--sizes", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[stage] = json.loads(done.stdout)
    f1 = json.loads((folder / "scores.json").read_text())["gmner"]["f1"]
    assert 0.9 < f1 < 1, f1
    return found


def growth(found: dict[str, Any]) -> dict[str, Any]:
    """Return how time a tweet and peak memory grow from the smallest size to the largest, by stage."""
    sizes = sorted(found, key=int)
    first, last = found[sizes[0]], found[sizes[-1]]
    return {
        "seconds_growth": {stage: round(first[stage]["rate"] / last[stage]["rate"], 2) for stage in STAGES},
        "memory_growth_mib": {stage: last[stage]["peak_mib"] - first[stage]["peak_mib"] for stage in STAGES},
    }


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = measure.parser(__doc__)
    parser.add_argument("--million", action="store_true", help="also with a million tweets (minutes)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of tweets")
    parser.add_argument("--stage", choices=STAGES, help="one stage alone, in --folder (used by the script itself)")
    parser.add_argument("--folder", type=Path, help="where --stage reads and writes")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = arguments()
    if args.stage:
        print(json.dumps(run_stage(args.stage, args.folder, args.sizes[0])))
        return
    sizes = (200, 400) if args.quick else (*args.sizes, *((MILLION,) if args.million else ()))
    found = {}
    for count in sizes:
        with tempfile.TemporaryDirectory() as name:
            found[str(count)] = run_size(Path(name), count)
    measure.emit(
        measure.document(
            "scale", args.quick, work=sum(sizes), unit="tweets", sizes=found, **growth(found), baseline=None
        )
    )


if __name__ == "__main__":
    main()
