"""`gmner generate`: what the model answers for each sample of a split."""

import argparse
import os
from pathlib import Path

from gmner.commands.settings import parse_settings
from gmner.config.stages import GenerateStage
from gmner.generation.shards import gather_outputs
from gmner.generation.shares import parse_shard
from gmner.models.claim_gpu import claim_gpu

HELP = "let a run's model answer each sample of a split"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: how to decode; for an untuned run also the question")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--split", default="test", help="which split (default: test)")
    parser.add_argument("--backbone", required=True, type=Path, help="folder of the backbone")
    parser.add_argument("--adapter", type=Path, help="folder of the trained run; without it the backbone is untuned")
    parser.add_argument("--work-dir", required=True, type=Path, help="folder for what is done, kept when interrupted")
    parser.add_argument("--shard", default="0-of-1", help="which share of the split's batches, for instance 0-of-4")
    parser.add_argument("--gather", nargs="*", type=Path, help="put these shards' tables together and answer nothing")
    parser.add_argument("--out", required=True, type=Path, help="the table of outputs to write")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    settings = parse_settings(GenerateStage, args.settings)
    if args.gather:
        gather_outputs(args.samples, args.split, args.gather, args.out)
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    claim_gpu()
    from gmner.generation.stage import generate_table

    shard = parse_shard(args.shard)
    generate_table(settings, args.samples, args.split, args.backbone, args.adapter, args.work_dir, args.out, shard)
    return 0
