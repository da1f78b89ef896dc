"""`gmner predictions`: parse a run's outputs."""

import argparse
from pathlib import Path

from gmner.commands.settings import parse_settings
from gmner.config.stages import PredictionsStage
from gmner.predictions import make_predictions

HELP = "parse a run's outputs; boxes go back to the original pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: the frame and the types")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--outputs", required=True, type=Path, help="the table of outputs")
    parser.add_argument("--split", default="test", help="the split that was answered (default: test)")
    parser.add_argument("--out", required=True, type=Path, help="the table of predictions to write")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    stage = parse_settings(PredictionsStage, args.settings)
    make_predictions(stage, args.samples, args.outputs, args.split, args.out)
    return 0
