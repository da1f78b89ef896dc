"""`gmner annotate`: the entities of one image and text, or of many, by a trained run."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmner.errors import ConfigError

if TYPE_CHECKING:
    from gmner.reporting.annotate import Annotation


class Once(argparse.Action):
    """An option that may be given once: the last of several would silently win."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Keep the value, or end with an error if there is one already."""
        if getattr(namespace, f"{self.dest}_given", False):
            many = "; for many images give a table or a folder: gmner annotate --run R FILE"
            parser.error(f"{option_string} is given twice{many if self.dest == 'image' else ''}")
        setattr(namespace, self.dest, values)
        setattr(namespace, f"{self.dest}_given", True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "examples:\n"
        "  gmner annotate --run results/train/demo-gmner/full/seed42 --image a.jpg --text 'Anna in Oslo'\n"
        "  gmner annotate --run R tweets.csv --out found.jsonl --draw drawings\n"
        "  cat tweets.jsonl | gmner annotate --run R - --out found.parquet\n"
    )
    parser.add_argument("source", nargs="?", help="a .jsonl, .csv or .parquet table, a folder, or - for standard input")
    parser.add_argument("--run", required=True, type=Path, help="folder of the trained run (results/train/…)")
    parser.add_argument("--backbone", type=Path, help="folder of its backbone (default: the one the run names)")
    parser.add_argument("--image", type=Path, action=Once, help="one image, of any kind")
    parser.add_argument("--text", action=Once, help="the words that come with it")
    parser.add_argument("--out", type=Path, help="where to write: .jsonl or .parquet (default: standard output)")
    parser.add_argument("--draw", type=Path, help="save drawings: a file for one image, a folder for many")
    parser.add_argument("--batch-size", type=int, default=16, help="images at a time (default: 16)")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="length of an answer (default: 512)")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers", help="what decodes")
    parser.add_argument("--constrained", action="store_true", help="rule out malformed answers")


def run(args: argparse.Namespace) -> int:
    """Annotate and print or write."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's library is imported
    if (args.source is None) == (args.image is None):
        raise ConfigError("give either --image and --text, or a table, a folder or - (standard input)")
    if (args.image is None) != (args.text is None):
        raise ConfigError("--image and --text belong together; give both")
    if args.out and args.out.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"--out {args.out}: expected a name that ends in .jsonl or .parquet")
    from gmner.models.claim_gpu import claim_gpu

    claim_gpu()
    return _one(args) if args.source is None else _many(args)


def _one(args: argparse.Namespace) -> int:
    from gmner.reporting.annotate import check_ending, save_drawing
    from gmner.reporting.annotate.requests import Request, clean_text

    words = clean_text(args.text)
    if not words:
        raise ConfigError("--text is empty; give the words that come with the image")
    if args.draw:
        check_ending(args.draw)
    found = _annotated(args, [Request(str(args.image), args.image, tuple(words.split(" ")), str(args.image))])
    if found[0].size_wh is None:
        raise ConfigError(found[0].problems[0]["detail"])
    if args.out:
        _write(args.out, found)
    else:
        print(json.dumps(found[0].to_json(), ensure_ascii=False, indent=1))
    if args.draw:
        save_drawing(args.draw, args.image, found[0].records)
    return 0


def _many(args: argparse.Namespace) -> int:
    from gmner.reporting.annotate import drawing_name, save_drawing
    from gmner.reporting.annotate.requests import read_requests

    found = _annotated(args, read_requests(args.source))
    if args.out:
        _write(args.out, found)
    else:
        for one in found:
            print(json.dumps(one.to_json(), ensure_ascii=False))
    if args.draw:
        args.draw.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(found):
            if one.size_wh is not None:
                save_drawing(args.draw / f"{number:05d}-{drawing_name(one.name)}.png", Path(one.image), one.records)
    failed = sum(one.size_wh is None for one in found)
    print(f"annotated {len(found) - failed} of {len(found)} images", file=sys.stderr)
    return 0


def _annotated(args: argparse.Namespace, requests: Any) -> "list[Annotation]":
    from gmner.config.run import GenerateSettings
    from gmner.reporting.annotate import annotate_many, backbone_of_run

    settings = GenerateSettings(
        batch_size=args.batch_size,
        max_new_tokens=args.max_new_tokens,
        engine=args.engine,
        constrained=args.constrained,
        merge=True,
    )
    backbone = backbone_of_run(args.run, args.backbone)
    if not args.out:
        with tempfile.TemporaryDirectory() as work:
            return list(annotate_many(requests, args.run, backbone, settings, Path(work)))
    work = args.out.with_name(f".{args.out.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    return list(annotate_many(requests, args.run, backbone, settings, work))


def _write(out: Path, found: "list[Annotation]") -> None:
    from gmner.reporting.annotate import remove_work
    from gmner.storage.files import atomic_path, write_text

    rows = [one.to_json() for one in found]
    if out.suffix == ".jsonl":
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from gmner.reporting.annotate.schema import ANNOTATIONS

        with atomic_path(out) as temporary:
            pq.write_table(pa.Table.from_pylist(rows, ANNOTATIONS), temporary)
    remove_work(out.with_name(f".{out.name}.work"))
