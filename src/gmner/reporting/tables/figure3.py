"""Figure 3: Acc@0.5, GMNER F1 and mean IoU against the strength of box perturbation (paper, section 4.7)."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gmner.errors import ConfigError, DataError
from gmner.reporting.tables.made import Made
from gmner.reporting.tables.pages import Block, Page
from gmner.reporting.tables.rows import Row, number
from gmner.storage.files import atomic_path

METRICS = {"acc_50": "Acc@0.5", "gmner_f1": "GMNER F1", "mean_iou": "Mean IoU"}
FIGURE_COLUMNS = (
    "dataset",
    "backbone",
    "strength",
    "scale_strength",
    "method",
    "teacher",
    "seeds",
    "samples",
    *METRICS,
    *(f"{name}_sd" for name in METRICS),
    "source",
    "signature",
)
# Okabe and Ito's colours, told apart by the colour-blind; marker and line style tell them apart in grey.
_STYLES = {
    "acc_50": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "gmner_f1": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "mean_iou": {"color": "#009E73", "marker": "^", "linestyle": "-."},
}

Panel = tuple[str, str]


def figure3(name: str, reported: list[Row], measured: list[Row]) -> Made:
    """Return Figure 3: its numbers, its drawing, and its panels for the report."""
    panels = panels_of(measured)
    if not panels:
        raise ConfigError(f"tables.{name} has no run to draw; name runs with different strengths")
    rows = [row for found in panels.values() for row in found]
    more = {"panels": [panel_json(panel, found) for panel, found in panels.items()]}
    return Made(rows, FIGURE_COLUMNS, figure_page(panels), more, lambda paths: draw(panels, paths))


def panel_json(panel: Panel, rows: Sequence[Row]) -> dict[str, Any]:
    """Return a panel's points by strength: per cent, with their deviations over seeds (null for one seed)."""
    points = [
        {
            "method": row.method,
            "strength": row.strength,
            "label": _strength(row),
            "seeds": list(row.seeds),
            **{name: row.scores[name] for name in METRICS},
            **{f"{name}_sd": row.sds.get(name) for name in METRICS},
        }
        for row in rows
    ]
    return {"dataset": panel[0], "backbone": panel[1], "points": points}


def panels_of(rows: Sequence[Row]) -> dict[Panel, list[Row]]:
    """Return the rows of each dataset and backbone by strength; raises DataError if a strength appears twice."""
    panels: dict[Panel, list[Row]] = {}
    for row in rows:
        if row.strength is None:
            raise DataError(
                f"figure3: run '{row.method}' has no strength of box perturbation, being untuned; "
                "leave it out of tables.figure3.runs"
            )
        panels.setdefault((row.dataset, row.backbone), []).append(row)
    for (dataset, backbone), found in panels.items():
        found.sort(key=lambda row: (row.strength or 0.0, row.scale_strength or 0.0))
        for one, other in itertools.pairwise(found):
            if (one.strength, one.scale_strength) == (other.strength, other.scale_strength):
                raise DataError(
                    f"figure3: runs '{one.method}' and '{other.method}' on {dataset} with {backbone} both have "
                    f"strength {_strength(one)}; name one of them in tables.figure3.runs"
                )
    return panels


def figure_page(panels: dict[Panel, list[Row]]) -> Page:
    """Return the figure's numbers as tables for reading."""
    blocks = []
    for (dataset, backbone), rows in panels.items():
        seeds = sorted({seed for row in rows for seed in row.seeds})
        caption = f"Measured on {dataset} with backbone {backbone} (seeds {', '.join(map(str, seeds))})"
        lines = [[_strength(row), row.method, *(_value(row, name) for name in METRICS)] for row in rows]
        frame = pd.DataFrame(lines, columns=["Strength", "Run", *METRICS.values()])
        blocks.append(Block(caption, frame, text_columns=2))
    mixed = any(_mixed(row) for rows in panels.values() for row in rows)
    return Page(
        f"Figure 3: strength of box perturbation ({_axis(mixed)})",
        blocks,
        [
            "All numbers are per cent, measured by this workflow; the paper prints the figure without its numbers.",
            "Strength 0: trained without box perturbation.",
            "Acc@0.5: groundable gold entities whose matched prediction has a box with IoU of at least 0.5. Mean IoU: "
            "over groundable gold entities matched with a prediction that has a box.",
        ],
    )


def _mixed(row: Row) -> bool:
    """Whether a run shifts boxes with one strength and scales them with another; the paper's figure has none."""
    return row.scale_strength is not None and row.scale_strength != row.strength


def _strength(row: Row) -> str:
    return f"{row.strength:g} (γ {row.scale_strength:g})" if _mixed(row) else f"{row.strength:g}"


def _axis(mixed: bool) -> str:
    return "β; γ where it differs" if mixed else "β = γ"


def _value(row: Row, name: str) -> str:
    deviation = f" ± {row.sds[name]:.2f}" if name in row.sds else ""
    return f"{number(row.scores[name])}{deviation}"


def draw(panels: dict[Panel, list[Row]], paths: Sequence[Path]) -> None:
    """Draw the figure into each path, in the format that its ending names. The same rows give the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports every table of every font in a PDF
    import matplotlib.pyplot as plt

    settings: Any = {"font.size": 9, "pdf.fonttype": 42, "savefig.dpi": 200, "font.family": "DejaVu Sans"}
    with plt.rc_context(settings):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(4.2 * len(panels), 3.3), squeeze=False, layout="constrained"
        )
        for axis, ((dataset, backbone), rows) in zip(axes[0], panels.items(), strict=True):
            _draw_panel(axis, rows, f"{dataset}, backbone {backbone}")
        axes[0][0].set_ylabel("per cent")
        axes[0][0].legend(frameon=False, loc="best")
        for path in paths:
            # No dates and versions inside: they would make every drawing another file.
            without = (
                {"Software": None} if path.suffix == ".png" else dict.fromkeys(("Creator", "Producer", "CreationDate"))
            )
            with atomic_path(path) as temporary:
                figure.savefig(temporary, metadata=without)
        plt.close(figure)


def _draw_panel(axis: Any, rows: Sequence[Row], title: str) -> None:
    strengths = [row.strength for row in rows]
    for name, label in METRICS.items():
        values = [row.scores[name] for row in rows]
        deviations = [row.sds.get(name, 0.0) for row in rows]
        if any(deviations):
            axis.errorbar(strengths, values, yerr=deviations, label=label, capsize=3, markersize=5, **_STYLES[name])
        else:
            axis.plot(strengths, values, label=label, markersize=5, **_STYLES[name])
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(f"perturbation strength {_axis(any(_mixed(row) for row in rows))}")
    axis.set_xticks(strengths)
    axis.set_xticklabels([_strength(row).replace(" ", "\n", 1) for row in rows])
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
    axis.spines[["top", "right"]].set_visible(False)
