"""`gmner stage scores`: a run's predictions against the annotation."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import ScoresStage
from gmner.evaluation.scores import make_scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the convention to count by")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--predictions", required=True, type=Path, help="the table of predictions")
    parser.add_argument("--split", default="test", help="the split that was predicted (default: test)")
    parser.add_argument("--out", required=True, type=Path, help="the scores to write (JSON)")


def run(args: argparse.Namespace) -> int:
    """Count."""
    make_scores(parse_settings(ScoresStage, args.settings), args.samples, args.predictions, args.split, args.out)
    return 0
