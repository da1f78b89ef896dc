"""The stage generate of a run whose model is here: a backbone with or without an adapter."""

import argparse
import os

from gmner.commands.stages.settings import parse_settings, require
from gmner.config.stages import GenerateStage
from gmner.generation.shards import gather_outputs
from gmner.generation.shares import parse_shard
from gmner.models.claim_gpu import claim_gpu
from gmner.storage.files import write_json
from gmner.storage.tables import read_metadata


def run(args: argparse.Namespace) -> int:
    """Answer a share of the split, or put the shares together."""
    settings = parse_settings(GenerateStage, args.settings)
    require(args, "backbone", "work_dir")
    if args.gather:
        gather_outputs(args.samples, args.split, args.gather, args.out)
    else:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
        claim_gpu()
        from gmner.generation.stage import generate_table

        shard = parse_shard(args.shard)
        generate_table(settings, args.samples, args.split, args.backbone, args.adapter, args.work_dir, args.out, shard)
    if args.report:
        write_json(args.report, {"kind": settings.kind, **read_metadata(args.out)})
    return 0
