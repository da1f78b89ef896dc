"""`gmner stage rationales`: the teacher's reasoning for each training sample."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import RationalesStage
from gmner.rationales.stage import make_rationales, plan_rationales


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the teacher's name and its settings")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--out", required=True, type=Path, help="the table of rationales to write")
    parser.add_argument("--report", required=True, type=Path, help="the report to write (JSON)")
    parser.add_argument("--store", required=True, type=Path, help="folder of the store of raw answers")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and what it would cost")


def run(args: argparse.Namespace) -> int:
    """Ask what the store does not have, or say what would be asked."""
    settings = parse_settings(RationalesStage, args.settings)
    if args.dry_run:
        print("\n".join(plan_rationales(settings, args.samples, args.store)))
        return 0
    make_rationales(settings, args.samples, args.out, args.report, args.store)
    return 0
