"""The workflow's own time: a run with nothing to do, a dry run of the `paper` configuration, a stage's start; JSON.

    python benchmarks/dag.py [--quick]

In a copy of the workflow whose commands write at once what they are asked for (the tests' stand-in for the package's
command line), Snakemake first makes everything up to results/table1.csv; then it is run again. `start_seconds`: how
long `gmner <command> --help` takes for each stage that needs no model: the interpreter, the package, the parser. There
is no baseline: the authors' scripts do all their work again whenever they are run.
"""

import measure  # noqa: I001
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COPIED = ("Snakefile", "rules", "profiles", "workflow", "envs", "config.yaml", "src")
LIGHT = (
    *(f"stage {name}" for name in ("samples", "rationales", "targets", "predictions", "scores", "tables")),
    *("score", "config"),
)
NO_OP_TARGET_S, START_TARGET_S = 3.0, 0.7
SMALL = """
datasets: {small: {kind: demo, train: 8, dev: 4, test: 4}}
backbones: {tiny: {kind: tiny}}
teachers: {template: {provider: template}}
defaults: {backbone: tiny, teacher: template, prompt: short, train: {epochs: 2, select: last}}
runs: {untuned: {kind: untuned}}
tables: {table1: {runs: [untuned]}}
"""


def copy_workflow(root: Path, quick: bool) -> None:
    """Put the workflow into `root`, with the commands stood in for."""
    for name in COPIED:
        source = measure.REPO / name
        if source.is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.egg-info")
            shutil.copytree(source, root / name, ignore=left_out)
        else:
            shutil.copy(source, root / name)
    shutil.copy(measure.REPO / "tests" / "helpers" / "stand_in_command.py", root / "src" / "gmner" / "__main__.py")
    if quick:
        (root / "config.yaml").write_text(SMALL)


def snakemake(root: Path, *words: str) -> str:
    """Run Snakemake in `root` and return what it said."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


def no_op(root: Path) -> None:
    """Run the workflow where there is nothing to do."""
    assert "Nothing to be done" in snakemake(root), "there was something to do"


def jobs_planned(root: Path) -> int:
    """Return how many jobs a dry run of the paper's configuration plans."""
    text = snakemake(root, "--configfile", "workflow/configs/paper.yaml", "--dry-run", "--quiet", "rules", "--", "all")
    totals = [line.split()[1] for line in text.splitlines() if line.startswith("total")]
    return int(totals[0])


def start(command: str) -> None:
    """Start a command, as far as its arguments."""
    environment = {**os.environ, "PYTHONPATH": str(measure.REPO / "src")}
    subprocess.run(
        [sys.executable, "-m", "gmner", *command.split(), "--help"], env=environment, check=True, capture_output=True
    )


def main() -> None:
    """Measure and print."""
    args = measure.parser(__doc__).parse_args()
    repeats = 1 if args.quick else 5
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "workflow")
        root.mkdir()
        copy_workflow(root, args.quick)
        first = measure.timed(lambda: snakemake(root))
        again = measure.timed(lambda: no_op(root), repeats)
        dry = measure.timed(lambda: jobs_planned(root), repeats)
    commands = LIGHT[:1] if args.quick else LIGHT
    for command in commands:
        start(command)  # compiles what is new
    starts = {command: measure.timed(lambda command=command: start(command), repeats) for command in commands}
    measure.emit(
        measure.document(
            "dag",
            args.quick,
            work=1,
            unit="runs",
            no_op_seconds=round(again.seconds, 3),
            no_op_target=NO_OP_TARGET_S,
            first_run_seconds=round(first.seconds, 2),
            paper_dry_run_seconds=round(dry.seconds, 3),
            paper_jobs=dry.result,
            no_op_cpu_seconds=round(again.cpu_seconds, 3),
            paper_dry_run_cpu_seconds=round(dry.cpu_seconds, 3),
            start_seconds={command: round(found.seconds, 3) for command, found in starts.items()},
            start_cpu_seconds={command: round(found.cpu_seconds, 3) for command, found in starts.items()},
            start_target=START_TARGET_S,
            baseline=None,
        )
    )


if __name__ == "__main__":
    main()
