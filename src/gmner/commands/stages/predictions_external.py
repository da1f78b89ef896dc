"""`gmner stage predictions` of a run of kind `external`: another system's file as a table of predictions."""

import argparse
import logging

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import ExternalStage
from gmner.evaluation.any_system.external import make_external_predictions
from gmner.evaluation.predictions import PROBLEMS

log = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Read the file and say what is wrong with its predictions."""
    settings = parse_settings(ExternalStage, args.settings)
    for code, count in make_external_predictions(settings, args.samples, args.split, args.out).items():
        log.warning("%d x %s: %s", count, code, PROBLEMS[code])
    log.info("predictions in %s", args.out)
    return 0
