"""`gmner stage download`: one source of a dataset, into its folder."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import DownloadStage
from gmner.download.source import download


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the source's name and settings")
    parser.add_argument("--out-dir", required=True, type=Path, help="folder for the files and their manifest.json")


def run(args: argparse.Namespace) -> int:
    """Fetch the source."""
    settings = parse_settings(DownloadStage, args.settings)
    download(settings.name, settings.source, args.out_dir)
    return 0
