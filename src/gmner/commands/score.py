"""`gmner score`: any system's predictions against the annotation, by a named convention."""

import argparse
import gc
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gmner.core.records import Sample
from gmner.core.visible import visible
from gmner.errors import ConfigError
from gmner.evaluation.any_system.all_conventions import conventions_table, score_all
from gmner.evaluation.any_system.export import export
from gmner.evaluation.any_system.gold import read_gold
from gmner.evaluation.any_system.print import analysis_text, comparison_text, methods_text, score_text
from gmner.evaluation.any_system.score import Request, analyse_errors, compare, score_gold
from gmner.evaluation.any_system.significance import compare_systems, score_seeds
from gmner.evaluation.any_system.swapped import check_not_swapped
from gmner.evaluation.conventions import CONVENTIONS, convention_of
from gmner.runtime.system_errors import say

HELP = "score any system's predictions against gold annotations"
SEEDS = "a file, or one per seed: a folder, a pattern in quotes, or files joined by commas"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("gold", type=Path, help="…/txt/test.txt with its boxes in …/xml, or a samples.parquet")
    parser.add_argument("predictions", type=Path, nargs="?", help="JSONL, JSON, TSV, CSV or predictions.parquet")
    parser.add_argument("--profile", default="paper", help=f"the convention: {', '.join(CONVENTIONS)} (default: paper)")
    parser.add_argument("--all-profiles", action="store_true", help="one table of the same predictions under each")
    parser.add_argument("--iou", type=float, default=0.5, help="IoU from which a region is right (default: 0.5)")
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of a table")
    parser.add_argument("--split", default="test", help="the split of a samples.parquet (default: test)")
    parser.add_argument("--fine", action="store_true", help="score the fine types of a samples.parquet")
    parser.add_argument("--xml", type=Path, help="the folder of boxes, if it is not beside the gold's folder")
    parser.add_argument("--train", type=Path, help="the training tweets, if they are not train.txt beside gold")
    parser.add_argument(
        "--exclude-train-duplicates", action="store_true", help="leave out tweets that are word for word in train"
    )
    parser.add_argument(
        "--exclude-duplicates", action="store_true", help="leave out tweets that are in train or dev, or come again"
    )
    parser.add_argument("--analysis", action="store_true", help="also say what is wrong, by kind, type and size")
    parser.add_argument("--compare", type=Path, metavar="OTHER", help="another output, for tests over the tweets")
    parser.add_argument(
        "--significance", nargs=2, metavar=("A", "B"), help=f"compare two methods over seeds and tweets; each {SEEDS}"
    )
    parser.add_argument("--export", metavar="FORM=FILE", help="also write the predictions as coco or label-studio")


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
    if args.predictions is not None:
        check_not_swapped(request.gold, request.predictions)
    gold = read_gold(request.gold, request.xml_dir, request.split)
    if args.significance:
        return _methods(args, request, gold)
    if args.all_profiles:
        scores_of_all = score_all(request, gold)
        print(_json(scores_of_all) if args.json else conventions_table(scores_of_all))
        return 0
    return _one(args, request, gold)


def _one(args: argparse.Namespace, request: Request, gold: list[Sample]) -> int:
    scored = score_gold(request, gold)
    if scored.missing:
        say(f"warning: {scored.missing} of {len(gold)} gold tweets have no prediction")
    if args.export:
        say(f"predictions in {export(args.export, scored.samples, scored.predictions)}")
    analysis = analyse_errors(request, scored) if args.analysis else None
    compared = None
    if args.compare is not None:
        compared = compare(scored, score_gold(replace(request, predictions=args.compare), gold))
    scores = scored.to_json()
    if args.json:
        more: dict[str, Any] = {"analysis": analysis} if analysis else {}
        if compared:
            more["comparison"] = {name: asdict(one) for name, one in compared.items()}
        print(_json({**scores, **more}))
        return 0
    print(score_text(scores))
    if compared:
        print(f"\n{comparison_text(request.predictions.name, args.compare.name, compared)}")
    if analysis:
        print(f"\n{analysis_text(analysis)}")
    return 0


def _methods(args: argparse.Namespace, request: Request, gold: list[Sample]) -> int:
    first, second = args.significance
    ours, theirs = (score_seeds(request, system, gold) for system in (first, second))
    compared = compare_systems(ours, theirs)
    if args.json:
        signature = ours[0].to_json()["signature"]
        print(_json({"signature": signature, "methods": {name: asdict(one) for name, one in compared.items()}}))
        return 0
    print(methods_text(first, second, compared))
    return 0


def _json(value: Any) -> str:
    """Return JSON on one line; characters that no stream can encode, or that steer a terminal, are escaped."""
    return visible(json.dumps(value, ensure_ascii=False))


def _request(args: argparse.Namespace) -> Request:
    if not 0 < args.iou <= 1:
        raise ConfigError(f"--iou is {args.iou:g}; an IoU is above 0 and at most 1")
    if (args.predictions is None) == (args.significance is None):
        raise ConfigError("give one file of predictions, or two systems with --significance A B")
    return Request(
        gold=args.gold,
        predictions=args.predictions if args.predictions is not None else Path(),
        convention=convention_of(args.profile),
        iou=args.iou,
        xml_dir=args.xml,
        split=args.split,
        fine=args.fine,
        train=args.train,
        exclude_train_duplicates=args.exclude_train_duplicates,
        exclude_duplicates=args.exclude_duplicates,
    )
