"""The course of a training run: a table and a plot."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.storage.files import atomic_path, write_text

RESULT_NEUTRAL = True  # what was measured, as a table and a drawing

COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "token_accuracy",
    "dev_gmner_f1",
    "dev_mner_f1",
    "dev_eeg_f1",
)


def curve_rows(
    history: Sequence[Mapping[str, Any]], dev: Mapping[int, Mapping[str, float]], steps_per_epoch: int
) -> list[dict[str, Any]]:
    """Return one row a step from the trainer's log, with the dev scores of an epoch (by epoch) at its last step."""
    rows = []
    for entry in history:
        if "loss" not in entry:
            continue
        row = {
            "step": entry["step"],
            "epoch": round(entry["step"] / steps_per_epoch, 6),
            "loss": entry["loss"],
            "learning_rate": entry.get("learning_rate"),
            "grad_norm": entry.get("grad_norm"),
            "token_accuracy": entry.get("mean_token_accuracy"),
        }
        if entry["step"] % steps_per_epoch == 0:
            scores = dev.get(entry["step"] // steps_per_epoch - 1, {})
            row |= {f"dev_{name}": scores.get(name) for name in ("gmner_f1", "mner_f1", "eeg_f1")}
        rows.append(row)
    return rows


def write_curves(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write curves.csv and curves.png of supervised training into `folder`."""
    write_rows(folder / "curves.csv", rows, COLUMNS)
    _plot(folder / "curves.png", rows)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as a table with six significant digits; what a row lacks is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _shown(value) for name, value in row.items()} for row in rows])
    write_text(path, stream.getvalue())


def _shown(value: Any) -> Any:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _plot(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.figure import Figure

    panels = (("loss", "loss"), ("learning_rate", "learning rate"), ("grad_norm", "gradient norm"))
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for axis, (name, title) in zip(axes, panels, strict=False):
        draw_line(axis, rows, name, title)
    for name in ("gmner_f1", "mner_f1", "eeg_f1"):
        points = [(row["step"], row[f"dev_{name}"]) for row in rows if row.get(f"dev_{name}") is not None]
        if points:
            axes[3].plot(*zip(*points, strict=True), marker="o", label=name.replace("_f1", "").upper())
    if axes[3].lines:
        axes[3].set(title="dev F1", xlabel="optimizer step", ylim=(0, 100))
        axes[3].legend()
    else:
        points = [(row["step"], row["token_accuracy"]) for row in rows if row.get("token_accuracy") is not None]
        axes[3].plot(*zip(*points, strict=True) if points else ([], []), linewidth=1)
        axes[3].set(title="share of tokens right", xlabel="optimizer step", ylim=(0, 1))
    save_figure(figure, path)


def draw_line(axis: Any, rows: Sequence[Mapping[str, Any]], name: str, title: str) -> None:
    """Draw one column over the optimizer steps; rows without it are left out."""
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    axis.plot(*zip(*points, strict=True) if points else ([], []), linewidth=1)
    axis.set(title=title, xlabel="optimizer step")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG with the same bytes for the same curves."""
    for axis in figure.axes:
        axis.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", metadata={"Software": None})
