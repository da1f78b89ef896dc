"""`gmner stage pretrain_tiny`: train the tiny backbone from scratch."""

import argparse
import json
from pathlib import Path

from gmner.commands.stages.settings import text_of_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", default="{}", help="JSON or its file, that overrides the pretraining's settings")
    parser.add_argument("--code", default="", help="fingerprint of the code, for the manifest")
    parser.add_argument("--work-dir", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the finished backbone")


def run(args: argparse.Namespace) -> int:
    """Train and save the backbone."""
    from gmner.demo.tiny_backbone.pretrain import PretrainSettings, pretrain
    from gmner.models.loading import set_threads

    set_threads()
    given = json.loads(text_of_settings(args.settings))
    command = "python -m gmner stage pretrain_tiny" + (f" --settings '{json.dumps(given)}'" if given else "")
    settings = PretrainSettings(**given)
    pretrain(settings, args.work_dir, args.out_dir, args.code, command)
    return 0
