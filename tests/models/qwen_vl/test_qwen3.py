"""Qwen3-VL: other patches, other normalisation, thousandths instead of pixels, features of several depths."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from gmner.config.run import GenerateSettings, TrainSettings
from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.generation.load import load_decoder
from gmner.models.adapter_folder import write_manifest
from gmner.models.encoding import PromptSettings
from gmner.models.qwen_vl.processor import load_processor
from gmner.storage.files import write_json
from gmner.training.stage import TrainJob, train_adapter
from tests.helpers.tiny_training import TYPES, completion, text_of

FRAME = Frame("norm1000", 4 * 32 * 32, 16 * 32 * 32, 32)
PROMPT = PromptSettings("standard", TYPES, True, FRAME)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from gmner.demo.tiny_backbone.model import save_backbone, train_tokenizer

    tokenizer = train_tokenizer([completion(0, 0), text_of(0)], vocabulary=340)
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    folder = tmp_path_factory.mktemp("qwen3")
    torch.manual_seed(3)
    model = Qwen3VLForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "embed" not in name:
            weight.data *= 12
    save_backbone(folder, model, tokenizer, torch.float32)
    half = [0.5, 0.5, 0.5]
    told = {"patch_size": 16, "merge_size": 2, "image_mean": half, "image_std": half, "min_pixels": 1, "size": {}}
    write_json(folder / "preprocessor_config.json", told)
    write_manifest(folder, {"kind": "local", "id": "random3", "revision": None})
    return folder


def test_patches_and_normalisation_are_the_backbones_and_limits_the_frames(qwen3: Path, backbone: Path) -> None:
    images = load_processor(qwen3, FRAME).image_processor
    assert (images.patch_size, images.merge_size) == (16, 2) and list(images.image_mean) == [0.5] * 3
    assert dict(images.size) == {"shortest_edge": FRAME.min_pixels, "longest_edge": FRAME.max_pixels}
    with pytest.raises(ConfigError, match=r"frame\.factor is 28, but a visual token of .* is 32 pixels wide"):
        load_processor(qwen3, Frame("norm1000", 4000, 40000, 28))
    with pytest.raises(ConfigError, match=r"set frame\.factor: 28"):
        load_processor(backbone, FRAME)


@pytest.mark.slow
def test_it_trains_and_batches_of_one_and_of_four_answer_alike(
    qwen3: Path, samples: list[Sample], make_targets: Callable[[int], pa.Table], tmp_path: Path
) -> None:
    job = TrainJob(
        samples=[sample for sample in samples if sample.split == "train"],
        dev=[],
        targets=make_targets(1),
        backbone_dir=qwen3,
        backbone={"id": "random3", "revision": None},
        prompt=PROMPT,
        train=TrainSettings(epochs=1, accumulation=1, select="last", learning_rate=5e-2, max_length=4096),
        generate=None,
        seed=1,
        scorer=None,
        identity={},
    )
    train_adapter(job, tmp_path / "work", tmp_path / "out")
    found = []
    for adapter, size in ((None, 4), (tmp_path / "out", 1), (tmp_path / "out", 4)):
        settings = GenerateSettings(batch_size=size, max_new_tokens=8, precision="fp32")
        decoder = load_decoder(qwen3, adapter, PROMPT, settings)
        found.append({output.sample_id: output for batch in decoder.decode(samples[:4]) for output in batch})
    plain, one, four = found
    assert one == four and one != plain
