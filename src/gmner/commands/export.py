"""`gmner export`: a run as a folder to share, and to the hub if asked."""

import argparse
import os
from pathlib import Path

from gmner.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--run", type=Path, help="folder of the trained run (results/train/…)")
    parser.add_argument("--table", type=Path, help="instead of a run: targets.parquet or rationales.parquet")
    parser.add_argument("--backbone", type=Path, help="folder of the run's backbone (default: the one it names)")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write")
    parser.add_argument(
        "--merge", action="store_true", help="the whole model, adapter folded in, not the adapter alone"
    )
    parser.add_argument("--push", metavar="ORG/NAME", help="upload it to the hub, private; token in HF_TOKEN")


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    if (args.run is None) == (args.table is None):
        raise ConfigError("give either --run or --table")
    if args.table:
        from gmner.reporting.publish.card import export_table

        if args.push:
            raise ConfigError("--push uploads a run; upload a table's folder with: hf upload --repo-type dataset")
        export_table(args.table, args.out)
    else:
        if not args.push:
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from gmner.reporting.annotate import backbone_of_run
        from gmner.reporting.publish.export import export_run, push

        export_run(args.run, backbone_of_run(args.run, args.backbone), args.out, args.merge)
        if args.push:
            print(push(args.out, args.push))
    print(f"{args.out}: written; read its README.md before you share it")
    return 0
