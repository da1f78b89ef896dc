"""`gmner stage train`: fine-tune a backbone on the targets of one run and seed."""

import argparse
import os
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import TrainStage
from gmner.models.claim_gpu import claim_gpu
from gmner.training.launch import launch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: how the run asks and trains")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--targets", required=True, type=Path, help="the table of targets")
    parser.add_argument("--backbone", required=True, type=Path, help="folder of the backbone")
    parser.add_argument("--seed", required=True, type=int, help="of the adapter's first weights, order and dropout")
    parser.add_argument("--work-dir", required=True, type=Path, help="folder for checkpoints, kept when interrupted")
    parser.add_argument("--out-dir", required=True, type=Path, help="folder of the run to write")


def run(args: argparse.Namespace) -> int:
    """Train in this process, or start those that train together."""
    settings = parse_settings(TrainStage, args.settings)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    status = launch(settings.train.launch, _words(args))
    if status is not None:
        return status
    if settings.train.launch.world == 1:
        claim_gpu()
    from gmner.training.job import job_of
    from gmner.training.stage import train_adapter

    job = job_of(settings, args.samples, args.targets, args.backbone, args.seed)
    train_adapter(job, args.work_dir, args.out_dir)
    return 0


def _words(args: argparse.Namespace) -> list[str]:
    """Return the command line that `args` came from."""
    names = ("settings", "samples", "targets", "backbone", "seed", "work_dir", "out_dir")
    pairs = [(f"--{name.replace('_', '-')}", str(getattr(args, name))) for name in names]
    return ["stage", "train", *(word for pair in pairs for word in pair)]
