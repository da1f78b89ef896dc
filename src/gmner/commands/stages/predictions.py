"""`gmner stage predictions`: a run's outputs read into entities."""

import argparse
import importlib
import logging
from pathlib import Path

from gmner.commands.stages.generate import kind_of_settings
from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import PredictionsStage
from gmner.errors import ConfigError
from gmner.evaluation.predictions import PROBLEMS, make_predictions
from gmner.workflow.run_kinds import RUN_KINDS

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the model's frame and the known types")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--outputs", type=Path, help="the table of outputs; not for an external run")
    parser.add_argument("--split", default="test", help="the split that was answered (default: test)")
    parser.add_argument("--out", required=True, type=Path, help="the table of predictions to write")


def run(args: argparse.Namespace) -> int:
    """Parse the outputs and say what is wrong with them, in the way of the run's kind."""
    kind = RUN_KINDS.get(kind_of_settings(args.settings))
    way = kind.ways.get("predictions") if kind else None
    if way is not None:
        return int(importlib.import_module(way.command).run(args) or 0)
    if args.outputs is None:
        raise ConfigError("--outputs is missing: the table of outputs to parse")
    settings = parse_settings(PredictionsStage, args.settings)
    for code, count in make_predictions(settings, args.samples, args.outputs, args.split, args.out).items():
        log.warning("%d x %s: %s", count, code, PROBLEMS[code])
    log.info("predictions in %s", args.out)
    return 0
