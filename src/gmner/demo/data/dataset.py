"""The demo datasets: drawn scenes with tweets, made by a seeded generator.

Each sample has a generator of its own, seeded by the dataset, the split and its number: more samples never
change the first ones, and any sample can be made alone. Train boxes carry an annotator's noise; dev and test
boxes are exact. Names of one split occur in no other (see `names`).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from gmner.config.data import DemoDataset
from gmner.core.records import Box, Entity, Sample
from gmner.datasets.oddities import Problems
from gmner.datasets.samples import Built, Folders
from gmner.demo.data.scenes import IMAGE_SIDE, draw_scene_plan, paint
from gmner.demo.data.tweets import Tweet, write_tweet
from gmner.errors import MissingInputError
from gmner.runtime.system_errors import at
from gmner.storage.files import sync_tree

SPLITS = ("train", "dev", "test")
BOX_NOISE = 0.06
"""Standard deviation of a train box's edges, as a share of its width and height."""
_JPEG_QUALITY = 95
# Keeps these generators apart from those of the backbone's own scenes.
_STREAM = 7


def build_demo(settings: DemoDataset, dataset: str, folders: Folders) -> Built:
    """Make the samples of a demo dataset: draw them, their images into `folders.drawn`."""
    if folders.drawn is None:
        raise MissingInputError("the demo needs a folder for the images it draws")
    counts = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    return Built(write_demo(folders.drawn, dataset, counts, settings.fine, settings.seed), Problems(), [])


def draw_sample(dataset: str, split: str, number: int, fine: bool, seed: int) -> tuple[Sample, Image.Image]:
    """Return sample `number` of a split with its image; `image_path` is its bare file name."""
    generator = np.random.default_rng([_STREAM, seed, int(fine), SPLITS.index(split), number])
    scene = draw_scene_plan(generator)
    tweet = write_tweet(generator, scene, split, titles=1.0 if fine else 0.7)
    image_id = f"{split}_{number:06d}"
    sample = Sample(
        sample_id=f"{split}/{image_id}",
        dataset=dataset,
        split=split,
        image_id=image_id,
        image_path=f"{image_id}.jpg",
        size_wh=(IMAGE_SIDE, IMAGE_SIDE),
        tokens=tweet.tokens,
        text=tweet.text,
        entities=tuple(_entities(generator, tweet, fine, noisy=split == "train")),
        caption=scene.caption,
    )
    return sample, paint(scene)


def _entities(generator: np.random.Generator, tweet: Tweet, fine: bool, noisy: bool) -> Iterator[Entity]:
    for named in tweet.named:
        boxes = tuple(_annotated(generator, box) if noisy else box for box in named.boxes)
        label = named.fine_type if fine else named.type
        yield Entity(
            start=named.start,
            end=named.end,
            mention=named.mention,
            type=label,
            fine_type=named.fine_type if fine else None,
            boxes=boxes,
            description=named.description,
        )


def _annotated(generator: np.random.Generator, box: Box) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    noise = generator.normal(0.0, BOX_NOISE, 4) * np.array([width, height, width, height])
    x1, y1, x2, y2 = np.clip(np.round(np.array(box) + noise), 0, IMAGE_SIDE).tolist()
    return x1, y1, x2, y2


def draw_dataset(dataset: str, counts: dict[str, int], fine: bool, seed: int) -> Iterator[tuple[Sample, Image.Image]]:
    """Yield the samples of every split in `counts` with their images, in order."""
    for split in SPLITS:
        for number in range(counts.get(split, 0)):
            yield draw_sample(dataset, split, number, fine, seed)


def write_demo(images_dir: Path, dataset: str, counts: dict[str, int], fine: bool, seed: int) -> list[Sample]:
    """Draw a demo dataset; images go to `images_dir` as JPEG, and the samples are returned with their paths.

    The images are synced to disk: the table of samples, written after them, says that all are there.
    """
    images_dir.mkdir(parents=True, exist_ok=True)
    samples = []
    for sample, image in draw_dataset(dataset, counts, fine, seed):
        path = images_dir / sample.image_path
        with at(path):
            image.save(path, format="JPEG", quality=_JPEG_QUALITY)
        samples.append(replace(sample, image_path=path.as_posix()))
    sync_tree(images_dir)
    return samples
