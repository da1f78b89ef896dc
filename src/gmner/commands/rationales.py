"""`gmner rationales`: the teacher's reasoning for each training sample."""

import argparse
from pathlib import Path

from gmner.commands.settings import parse_settings
from gmner.config.teachers import RationalesSettings
from gmner.errors import DataError
from gmner.generation.shares import parse_shard
from gmner.rationales.stage import ask_shard, make_rationales, plan_rationales

HELP = "ask the teacher for the reasoning of each training sample"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: the teacher's name and its settings")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument(
        "--out", required=True, type=Path, help="the table of rationales to write; of a shard, a note (JSON)"
    )
    parser.add_argument("--report", type=Path, help="the report to write (JSON), where --shard is not given")
    parser.add_argument("--store", required=True, type=Path, help="folder of the store of raw answers")
    parser.add_argument("--shard", help="ask about this share of the samples alone, for instance 0-of-4; no table")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and what it would cost")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    settings = parse_settings(RationalesSettings, args.settings)
    if args.dry_run:
        print("\n".join(plan_rationales(settings, args.samples, args.store)))
        return 0
    if args.shard:
        ask_shard(settings, args.samples, parse_shard(args.shard), args.out, args.store)
        return 0
    if args.report is None:
        raise DataError("rationales: --report is missing; only a shard has none")
    make_rationales(settings, args.samples, args.out, args.report, args.store)
    return 0
