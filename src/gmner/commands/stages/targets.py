"""`gmner stage targets`: the completions to learn, boxes perturbed anew for each epoch."""

import argparse
import json
import logging
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import TargetsStage
from gmner.storage.tables import read_metadata
from gmner.targets.stage import make_targets

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: reasoning, epochs, boxes, frame")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--rationales", help="the table of rationales, or 'none' (the default)")
    parser.add_argument("--seed", required=True, type=int, help="seed of the perturbation")
    parser.add_argument("--out", required=True, type=Path, help="the table of targets to write")


def run(args: argparse.Namespace) -> int:
    """Write the targets and say how many rationales were refused."""
    rationales = Path(args.rationales) if args.rationales not in (None, "", "none") else None
    make_targets(parse_settings(TargetsStage, args.settings), args.samples, rationales, args.seed, args.out)
    counts = json.loads(read_metadata(args.out)["counts"])
    log.info("%s: %s", args.out, ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))
    if counts["dropped_samples"]:
        log.warning("%d samples were dropped: their rationales were refused", counts["dropped_samples"])
    return 0
