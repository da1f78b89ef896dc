"""`gmner stage predictions`: a run's outputs read into entities."""

import argparse
import logging
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import PredictionsStage
from gmner.evaluation.predictions import PROBLEMS, make_predictions

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the model's frame and the known types")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--outputs", required=True, type=Path, help="the table of outputs")
    parser.add_argument("--split", default="test", help="the split that was answered (default: test)")
    parser.add_argument("--out", required=True, type=Path, help="the table of predictions to write")


def run(args: argparse.Namespace) -> int:
    """Parse the outputs and say what is wrong with them."""
    settings = parse_settings(PredictionsStage, args.settings)
    for code, count in make_predictions(settings, args.samples, args.outputs, args.split, args.out).items():
        log.warning("%d x %s: %s", count, code, PROBLEMS[code])
    log.info("predictions in %s", args.out)
    return 0
