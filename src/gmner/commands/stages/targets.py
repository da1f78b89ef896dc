"""`gmner stage targets`: the completions to learn, boxes perturbed again for each epoch."""

import argparse
import json
import logging
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import TargetsStage
from gmner.core.frame import Frame
from gmner.models.row_lengths import RowLengths
from gmner.storage.tables import read_metadata
from gmner.targets.stage import make_targets

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: reasoning, epochs, boxes, frame")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--rationales", help="the table of rationales, or 'none' (the default)")
    parser.add_argument("--backbone", type=Path, help="the backbone's folder: its tokenizer measures the rows")
    parser.add_argument("--seed", required=True, type=int, help="seed of the perturbation")
    parser.add_argument("--out", required=True, type=Path, help="the table of targets to write")


def run(args: argparse.Namespace) -> int:
    """Write the targets and say how many rationales were refused."""
    rationales = Path(args.rationales) if args.rationales not in (None, "", "none") else None
    stage = parse_settings(TargetsStage, args.settings)
    measure = None
    if args.backbone is not None and stage.question is not None:
        asked, frame = stage.question, stage.frame
        measure = RowLengths(
            args.backbone, asked.prompt, asked.types, asked.cot, Frame(**frame.model_dump()), frame.factor
        )
    make_targets(stage, args.samples, rationales, args.seed, args.out, measure)
    counts = json.loads(read_metadata(args.out)["counts"])
    log.info("%s: %s", args.out, ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
    if counts["dropped_samples"]:
        log.warning("%d samples were dropped: their rationales were refused", counts["dropped_samples"])
    if (told := read_metadata(args.out).get("overlong")) is not None:
        found = json.loads(told)
        log.warning(
            "%d rows were over train.max_length = %d tokens (train.overlong: %s); %d samples left out",
            found["rows"], found["max_length"], found["overlong"], len(found["dropped"]),
        )  # fmt: skip
    return 0
