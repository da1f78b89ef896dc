"""The stand-in repository is what the hub has, and our own code takes it as it is."""

import json
from pathlib import Path

import pytest
import torch

from gmner.core.frame import Frame
from gmner.errors import MissingInputError
from gmner.models.hub import fetch_hub
from tests.helpers.standin_hub import serving
from tests.helpers.standin_qwen import (
    IMAGE_TEMPLATE,
    MODEL_ID,
    NARROW,
    REVISION,
    TRUE,
    hub_config,
    hub_tensors,
    real_tokenizer,
)

FRAME = Frame("absolute", 256 * 28 * 28, 1024 * 28 * 28)


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def test_the_tokenizer_has_qwens_ids() -> None:
    made = real_tokenizer()
    assert made.get_vocab_size(with_added_tokens=False) == 151643 and made.get_vocab_size() == 151665
    assert [made.token_to_id(token) for token in ("<|endoftext|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>")] == [
        151643, 151645, 151655, 151656,
    ]  # fmt: skip
    assert made.encode("Hello, world 2024").ids == [9707, 11, 1879, 220, 17, 15, 17, 19]
    text = "Ünïcode 你好 \U0001f600 it's 3.14\n\n  x"
    assert made.decode(made.encode(text).ids) == text


def test_the_config_is_read_as_the_true_models() -> None:
    from transformers import Qwen2_5_VLConfig

    config = Qwen2_5_VLConfig.from_dict(hub_config(TRUE))
    text, vision = config.text_config, config.vision_config
    assert (text.hidden_size, text.num_hidden_layers, text.num_attention_heads, text.num_key_value_heads) == (
        3584, 28, 28, 4,
    )  # fmt: skip
    assert (text.intermediate_size, text.vocab_size, text.rope_parameters["mrope_section"]) == (
        18944, 152064, [16, 24, 24],
    )  # fmt: skip
    assert text.rope_parameters["rope_theta"] == 1e6 and not config.tie_word_embeddings
    assert (vision.depth, vision.hidden_size, vision.fullatt_block_indexes) == (32, 1280, [7, 15, 23, 31])
    shapes = hub_tensors(TRUE)
    assert sum(torch.Size(sides).numel() for sides in shapes.values()) == 8_292_166_656
    assert (
        len(shapes) == 729 and "visual.merger.mlp.2.bias" in shapes and "model.layers.27.mlp.up_proj.weight" in shapes
    )


def test_a_download_resumes_and_every_tensor_of_the_hub_lands_in_the_model(hub_folder: Path, tmp_path: Path) -> None:
    from gmner.models.loading import load_backbone

    with serving(hub_folder, MODEL_ID, REVISION) as hub:
        shard = "model-00003-of-00005.safetensors"
        hub.cut = [shard] * 20
        with pytest.raises(MissingInputError, match="what came is kept"):
            fetch_hub(MODEL_ID, REVISION, hub.url, tmp_path / "qwen")
        hub.cut.clear()
        hub.requests.clear()
        fetch_hub(MODEL_ID, REVISION, hub.url, tmp_path / "qwen")
        assert hub.bodies_sent("config.json") == 0
    names = {path.name for path in (tmp_path / "qwen").iterdir()}
    assert {"chat_template.json", "generation_config.json", "preprocessor_config.json", "LICENSE"} <= names
    assert len([name for name in names if name.endswith(".safetensors")]) == 5
    model = load_backbone(tmp_path / "qwen", torch.bfloat16, torch.device("cpu"))
    loaded = dict(model.state_dict())
    from safetensors import safe_open

    compared = 0
    for path in sorted((tmp_path / "qwen").glob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                ours = (
                    f"model.{name}" if name.startswith("visual.") else name.replace("model.", "model.language_model.")
                )
                assert torch.equal(loaded[ours], weights.get_tensor(name)), name
                compared += 1
    assert compared == len(loaded) == len(hub_tensors(NARROW))


def test_the_image_template_is_found_where_the_hub_has_it(hub_folder: Path) -> None:
    from gmner.models.qwen_vl.processor import load_processor

    told = json.loads((hub_folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert told["chat_template"] != IMAGE_TEMPLATE and not (hub_folder / "chat_template.jinja").exists()
    processor = load_processor(hub_folder, FRAME)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is here?"}]}]
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert "<|vision_start|><|image_pad|><|vision_end|>What is here?<|im_end|>" in text
    size = processor.image_processor.size
    assert (size["shortest_edge"], size["longest_edge"]) == (FRAME.min_pixels, FRAME.max_pixels)


def test_the_loaded_tokenizer_gives_the_ids_of_tokenizer_json(hub_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(hub_folder, local_files_only=True)
    for text in (
        "RT @user: Justin Bieber in Toronto 2015 #music",
        "l'été   à 10:30 &amp; more",
        "<answer>A|PER|None</answer>",
    ):
        assert loaded(text)["input_ids"] == real_tokenizer().encode(text).ids
