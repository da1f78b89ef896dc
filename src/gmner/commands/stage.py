"""`gmner stage NAME …`: what the workflow's rules run."""

import argparse
import importlib
from collections.abc import Sequence
from types import ModuleType

from gmner.workflow.stages import STAGES


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add one command per stage, with the arguments of the one that `words` name: the others stay unimported."""
    names = parser.add_subparsers(dest="stage", metavar="NAME", required=True)
    for stage in STAGES.values():
        parser_of_stage = names.add_parser(stage.name, help=stage.about, description=stage.about)
        if stage.name in words[:1]:
            _module_of(stage.name).add_arguments(parser_of_stage)


def run(args: argparse.Namespace) -> int:
    """Run the stage."""
    return int(_module_of(args.stage).run(args) or 0)


def _module_of(stage: str) -> ModuleType:
    return importlib.import_module(f"gmner.commands.stages.{stage}")
