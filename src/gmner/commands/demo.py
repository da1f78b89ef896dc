"""`gmner demo`: a page in the browser to try trained runs."""

import argparse
from pathlib import Path

from gmner.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--run", required=True, action="append", type=Path, help="a trained run; may be given again")
    parser.add_argument("--backbone", type=Path, help="folder of the runs' backbone (default: the one each names)")
    parser.add_argument("--examples", type=Path, help="samples.parquet to take examples from (default: the run's own)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: this machine alone)")
    parser.add_argument("--port", type=int, help="port (default: the first free one from 7860)")
    parser.add_argument("--max-file-mb", type=int, default=10, help="largest image (default: 10)")
    parser.add_argument("--seconds", type=float, default=120, help="longest wait for an answer (default: 120)")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="length of an answer (default: 512)")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from gmner.reporting.live.page import annotators, build_page, import_gradio, serve

    import_gradio()  # before the model is loaded, which takes its time
    from gmner.models.claim_gpu import claim_gpu

    claim_gpu()
    from gmner.reporting.annotate import load_adapter
    from gmner.reporting.live.answers import examples_of

    decoders = {}
    for place in args.run:
        name = _name(place)
        if name in decoders:
            raise ConfigError(f"--run {place}: given twice")
        decoders[name] = load_adapter(place, args.backbone, args.max_new_tokens)
    examples = examples_of(args.examples or _samples_of(args.run[0]), 6)
    page = build_page(annotators(decoders), examples, args.seconds)
    serve(page, args.host, args.port, f"{args.max_file_mb}mb", examples)
    page.block_thread()
    return 0


def _name(run: Path) -> str:
    """Return how the page calls a run: the last three parts of its folder (dataset, run, seed)."""
    return "/".join(run.resolve().parts[-3:])


def _samples_of(run: Path) -> Path:
    """Return where the workflow keeps the samples of the dataset that a run of results/train was trained on."""
    place = run.resolve()
    if len(place.parents) < 4:
        return Path("samples.parquet")
    return place.parents[3] / "samples" / place.parent.parent.name / "samples.parquet"
