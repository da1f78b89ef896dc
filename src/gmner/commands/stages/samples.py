"""`gmner stage samples`: annotations, boxes and images of a dataset as one table."""

import argparse
import logging
from pathlib import Path

from gmner.commands.stages.settings import parse_settings
from gmner.config.stages import SamplesStage
from gmner.datasets.report import data_report, write_report
from gmner.datasets.samples import Folders, build_samples
from gmner.storage.tables import write_samples

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--settings", required=True, help="JSON or its file: the dataset's name and settings")
    parser.add_argument("--dataset", help="the dataset's name, if it is not the settings'")
    parser.add_argument("--annotations-dir", type=Path, help="folder with Twitter10000_v2.0 (Twitter-GMNER)")
    parser.add_argument("--images-dir", type=Path, help="folder with the images, in it or below it")
    parser.add_argument("--fine-dir", type=Path, help="folder with Twitter-FMNERG's train.txt, dev.txt, test.txt")
    parser.add_argument("--out", required=True, type=Path, help="the table of samples to write")
    parser.add_argument("--report", required=True, type=Path, help="the data report (JSON; Markdown beside it)")


def run(args: argparse.Namespace) -> int:
    """Read or draw the dataset; say what is odd about it."""
    settings = parse_settings(SamplesStage, args.settings)
    name = args.dataset or settings.name
    folders = Folders(args.annotations_dir, args.images_dir, args.fine_dir, drawn=args.out.parent / "images")
    built = build_samples(settings.dataset, name, folders)
    limit = getattr(settings.dataset, "limit", None)
    report = data_report(name, built.samples, built.problems, built.drafts, limit)
    for problem in report["problems"]:
        log.warning("%s: %d %s", name, problem["count"], problem["meaning"])
    write_report(args.report, report)
    write_samples(args.out, built.samples, {"dataset": name})
    log.info("%s: %d samples in %s", name, len(built.samples), args.out)
    return 0
