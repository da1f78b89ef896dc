"""`gmner stage backbone`: put a backbone into a folder that works offline."""

import argparse
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.model import HubBackbone, LocalBackbone
from gmner.config.stages import BackboneStage
from gmner.models.folder import copy_backbone

TINY = Path("workflow/assets/tiny")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON: the backbone's name and where it comes from")
    parser.add_argument("--out-dir", required=True, type=Path, help="folder to write")
    parser.add_argument("--tiny", type=Path, default=TINY, help="folder of the tiny backbone (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Put the backbone there, in the way of its kind."""
    settings = parse_settings(BackboneStage, args.settings)
    backbone = settings.backbone
    if isinstance(backbone, HubBackbone):
        from gmner.models.hub import fetch_hub

        fetch_hub(backbone.id, backbone.revision, backbone.mirror, args.out_dir)
    elif isinstance(backbone, LocalBackbone):
        about = {"kind": "local", "id": settings.name, "revision": None}
        copy_backbone(Path(backbone.path), args.out_dir, about, "set the backbone's 'path'")
    else:
        about = {"kind": "tiny", "id": settings.name, "revision": None}
        copy_backbone(args.tiny, args.out_dir, about, "it ships in workflow/assets/tiny: run from the project's folder")
    return 0
