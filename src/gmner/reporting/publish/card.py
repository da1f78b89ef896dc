"""The cards of what is published: README.md of a model, and of a table of targets or rationales."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gmner.errors import DataError
from gmner.evaluation.metrics import metric_of
from gmner.evaluation.scores import tweet_rows
from gmner.evaluation.seeds import ONE_SEED, score_over_seeds
from gmner.models.adapter_folder import RunInfo
from gmner.storage.files import read_json, write_text

RESULT_NEUTRAL = True  # describes what was made
_SCORES = {"gmner_f1": "GMNER", "mner_f1": "MNER", "eeg_f1": "EEG"}


def model_card(run: RunInfo, run_dir: Path, merged: bool) -> str:
    """Return README.md: what the model is, its training, its scores with seeds and intervals, how to use it."""
    train = run.details.get("train", {})
    base = str(run.backbone.get("id") or "a local backbone")
    front = [
        "license: other",
        "pipeline_tag: image-text-to-text",
        f"library_name: {'transformers' if merged else 'peft'}",
    ]
    if "/" in base and not merged:
        front.append(f"base_model: {base}")
    frame = run.frame
    parts = [
        "\n".join(["---", *front, "---"]),
        f"# {run_dir.parent.name}: grounded multimodal named entity recognition",
        "Given an image and its text, the model names each entity of the text, its type, and where it is seen.",
        "## Use\n```\npython use.py image.jpg 'Anna in Oslo'\n```\nAn answer is `mention|TYPE|[x1,y1,x2,y2]` or "
        f"`mention|TYPE|None`, separated by `;`. Coordinates: {frame.coordinates}; images are resized to between "
        f"{frame.min_pixels} and {frame.max_pixels} pixels, sides multiples of {frame.factor}. `gmner.json` has the "
        "prompt.",
        "## Training\n"
        + _table(
            {
                "backbone": f"{base} at revision {run.backbone.get('revision') or 'none (local)'}",
                "data": f"{run_dir.parent.parent.name}, {run.details.get('samples', 'unknown number of')} samples",
                "types": ", ".join(run.types),
                "reasoning before the answer": "yes" if run.cot else "no",
                "prompt": run.prompt_version,
                "seed": run.details.get("seed", "unknown"),
                "epochs, steps": f"{train.get('epochs', '?')}, {run.details.get('steps', '?')}",
                "learning rate, LoRA rank": f"{train.get('learning_rate', '?')}, {train.get('lora', {}).get('r', '?')}",
                "time": _time_of(run_dir),
                "carbon": "not measured; the time above and your machine's power give it",
            }
        ),
        "## Scores\n" + _scores(run_dir),
        "## Licence\nThe weights derive from the backbone and from the training data: the terms of both apply. "
        "The code that made them is Apache-2.0. Say here what you grant before you make this public.",
        "## Limits\nMade for short English posts with one image. It may name entities that are not in the text, and "
        "boxes where nothing is; check before you rely on it.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: dict[str, Any]) -> str:
    lines = [f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _scores(run_dir: Path) -> str:
    """Return the scores of all seeds of the run that lie beside it in results/scores."""
    place = run_dir.resolve()
    folder = (
        place.parents[3] / "scores" / place.parent.parent.name / place.parent.name if len(place.parents) > 3 else None
    )
    found = sorted(folder.glob("seed*/scores.json")) if folder else []
    if not found:
        return "None beside this run (`results/scores`); score it with `gmner score` and write them here."
    reports = [read_json(path) for path in found]
    seeds = ", ".join(path.parent.name.removeprefix("seed") for path in found)
    lines = ["| F1, per cent | mean | sd over seeds | 95 % interval |", "|---|---:|---:|---:|"]
    for name, head in _SCORES.items():
        over = score_over_seeds([tweet_rows(report, name) for report in reports], metric_of(name).value)
        deviation = "-" if over.deviation is None else f"{over.deviation:.2f}"
        lines.append(f"| {head} | {over.value:.2f} | {deviation} | {over.low:.1f} to {over.high:.1f} |")
    note = ONE_SEED if len(reports) == 1 else "the interval is over seeds and tweets"
    sizes = reports[0]["samples"]
    return (
        "\n".join(lines) + f"\n\nSeeds: {seeds} ({note}); {sizes} test samples; counted by `{reports[0]['signature']}`."
    )


def _time_of(run_dir: Path) -> str:
    place = run_dir.resolve()
    if len(place.parents) > 3:
        path = place.parents[3] / "benchmarks" / "train" / place.relative_to(place.parents[2])
        table = path.with_name(path.name + ".tsv")
        if table.exists():
            seconds = float(table.read_text(encoding="utf-8").splitlines()[-1].split("\t")[0])
            return f"{seconds / 60:.0f} minutes of training, as measured by the workflow"
    return "not measured"


def export_table(table: Path, out: Path) -> None:
    """Copy a parquet table of targets or rationales to `out`/data and write its card."""
    if table.suffix != ".parquet" or not table.exists():
        raise DataError(f"{table}: expected a parquet table (targets.parquet, rationales.parquet)")
    schema, rows = pq.read_schema(table), pq.read_metadata(table).num_rows
    (out / "data").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(table, out / "data" / table.name)
    columns = "\n".join(f"| {field.name} | `{field.type}` |" for field in schema)
    write_text(
        out / "README.md",
        f"---\nlicense: other\nconfigs:\n- config_name: default\n  data_files: data/{table.name}\n---\n\n"
        f"# {table.stem} of grounded named entity recognition\n\n{rows} rows. Load them with:\n\n```python\n"
        "from datasets import load_dataset\n\n"
        f'rows = load_dataset("parquet", data_files="data/{table.name}")["train"]\n```\n\n'
        f"| column | type |\n|---|---|\n{columns}\n\n## Licence\nThe texts are those of the dataset they were made "
        "for, and a teacher's answers fall under its provider's terms: the terms of both apply.\n",
    )
