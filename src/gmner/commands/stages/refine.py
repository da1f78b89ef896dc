"""`gmner stage refine`: a trained adapter made better by its own answers."""

import argparse
import os
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import RefineStage
from gmner.models.claim_gpu import claim_gpu


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: how the run is refined and how its start was trained")
    parser.add_argument("--samples", required=True, type=Path, help="the table of samples")
    parser.add_argument("--targets", type=Path, help="the start's table of targets, for rejection sampling")
    parser.add_argument("--backbone", required=True, type=Path, help="folder of the backbone")
    parser.add_argument("--adapter", required=True, type=Path, help="folder of the run that it starts from")
    parser.add_argument("--seed", required=True, type=int, help="of what is drawn and of the order")
    parser.add_argument("--work-dir", required=True, type=Path, help="folder for checkpoints, kept when interrupted")
    parser.add_argument("--out-dir", required=True, type=Path, help="folder of the run to write")


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    settings = parse_settings(RefineStage, args.settings)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    claim_gpu()
    from gmner.training.refine.stage import refine_adapter, refine_job

    job = refine_job(
        settings.refine,
        settings.train,
        settings.fine,
        args.samples,
        args.backbone,
        args.adapter,
        args.targets,
        args.seed,
    )
    refine_adapter(job, args.work_dir, args.out_dir)
    return 0
