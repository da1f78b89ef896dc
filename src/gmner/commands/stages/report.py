"""`gmner stage report`: one page that shows what the configured runs gave."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import ReportStage
from gmner.reporting.html.stage import make_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the datasets, runs and tables to show")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder that the workflow fills")
    parser.add_argument("--out", required=True, type=Path, help="the page to write (HTML)")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    make_report(parse_settings(ReportStage, args.settings), args.results, args.out)
    return 0
