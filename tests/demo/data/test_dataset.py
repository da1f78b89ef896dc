"""The demo's generator: what it promises to the stages that read it."""

import numpy as np
import pytest
from PIL import Image

from gmner.core.boxes import box_iou_pairs
from gmner.core.entity_types import COARSE_TYPES
from gmner.demo.data.dataset import draw_dataset, draw_sample, write_demo
from gmner.demo.data.names import PARTS, TYPES, core_word, draw_name, part_of
from gmner.demo.data.scenes import COLOURS, IMAGE_SIDE, SHAPES, draw_scene_plan, paint
from gmner.demo.data.tweets import TITLES

COUNTS = {"train": 60, "dev": 20, "test": 40}


def samples_of(fine: bool = False, seed: int = 0):
    return [sample for sample, _ in draw_dataset("demo", COUNTS, fine, seed)]


def test_same_seed_same_samples_and_more_samples_change_nothing():
    first, second = samples_of(), samples_of()
    assert first == second
    longer = [sample for sample, _ in draw_dataset("demo", {**COUNTS, "train": 70}, False, 0)]
    assert longer[:60] == first[:60]
    assert samples_of(seed=1)[0].text != first[0].text


def test_mentions_are_token_spans_and_labels_are_known():
    for fine in (False, True):
        labels = {label for titles in TITLES.values() for label in titles.values()} if fine else set(COARSE_TYPES)
        for sample in samples_of(fine):
            assert sample.text == " ".join(sample.tokens)
            for entity in sample.entities:
                assert entity.mention == " ".join(sample.tokens[entity.start : entity.end])
                assert entity.type in labels
                assert entity.fine_type == (entity.type if fine else None)


def test_every_kind_of_sample_occurs():
    samples = samples_of()
    entities = [entity for sample in samples for entity in sample.entities]
    assert any(not sample.entities for sample in samples)
    assert any(entity.boxes for entity in entities)
    assert any(not entity.boxes and entity.description for entity in entities), "described but absent"
    assert any(not entity.boxes and not entity.description for entity in entities), "not described"
    assert any("left" in (entity.description or "") for entity in entities), "two that look alike"
    assert any(set(entity.mention) & set("&.;:'@") for entity in entities), "punctuation inside a mention"
    assert any(len(sample.caption.split(",")) > len(sample.entities) for sample in samples), "distractors"
    assert 0.5 < np.mean([bool(entity.boxes) for entity in entities]) < 0.75


def test_a_description_is_in_the_caption_exactly_when_the_entity_is_seen():
    for sample in samples_of():
        things = sample.caption.split(", ")
        for entity in sample.entities:
            if entity.description is not None:
                assert (entity.description in things) == bool(entity.boxes)


def test_boxes_are_noisy_in_train_and_exact_elsewhere():
    for number in range(30):
        sample, image = draw_sample("demo", "test", number, False, 0)
        pixels = np.asarray(image).astype(int)
        background = np.asarray(paint(type(draw_scene_plan(np.random.default_rng(0)))(()))).astype(int)
        changed = np.abs(pixels - background).sum(axis=2) > 0
        for entity in sample.entities:
            for x1, y1, x2, y2 in entity.boxes:
                assert 0 <= x1 < x2 <= IMAGE_SIDE and 0 <= y1 < y2 <= IMAGE_SIDE
                inside = changed[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1]
                assert inside.any(axis=0).all() and inside.any(axis=1)[:-1].all(), "the drawing touches its box"
    exact = {
        (number, name): thing.box
        for number in range(COUNTS["train"])
        for scene in [draw_scene_plan(np.random.default_rng([7, 0, 0, 0, number]))]
        for name, thing in zip(scene.descriptions, scene.things, strict=True)
    }
    train = [(number, entity) for number, sample in enumerate(samples_of()[:60]) for entity in sample.entities]
    pairs = [(entity.boxes[0], exact[number, entity.description]) for number, entity in train if entity.boxes]
    overlap = box_iou_pairs(*map(list, zip(*pairs, strict=True)))
    assert np.mean(overlap < 1) > 0.9 and np.mean(overlap) > 0.75


def test_names_of_one_part_occur_in_no_other():
    words = {part: {core_word(np.random.default_rng([n, 3]), part) for n in range(300)} for part in PARTS}
    for part, found in words.items():
        assert all(part_of(word) == part for word in found)
        for other in PARTS:
            assert part == other or not found & words[other]


@pytest.mark.parametrize("kind", TYPES)
def test_names_have_at_least_one_token(kind):
    for number in range(50):
        assert all(draw_name(np.random.default_rng(number), kind, "test"))


def test_scenes_keep_things_apart_and_in_order():
    for number in range(200):
        scene = draw_scene_plan(np.random.default_rng(number))
        assert len(set(scene.descriptions)) == len(scene.things) >= 1
        assert [thing.box[0] for thing in scene.things] == sorted(thing.box[0] for thing in scene.things)
        for thing in scene.things:
            assert thing.shape in SHAPES and thing.colour in COLOURS


def test_images_are_written_beside_the_samples(tmp_path):
    samples = write_demo(tmp_path / "images", "demo", {"train": 2, "dev": 1, "test": 1}, True, 5)
    assert len(samples) == 4
    for sample in samples:
        with Image.open(sample.image_path) as image:
            assert image.size == sample.size_wh
    before = {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    write_demo(tmp_path / "images", "demo", {"train": 2, "dev": 1, "test": 1}, True, 5)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
