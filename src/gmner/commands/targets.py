"""`gmner targets`: the completions to learn, with perturbed boxes."""

import argparse
from pathlib import Path

from gmner.commands.settings import parse_settings
from gmner.config.stages import TargetsStage
from gmner.targets import make_targets

HELP = "write what a run learns to answer, boxes perturbed for each epoch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: reasoning, epochs, perturbation, frame")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--rationales", default="none", help="the table of rationales, or none")
    parser.add_argument("--seed", required=True, type=int, help="of the perturbation")
    parser.add_argument("--out", required=True, type=Path, help="the table of targets to write")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    rationales = None if args.rationales == "none" else Path(args.rationales)
    make_targets(parse_settings(TargetsStage, args.settings), args.samples, rationales, args.seed, args.out)
    return 0
