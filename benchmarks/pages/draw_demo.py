"""Draw docs/images/demo.png: demo tweets with gold and predicted regions, from the results of `make table1`.

python benchmarks/pages/draw_demo.py [results] [docs/images/demo.png]
"""

import sys
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from PIL import Image

from gmner.storage.tables import PREDICTIONS, read_samples, read_table

# Okabe and Ito's colours, told apart by the colour-blind too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
SHOWN = 3


def main(results: Path, out: Path) -> None:
    """Draw the first test tweets with two or more entities, right or wrong."""
    run = "demo-gmner/full/seed42"
    samples = read_samples(results / "samples/demo-gmner/samples.parquet", "test")
    rows = read_table(results / f"predictions/{run}/predictions.parquet", PREDICTIONS).to_pylist()
    predicted = {row["sample_id"]: row for row in rows}
    chosen = [sample for sample in samples if len(sample.entities) > 1][:SHOWN]
    figure, axes = plt.subplots(1, SHOWN, figsize=(12, 5.6), dpi=110)
    for axis, sample in zip(axes, chosen, strict=True):
        path = Path(sample.image_path)
        axis.imshow(Image.open(path if path.exists() else results.parent / path))
        axis.set_axis_off()
        for entity in sample.entities:
            for x1, y1, x2, y2 in entity.boxes:
                axis.add_patch(
                    Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec="white", lw=1.5, ls=(0, (4, 3)), zorder=3)
                )
        lines = []
        for number, entity in enumerate(predicted[sample.sample_id]["entities"]):
            colour = COLOURS[number % len(COLOURS)]
            for x1, y1, x2, y2 in entity["boxes"]:
                axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=3))
                label = f"{entity['mention']} · {entity['type']}"
                axis.text(x1 + 3, max(y1 - 6, 10), label, color="white", fontsize=8, backgroundcolor=colour)
            where = "seen" if entity["boxes"] else "not in the picture"
            lines.append(f"{entity['mention']} | {entity['type']} | {where}")
        axis.set_title("\n".join(textwrap.wrap(sample.text, 46)), fontsize=9, wrap=True)
        axis.text(0, 300, "\n".join(lines), fontsize=8, va="top", family="monospace")
    figure.suptitle(
        "Coloured: what the fine-tuned tiny model finds. White dashes: the annotation.", fontsize=10, y=0.99
    )
    figure.subplots_adjust(left=0.02, right=0.98, top=0.86, bottom=0.16, wspace=0.08)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": None})


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "results"),
        Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/demo.png"),
    )
