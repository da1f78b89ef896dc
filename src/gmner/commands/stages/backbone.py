"""`gmner stage backbone`: put a backbone into a folder that works offline."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import BackboneStage

TINY = Path("workflow/assets/tiny")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--settings", required=True, help="JSON or its file: the backbone's name and where it comes from"
    )
    parser.add_argument("--out-dir", required=True, type=Path, help="folder to write")
    parser.add_argument("--tiny", type=Path, default=TINY, help="folder of the tiny backbone (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Put the backbone there, in the way of its kind."""
    from gmner.models.stage import prepare_backbone

    prepare_backbone(parse_settings(BackboneStage, args.settings), args.tiny, args.out_dir)
    return 0
