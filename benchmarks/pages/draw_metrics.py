"""Draws docs/images/metrics.png: small examples of what each metric counts, counted by the code itself.

python benchmarks/pages/draw_metrics.py
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Circle, Rectangle

from gmner.core.records import Box, Record
from gmner.evaluation.counts import count_sample
from gmner.evaluation.matching import best_iou

GOLD, PREDICTED = "#0072B2", "#D55E00"  # Okabe and Ito; solid and dashed, for print without colours
MAN, WOMAN = (14.0, 16.0, 40.0, 92.0), (60.0, 20.0, 86.0, 92.0)


@dataclass(frozen=True)
class Example:
    """One panel: a gold entity and a prediction of it."""

    title: str
    gold: Record
    predicted: Record


EXAMPLES = (
    Example("all right", Record("Jo", "PER", (MAN,)), Record("Jo", "PER", ((17.0, 18.0, 43.0, 95.0),))),
    Example(
        "right person, box too small", Record("Jo", "PER", (MAN,)), Record("Jo", "PER", ((18.0, 16.0, 36.0, 50.0),))
    ),
    Example("wrong type", Record("Jo", "PER", (MAN,)), Record("Jo", "ORG", (MAN,))),
    Example("wrong person", Record("Jo", "PER", (MAN,)), Record("Jo", "PER", (WOMAN,))),
    Example("visible, but no box", Record("Jo", "PER", (MAN,)), Record("Jo", "PER")),
    Example("two gold boxes, one found", Record("Jo & Al", "PER", (MAN, WOMAN)), Record("Jo & Al", "PER", (WOMAN,))),
    Example("not visible, none said", Record("NBA", "ORG"), Record("NBA", "ORG")),
    Example("two boxes said, one right", Record("Jo", "PER", (MAN,)), Record("Jo", "PER", (MAN, WOMAN))),
)


def draw(path: Path) -> None:
    """Draw every example and what is counted of it."""
    with plt.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        figure, axes = plt.subplots(2, 4, figsize=(10, 5.6), layout="constrained")
        for axis, example in zip(axes.flat, EXAMPLES, strict=True):
            _draw_example(axis, example)
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def _draw_example(axis: Any, example: Example) -> None:
    axis.set(xlim=(0, 100), ylim=(100, 0), xticks=[], yticks=[], aspect="equal", facecolor="#f2f2f2")
    for x1, y1, x2, y2 in (MAN, WOMAN):
        axis.add_patch(Circle(((x1 + x2) / 2, y1 + 9), 8, color="#bbbbbb"))
        axis.add_patch(Rectangle((x1 + 3, y1 + 18), x2 - x1 - 6, y2 - y1 - 18, color="#bbbbbb"))
    for record, colour, style in ((example.gold, GOLD, "-"), (example.predicted, PREDICTED, "--")):
        for box in record.boxes:
            axis.add_patch(_outline(box, colour, style))
    counts = count_sample([example.predicted], [example.gold], 0.5)
    marks = "  ".join(f"{name} {'✓' if ok else '✗'}" for name, ok in _tasks(counts))
    iou = best_iou(example.predicted.boxes, example.gold.boxes)
    overlap = f"IoU {iou:.2f}" if example.predicted.boxes and example.gold.boxes else ""
    axis.set_title(example.title, fontweight="bold")
    axis.set_xlabel(
        f"gold: {_said(example.gold)}\npredicted: {_said(example.predicted)}\n{marks}\n{overlap}", loc="left"
    )


def _tasks(counts: Any) -> tuple[tuple[str, int], ...]:
    return ("GMNER", counts.gmner), ("MNER", counts.mner), ("EEG", counts.eeg)


def _said(record: Record) -> str:
    return f"{record.mention}, {record.type}, {len(record.boxes) or 'no'} box{'es' if len(record.boxes) > 1 else ''}"


def _outline(box: Box, colour: str, style: str) -> Rectangle:
    x1, y1, x2, y2 = box
    return Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linestyle=style, linewidth=2)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parents[2] / "docs" / "images" / "metrics.png")
