"""`gmner score`: anybody's predictions against the annotation, by a named convention."""

import argparse
import gc
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gmner.errors import ConfigError
from gmner.evaluation.any_system.all_conventions import conventions_table, score_all
from gmner.evaluation.any_system.gold import read_gold
from gmner.evaluation.any_system.print import analysis_text, comparison_text, score_text
from gmner.evaluation.any_system.score import Request, analyse_errors, compare, score_gold
from gmner.evaluation.conventions import CONVENTIONS, convention_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("gold", type=Path, help="…/txt/test.txt with its boxes in …/xml, or a samples.parquet")
    parser.add_argument("predictions", type=Path, help="JSONL, TSV or predictions.parquet (docs/metrics.md)")
    parser.add_argument("--profile", default="paper", help=f"the convention: {', '.join(CONVENTIONS)} (default: paper)")
    parser.add_argument("--all-profiles", action="store_true", help="one table of the same predictions under each")
    parser.add_argument("--iou", type=float, default=0.5, help="IoU from which a region is right (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="write one JSON object in place of a table")
    parser.add_argument("--split", default="test", help="the split of a samples.parquet (default: test)")
    parser.add_argument("--fine", action="store_true", help="score the fine types of a samples.parquet")
    parser.add_argument("--xml", type=Path, help="the folder of boxes, where it is not beside the gold's folder")
    parser.add_argument("--train", type=Path, help="the training tweets, where they are not train.txt beside gold")
    parser.add_argument(
        "--exclude-train-duplicates", action="store_true", help="leave out tweets that stand word for word in train"
    )
    parser.add_argument("--analysis", action="store_true", help="also say what is wrong, by kind, type and size")
    parser.add_argument("--compare", type=Path, metavar="OTHER", help="other predictions, for paired tests")


def run(args: argparse.Namespace) -> int:
    """Score and print."""
    collecting = gc.isenabled()
    gc.disable()  # millions of small records and no cycles: walking them again and again takes a third of the time
    try:
        return _run(args)
    finally:
        if collecting:
            gc.enable()


def _run(args: argparse.Namespace) -> int:
    request = _request(args)
    gold = read_gold(request.gold, request.xml_dir, request.split)
    if args.all_profiles:
        scores_of_all = score_all(request, gold)
        print(json.dumps(scores_of_all, ensure_ascii=False) if args.json else conventions_table(scores_of_all))
        return 0
    scored = score_gold(request, gold)
    if scored.missing:
        print(f"warning: {scored.missing} of {len(gold)} gold tweets have no prediction", file=sys.stderr)
    analysis = analyse_errors(request, scored) if args.analysis else None
    compared = None
    if args.compare is not None:
        other = score_gold(replace(request, predictions=args.compare), gold)
        compared = compare(scored, other)
    scores = scored.to_json()
    if args.json:
        more: dict[str, Any] = {"analysis": analysis} if analysis else {}
        if compared:
            more["comparison"] = {task: asdict(one) for task, one in compared.items()}
        print(json.dumps({**scores, **more}, ensure_ascii=False))
        return 0
    print(score_text(scores))
    if compared:
        print(f"\n{comparison_text(request.predictions.name, args.compare.name, compared)}")
    if analysis:
        print(f"\n{analysis_text(analysis)}")
    return 0


def _request(args: argparse.Namespace) -> Request:
    if not 0 < args.iou <= 1:
        raise ConfigError(f"--iou is {args.iou:g}; an IoU is above 0 and at most 1")
    return Request(
        gold=args.gold,
        predictions=args.predictions,
        convention=convention_of(args.profile),
        iou=args.iou,
        xml_dir=args.xml,
        split=args.split,
        fine=args.fine,
        train=args.train,
        exclude_train_duplicates=args.exclude_train_duplicates,
    )
