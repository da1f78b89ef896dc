"""`gmner stage tables`: a table of results, or Figure 3, from score files."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import TableStage
from gmner.errors import ConfigError
from gmner.reporting.tables.stage import make_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--name", required=True)
    parser.add_argument("--settings", required=True, help="JSON or its file: the table's rows")
    parser.add_argument("--scores", nargs="*", default=[], type=Path, help="the score files of its rows")
    parser.add_argument(
        "--paper", type=Path, help="numbers that were printed elsewhere (CSV), for tables that have some"
    )
    parser.add_argument("--out", required=True, type=Path, help="the table to write (CSV; other forms beside it)")


def run(args: argparse.Namespace) -> int:
    """Lay the table out."""
    stage = parse_settings(TableStage, args.settings)
    if stage.name != args.name:
        raise ConfigError(f"--name is {args.name}, but --settings holds the rows of {stage.name}; they must agree")
    make_table(stage, args.scores, args.paper, args.out)
    return 0
