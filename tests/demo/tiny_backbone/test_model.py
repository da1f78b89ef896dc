"""The tiny backbone: what is built, what it is taught, and that the teaching is reproducible."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from gmner.core.frame import Frame
from gmner.demo.data.scenes import IMAGE_SIDE, draw_scene_plan, paint
from gmner.demo.tiny_backbone.exercises import Tutor
from gmner.demo.tiny_backbone.model import SPECIAL, TAGS, build_config, build_tiny, train_tokenizer
from gmner.demo.tiny_backbone.pretrain import Pretrainer, PretrainSettings, pretrain
from gmner.demo.tiny_backbone.scenes_and_heads import CELLS, MODEL_SIDE, SCALE, Gallery
from gmner.models.qwen_vl.attention import batch_equal_images
from gmner.models.qwen_vl.processor import image_processor_of, load_processor

SMALL = {"hidden": 32, "layers": 1, "feed_forward": 32, "vision_hidden": 32, "vision_layers": 1}
SETTINGS = PretrainSettings(
    scenes=24, vision_steps=2, vision_batch=4, steps=3, batch=4, held_out=2, precision="fp32", model=SMALL
)


@pytest.fixture(scope="module")
def tokenizer():
    tutor = Tutor(np.random.default_rng(0), SCALE)
    scenes = [draw_scene_plan(np.random.default_rng(number)) for number in range(200)]
    drawn = [tutor.tasks[name](scene) for scene in scenes for name in tutor.tasks]
    return train_tokenizer(f"{one.question}\n{one.reply}" for one in drawn)


def test_the_tokenizer_keeps_completions_and_splits_digits(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL)) == list(range(len(SPECIAL)))
    text = "<think>Picture: red person.</think><answer>O'Mara & Söns|PER|[12,130,7,9]; 😍|LOC|None</answer>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokenizer.tokenize("<answer>Mara Kolen")[1:] == tokenizer.tokenize("Mara Kolen"), "same tokens anywhere"
    assert set(TAGS) <= set(tokens) and {"1", "2", "3", "0"} <= set(tokens)


def test_the_size_is_about_three_million_parameters(tokenizer):
    model = build_tiny(build_config(tokenizer), seed=0)
    assert 2.5e6 < sum(parameter.numel() for parameter in model.parameters()) < 4e6
    assert model.model.language_model.embed_tokens.weight is model.lm_head.weight


def test_weights_depend_on_the_seed_alone(tokenizer):
    config = build_config(tokenizer, **SMALL)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_tiny(config, seed=5).state_dict()
    assert torch.equal(before, torch.get_rng_state()), "torch's own generator is left as it was"
    torch.manual_seed(2)
    second = build_tiny(config, seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("fused", [True, False])
def test_images_together_are_seen_as_images_one_by_one(tokenizer, fused):
    model = build_tiny(build_config(tokenizer, **{**SMALL, "vision_layers": 2}), seed=0).eval()
    gallery = Gallery(np.random.default_rng(0), 3)
    pixels, grid = gallery.patches(np.arange(3))
    with torch.no_grad():
        expected = model.model.visual(pixels, grid_thw=grid).pooler_output
        batch_equal_images(model, fused=fused)
        found = model.model.visual(pixels, grid_thw=grid).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_gallery_makes_the_processors_patches(tokenizer):
    gallery = Gallery(np.random.default_rng(0), 2)
    processor = image_processor_of(Frame("absolute", 14000, 19600))
    made = processor(images=[paint(scene) for scene in gallery.scenes], return_tensors="pt")
    pixels, grid = gallery.patches(np.arange(2))
    assert torch.equal(made["image_grid_thw"], grid)
    torch.testing.assert_close(pixels, made["pixel_values"].float(), atol=1e-4, rtol=1e-4)
    assert round(IMAGE_SIDE * SCALE) == MODEL_SIDE and gallery.cell_targets(0).shape == (CELLS * CELLS, 6)


def test_exercises_have_neither_the_prompt_nor_the_grammar_of_the_task():
    tutor = Tutor(np.random.default_rng(0), SCALE)
    for number in range(60):
        scene = draw_scene_plan(np.random.default_rng(number))
        for name, task in tutor.tasks.items():
            one = task(scene)
            assert one.task == name and one.reply
            assert "Entities, types, boxes" not in one.question
            if name != "copy":  # copies of random lines hold the tags, so that their embeddings are learned
                assert "<answer>" not in one.reply and "|" not in one.reply


def test_pretraining_is_reproducible_and_says_what_it_did(tmp_path):
    for place in ("first", "second"):
        pretrain(SETTINGS, tmp_path / place / "work", tmp_path / place / "out", "f" * 64, "the command")
    first, second = tmp_path / "first/out", tmp_path / "second/out"
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    manifest = json.loads((first / "manifest.json").read_text(encoding="utf-8"))
    assert (
        manifest["seed"] == 0
        and manifest["settings"]["steps"] == 3
        and set(manifest["scores"]) == set(Tutor(np.random.default_rng(0), SCALE).tasks)
    )
    processor = load_processor(first, Frame("absolute", 14000, 19600))
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "hello"}]}],
        add_generation_prompt=True,
    )
    made = processor(images=[Image.new("RGB", (280, 280))], text=[text], return_tensors="pt")
    assert int((made["mm_token_type_ids"] == 1).sum()) == CELLS * CELLS


def test_kept_features_give_the_models_own_loss(tmp_path):
    trainer = Pretrainer(SETTINGS, tmp_path)
    trainer._look(trainer.model.model.visual)
    images, batch = next(trainer._batches(0))
    pixels, grid = trainer.gallery.patches(images)
    with torch.no_grad():
        inputs = {name: value for name, value in batch.items() if name not in ("pointed", "things")}
        expected = trainer.model(**inputs, pixel_values=pixels, image_grid_thw=grid).loss
        found, pointing = trainer._loss(images, batch)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert pointing > 0


def test_every_phase_trains_its_part_and_no_other(tmp_path):
    trainer = Pretrainer(SETTINGS, tmp_path)
    eyes = {name: value.clone() for name, value in trainer.model.model.visual.state_dict().items()}
    words = {name: value.clone() for name, value in trainer.model.model.language_model.state_dict().items()}
    trainer.teach_eyes()
    taught = {name: value.clone() for name, value in trainer.model.model.visual.state_dict().items()}
    assert any(not torch.equal(eyes[name], taught[name]) for name in eyes)
    assert all(
        torch.equal(words[name], value) for name, value in trainer.model.model.language_model.state_dict().items()
    )
    trainer = Pretrainer(SETTINGS, tmp_path / "whole")
    trainer.teach_tasks()
    seen = trainer.model.model.visual.state_dict()
    assert all(torch.equal(taught[name], seen[name]) for name in taught), "the eyes are trained first, then frozen"
    assert any(
        not torch.equal(words[name], value) for name, value in trainer.model.model.language_model.state_dict().items()
    )


def test_every_mark_of_a_reply_is_told_what_it_means(tmp_path):
    trainer = Pretrainer(SETTINGS, tmp_path)
    for number, scene in enumerate(trainer.gallery.scenes):
        for task in trainer.tutor.tasks.values():
            one = task(scene)
            batch = trainer.encode([one])
            assert int(batch["pointed"].sum()) == len(batch["things"]) == len(one.boxed) + len(one.said), (number, one)


def test_a_look_and_a_label_are_one_token_each(tmp_path):
    tokenizer = Pretrainer(SETTINGS, tmp_path).tokenizer
    assert tokenizer.tokenize("is red person visible")[-2:] == ["ĠredĠperson", "Ġvisible"]
    assert tokenizer.tokenize("is red personal")[-1] != "ĠredĠperson"
