"""`gmner stage generate`: what a run's model answers for each sample of a split, in the way of the run's kind."""

import argparse
import importlib
import json
from pathlib import Path

from gmner.commands.stages.settings import text_of_settings
from gmner.workflow.run_kinds import RUN_KINDS
from gmner.workflow.stages import STAGES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of all kinds; each kind asks for those that it needs."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the run's kind and how it answers")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--split", default="test", help="which split (default: test)")
    parser.add_argument("--backbone", type=Path, help="folder of the backbone")
    parser.add_argument("--adapter", type=Path, help="folder of the trained run; without it the backbone is untuned")
    parser.add_argument("--store", type=Path, help="folder of the store of raw answers, for a provider's model")
    parser.add_argument("--work-dir", type=Path, help="folder for what is done, kept when interrupted")
    parser.add_argument("--shard", default="0-of-1", help="which share of the split's batches, for instance 0-of-4")
    parser.add_argument("--gather", nargs="*", type=Path, help="put these shards' tables together and answer nothing")
    parser.add_argument("--out", required=True, type=Path, help="the table of outputs to write")
    parser.add_argument("--report", type=Path, help="the report to write (JSON)")
    parser.add_argument("--dry-run", action="store_true", help="say what a provider would be asked and what it costs")


def run(args: argparse.Namespace) -> int:
    """Answer as the kind of run does."""
    kind = RUN_KINDS.get(kind_of_settings(args.settings))
    way = kind.ways.get("generate", STAGES["generate"].way) if kind else STAGES["generate"].way
    return int(importlib.import_module(way.command).run(args) or 0)


def kind_of_settings(settings: str) -> str:
    """Return the kind of run that a stage's settings are for."""
    try:
        return str(json.loads(text_of_settings(settings)).get("kind", "tuned"))
    except (ValueError, AttributeError, RecursionError):
        return "tuned"  # its own reader says what is wrong
