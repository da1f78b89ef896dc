"""Samples: all 10 000 tweets of Twitter-GMNER and their box files, parsed, checked and made a table; prints JSON.

    python benchmarks/samples.py [--quick]

The real annotations are read from `$GMNER_SHARED/data/GMNER-<commit>.zip` (default ../shared); where they are absent,
made-up ones of the same shape stand in, and the document says so. The baseline's table is equal to ours, value by
value: that is asserted. The size of an image without boxes is made up for this part.

`images`: the stage also looks at each image. We read its header; the authors decode and resize it. Measured on
drawn JPEGs, and added to the first part, an image a tweet: `stage_ratio`.
"""

import measure  # noqa: I001
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from baselines import samples as plain
from gmner.config.data import TwitterDataset
from gmner.datasets.annotated import sample_ids
from gmner.datasets.images import read_image
from gmner.datasets.oddities import Problems
from gmner.datasets.twitter import read_twitter
from gmner.core.records import Sample
from gmner.storage.tables import SAMPLES, samples_to_table

FOLDER, NO_SIZE = "Twitter10000_v2.0", (600, 450)
TARGET = 1  # what counts is that 10 000 tweets take less than 3 s
SPLITS = {"train": 7000, "dev": 1500, "test": 1500}
OBJECT = (
    "\t<object>\n\t\t<name>{}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
    "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{}</xmin>\n\t\t\t<ymin>{}</ymin>\n"
    "\t\t\t<xmax>{}</xmax>\n\t\t\t<ymax>{}</ymax>\n\t\t</bndbox>\n\t</object>\n"
)
HEAD = (
    "<annotation>\n\t<folder>f</folder>\n\t<filename>{0}.jpg</filename>\n\t<path>/f/{0}.jpg</path>\n\t<source>\n"
    "\t\t<database>Unknown</database>\n\t</source>\n\t<size>\n\t\t<width>600</width>\n\t\t<height>400</height>\n"
    "\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n"
)


def annotations(folder: Path, quick: bool) -> str:
    """Put annotations into `folder`; return what they are, in words."""
    archives = sorted((measure.SHARED / "data").glob("GMNER-*.zip"))
    if archives and not quick:
        with zipfile.ZipFile(archives[0]) as archive:
            for name in archive.namelist():
                place = Path(*Path(name).parts[1:])
                if place.parts[:1] == (FOLDER,) and not name.endswith("/"):
                    (folder / place).parent.mkdir(parents=True, exist_ok=True)
                    (folder / place).write_bytes(archive.read(name))
        return "Twitter-GMNER v2.0"
    for split, count in SPLITS.items():
        _make_split(folder / FOLDER, split, count // 50 if quick else count)
    return "made-up tweets of the same shape"


def _make_split(root: Path, split: str, count: int) -> None:
    """Write tweets of 16 words, up to three entities of two words, boxes for half of the tweets."""
    rng = np.random.default_rng(len(split))
    for name in ("txt", "xml"):
        (root / name).mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        kinds = rng.integers(0, 4, rng.integers(0, 4)).tolist()
        image_id = f"{split}{number}"
        rows = [f"word{k}\tO" for k in range(10)] + ["&amp\tO", ";\tO"]
        rows += [f"Name{k}\tB-{plain.TYPES[kind]}\nSur\tI-{plain.TYPES[kind]}" for k, kind in enumerate(kinds)]
        lines.append("\n".join([f"IMGID:{image_id}", *rows, "", ""]))
        if number % 2 and kinds:
            boxes = "".join(OBJECT.format(f"Name{k} Sur", 10 + k, 20, 200 + k, 300) for k in range(len(kinds)))
            (root / "xml" / f"{image_id}.xml").write_text(f"{HEAD.format(image_id)}{boxes}</annotation>\n")
    (root / "txt" / f"{split}.txt").write_text("".join(lines))


def make_table(folder: Path) -> pa.Table:
    """Read the annotations and return the table of samples, as the stage does."""
    drafts = read_twitter(TwitterDataset(kind="twitter"), folder, None, Problems())
    return samples_to_table([
        Sample(
            sample_id, "twitter-gmner", draft.split, draft.image_id, "", draft.annotated_wh or NO_SIZE, draft.tokens,
            " ".join(draft.tokens), draft.entities,
        )
        for sample_id, draft in zip(sample_ids(drafts), drafts, strict=True)
    ])  # fmt: skip


def time_images(folder: Path, count: int) -> tuple[measure.Timed, measure.Timed]:
    """Look at `count` images of usual sizes both ways."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        size = [(600, 450), (600, 600), (1200, 675), (480, 640)][number % 4]
        coarse = rng.integers(0, 255, (size[1] // 15, size[0] // 15, 3), dtype=np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=85)
    ours, baseline = measure.timed_together(
        [lambda: [read_image(path).upright_wh for path in paths], lambda: plain.read_images(paths)], repeats=3
    )
    assert ours.result == baseline.result
    return ours, baseline


def main() -> None:
    """Measure and print."""
    args = measure.parser(__doc__).parse_args()
    count = 8 if args.quick else 400
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = annotations(folder, args.quick)
        ours, baseline = measure.timed_together(
            [lambda: make_table(folder), lambda: plain.make_table(folder / FOLDER, SAMPLES, NO_SIZE)],
            repeats=1 if args.quick else 5,
        )
        header, decoded = time_images(folder, count)
    assert ours.result.equals(baseline.result), "the two tables differ"
    way = "line by line, a tree for each box file, a dictionary for each row"
    tweets = ours.result.num_rows
    found = measure.against_baseline("tweets", tweets, ours, baseline, way, TARGET)
    stage, plainly = (
        part.seconds + tweets * images.seconds / count for part, images in ((ours, header), (baseline, decoded))
    )
    images = {"images": count, "ours": header.to_json(count), "baseline": decoded.to_json(count)}
    measure.emit(
        measure.document(
            "samples", args.quick, data=data, **found, images=images, stage_ratio=round(plainly / stage, 2)
        )
    )


if __name__ == "__main__":
    main()
