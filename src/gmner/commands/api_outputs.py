"""`gmner api-outputs`: let a provider's model answer each sample of a split by itself."""

import argparse
from pathlib import Path

from gmner.commands.settings import parse_settings
from gmner.config.api import ApiOutputsStage
from gmner.generation.api import make_api_outputs, plan_api_outputs

HELP = "let a provider's model answer each sample of a split, without training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: who is asked, what, and how many examples")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--split", default="test", help="default: test")
    parser.add_argument("--out", required=True, type=Path, help="the table of outputs to write")
    parser.add_argument("--report", type=Path, help="the report to write (JSON)")
    parser.add_argument("--store", required=True, type=Path, help="folder of the store of raw answers")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and what it would cost")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    settings = parse_settings(ApiOutputsStage, args.settings)
    if args.dry_run:
        print("\n".join(plan_api_outputs(settings, args.samples, args.split, args.store)))
        return 0
    make_api_outputs(settings, args.samples, args.split, args.out, args.report, args.store)
    return 0
