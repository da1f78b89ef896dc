"""The stage generate of an api run: a provider's model answers each sample of a split by itself."""

import argparse

from gmner.commands.stages.settings import parse_settings, require
from gmner.config.stages import GenerateApiStage
from gmner.generation.api import make_api_outputs, plan_api_outputs


def run(args: argparse.Namespace) -> int:
    """Ask what the store does not have yet, and write the table of answers."""
    settings = parse_settings(GenerateApiStage, args.settings)
    require(args, "store")
    if args.dry_run:
        print("\n".join(plan_api_outputs(settings, args.samples, args.split, args.store)))
        return 0
    make_api_outputs(settings, args.samples, args.split, args.out, args.report, args.store)
    return 0
