"""`gmner annotate`: the entities of one image and text, by a trained run."""

import argparse
import json
import os
from pathlib import Path

from gmner.models.claim_gpu import claim_gpu


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--run", required=True, type=Path, help="folder of the trained run (results/train/…)")
    parser.add_argument("--backbone", type=Path, help="folder of its backbone (default: the one the run names)")
    parser.add_argument("--image", required=True, type=Path, help="the image, of any kind")
    parser.add_argument("--text", required=True, help="the words that come with it")
    parser.add_argument("--draw", type=Path, help="save the image with the boxes drawn (.png, .jpg, .webp)")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="length of the answer (default: 512)")


def run(args: argparse.Namespace) -> int:
    """Annotate and print."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    claim_gpu()
    from gmner.reporting.annotate import annotate, load_run, save_drawing

    decoder = load_run(args.run, args.backbone, args.max_new_tokens)
    found = annotate(decoder, args.image, args.text)
    print(json.dumps(found.to_json(), ensure_ascii=False, indent=1))
    if args.draw:
        save_drawing(args.draw, args.image, found.records)
    return 0
