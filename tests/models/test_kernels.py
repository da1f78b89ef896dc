"""Which kernels are chosen where, against stand-ins for what only a GPU has."""

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from gmner.config.run import GenerateSettings, TrainSettings
from gmner.core.records import Sample
from gmner.errors import ConfigError, DataError
from gmner.generation.load import load_decoder
from gmner.models import kernels
from gmner.models.encoding import PromptSettings
from gmner.models.kernels import attention_of, uses_liger
from gmner.models.loading import load_backbone
from gmner.models.quantization import prepare_for_training, quantization_config
from gmner.models.qwen_vl import vision_attention as tower
from gmner.models.qwen_vl.seam import KEPT_IN_FULL
from gmner.training.stage import TrainJob, train_adapter
from tests.helpers.tiny_training import FRAME, TYPES

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
BF16, FP32 = torch.bfloat16, torch.float32


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A card of compute capability 9.0 with flash-attn installed."""
    import transformers.utils.import_utils as packages

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "A card")
    monkeypatch.setattr(packages, "is_flash_attn_2_available", lambda: True)
    return monkeypatch


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else find(name, *rest))


def test_flash_attention_is_taken_where_card_package_and_numbers_fit(card: pytest.MonkeyPatch) -> None:
    assert attention_of("auto", GPU, BF16) == attention_of("flash_attention_2", GPU, BF16) == "flash_attention_2"
    assert attention_of("auto", GPU, FP32) == attention_of("auto", CPU, BF16) == "sdpa"
    assert attention_of("sdpa", GPU, BF16) == "sdpa" and attention_of("eager", CPU, FP32) == "eager"
    card.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert attention_of("auto", GPU, BF16) == "sdpa"
    with pytest.raises(ConfigError, match=r"A card is older than compute capability 8\.0; set attention: auto"):
        attention_of("flash_attention_2", GPU, BF16)


def test_flash_attention_that_cannot_be_used_says_why(card: pytest.MonkeyPatch) -> None:
    import transformers.utils.import_utils as packages

    with pytest.raises(ConfigError, match="there is no GPU"):
        attention_of("flash_attention_2", CPU, BF16)
    with pytest.raises(ConfigError, match="precision is not bf16"):
        attention_of("flash_attention_2", GPU, FP32)
    card.setattr(packages, "is_flash_attn_2_available", lambda: False)
    assert attention_of("auto", GPU, BF16) == "sdpa"
    with pytest.raises(ConfigError, match="flash-attn is not installed"):
        attention_of("flash_attention_2", GPU, BF16)


def test_liger_is_used_where_installed_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        without(patched, "liger_kernel")
        assert not uses_liger("auto", GPU)
        with pytest.raises(ConfigError, match="package liger-kernel is not installed"):
            uses_liger("on", GPU)
    spec = importlib.machinery.ModuleSpec("liger_kernel", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert uses_liger("auto", GPU) and uses_liger("on", GPU)
    assert not uses_liger("auto", CPU) and not uses_liger("off", GPU)
    with pytest.raises(ConfigError, match="there is no GPU for its kernels"):
        uses_liger("on", CPU)


def test_liger_patches_norms_and_feed_forward_but_not_the_head_that_trl_fuses(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    package, inner = types.ModuleType("liger_kernel"), types.ModuleType("liger_kernel.transformers")
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as parts

    norm = parts.Qwen2_5_VLRMSNorm

    def patch(**named: Any) -> None:
        calls.append(named)
        parts.Qwen2_5_VLRMSNorm = object  # as Liger does

    inner._apply_liger_kernel_to_instance = patch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "liger_kernel", package)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", inner)
    monkeypatch.setattr("gmner.models.loading.uses_liger", lambda wanted, device: wanted == "on")
    model = load_backbone(backbone, FP32, CPU, liger="on")
    assert parts.Qwen2_5_VLRMSNorm is norm
    load_backbone(backbone, FP32, CPU)
    assert [call.pop("model") for call in calls] == [model]
    assert calls == [kernels.LIGER] and kernels.LIGER["rms_norm"] and not kernels.LIGER["fused_linear_cross_entropy"]


def test_yaml_s_on_and_off_are_words() -> None:
    assert TrainSettings(liger=True).liger == "on" and TrainSettings(liger=False).liger == "off"  # type: ignore[arg-type]


def images(sides: list[tuple[int, int]], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    grid = torch.tensor([[1, height, wide] for height, wide in sides])
    return torch.randn(int(grid.prod(1).sum()), width, generator=generator), grid


def test_windows_of_all_images_at_once_give_the_same_features(backbone: Path) -> None:
    visual = load_backbone(backbone, FP32, CPU).model.visual
    visual.fullatt_block_indexes = []  # windows in every layer
    pixels, grid = images([(10, 14), (18, 6), (8, 8)], 3 * 2 * 14 * 14)
    with torch.inference_mode():
        expected = visual(pixels, grid_thw=grid).pooler_output
        seen: list[list[int]] = []

        def spy(query: Any, key: Any, value: Any, borders: torch.Tensor, scale: float) -> torch.Tensor:
            seen.append((borders[1:] - borders[:-1]).tolist())
            return tower.attend_windows(query, key, value, borders, scale)

        owner = types.SimpleNamespace(model=types.SimpleNamespace(visual=visual))
        assert tower.join_windows(owner, spy)
        found = visual(pixels, grid_thw=grid).pooler_output
    assert torch.allclose(found, expected, atol=1e-5)
    assert len(set(seen[0])) > 2 and sum(seen[0]) == len(pixels)


def test_on_a_gpu_the_tower_calls_one_kernel_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.nn.attention.varlen as varlen

    calls: list[tuple[int, int]] = []

    def kernel(query: Any, key: Any, value: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, *, scale: float) -> Any:
        assert cu_q.dtype == torch.int32 and query.is_contiguous() and scale == 0.5
        calls.append((max_q, max_k))
        lengths = (cu_q[1:] - cu_q[:-1]).tolist()
        return tower.attend_by_length(query.float(), key.float(), value.float(), lengths, scale).to(value.dtype)

    class OnGpu(torch.Tensor):
        device = types.SimpleNamespace(type="cuda")  # type: ignore[assignment]

    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    parts = [torch.randn(12, 2, 8, dtype=BF16) for _ in range(3)]
    borders = torch.tensor([0, 4, 4, 12])
    expected = tower.attend_by_length(*parts, [4, 0, 8], 0.5)
    found = tower.attend_windows(parts[0].as_subclass(OnGpu), parts[1], parts[2], borders, 0.5)
    assert calls == [(8, 8)] and torch.allclose(found.as_subclass(torch.Tensor).float(), expected.float(), atol=0.05)


def test_models_without_windows_are_left_alone() -> None:
    assert not tower.join_windows(types.SimpleNamespace(model=types.SimpleNamespace()))


def test_four_bits_without_the_package_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "bitsandbytes")
    assert quantization_config("none", BF16) is None
    with pytest.raises(ConfigError, match="package bitsandbytes is not installed"):
        quantization_config("nf4", BF16)
    with pytest.raises(ConfigError, match="'int3' is not one of none, nf4"):
        quantization_config("int3", BF16)


def test_a_merged_adapter_needs_whole_numbers() -> None:
    with pytest.raises(ValueError, match="merge is true and quantization is nf4"):
        GenerateSettings(merge=True, quantization="nf4")


def test_a_backbone_in_full_numbers_needs_no_preparation(backbone: Path) -> None:
    model = load_backbone(backbone, FP32, CPU)
    assert prepare_for_training(model, FP32) is model and any(w.requires_grad for w in model.parameters())


def test_four_bits_hold_the_language_model_alone(backbone: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = prepare_for_training(load_backbone(backbone, BF16, CPU, quantization="nf4"), BF16)
    weights = dict(model.named_parameters())
    small = {name for name, weight in weights.items() if type(weight).__name__ == "Params4bit"}
    layers = model.config.get_text_config().num_hidden_layers
    assert len(small) == 7 * layers and all("language_model.layers." in name for name in small)
    assert all(weight.dtype is BF16 for name, weight in weights.items() if name.startswith(KEPT_IN_FULL))
    assert weights["model.language_model.norm.weight"].dtype is FP32
    assert not any(weight.requires_grad for weight in weights.values())


@pytest.mark.slow
def test_an_adapter_is_trained_beside_four_bits_and_decodes_beside_four_bits_and_whole_numbers(
    backbone: Path,
    samples: list[Sample],
    make_targets: Callable[[int], pa.Table],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = pytest.importorskip("bitsandbytes.nn.modules")
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: False)  # its packing wants rows of 64 numbers and more
    prompt = PromptSettings("short", TYPES, True, FRAME)
    job = TrainJob(
        samples=[sample for sample in samples if sample.split == "train"],
        dev=[],
        targets=make_targets(1),
        backbone_dir=backbone,
        backbone={"id": "random", "revision": None, "manifest_sha256": "0"},
        prompt=prompt,
        train=TrainSettings(epochs=1, select="last", accumulation=1, quantization="nf4", gradient_checkpointing=True),
        generate=None,
        seed=1,
        scorer=None,
        identity={},
    )
    train_adapter(job, tmp_path / "work", tmp_path / "out")
    weights = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert all(weight.dtype is FP32 for weight in weights.values())
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)
    for quantization in ("nf4", "none"):
        generate = GenerateSettings(max_new_tokens=5, quantization=quantization)
        decoder = load_decoder(backbone, tmp_path / "out", prompt, generate)
        assert len(decoder.decode_batch(samples[:2])) == 2


def test_ligers_private_part_is_still_there() -> None:
    package = pytest.importorskip("liger_kernel.transformers")
    import inspect

    taken = inspect.signature(package._apply_liger_kernel_to_instance).parameters
    assert "model" in taken and any(part.kind is part.VAR_KEYWORD for part in taken.values())


def test_weights_are_placed_on_a_gpu_with_a_number(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 4 bits and several processes, a map to `cuda` without a number puts every model on the first card."""
    import transformers

    placed: list[Any] = []

    def stop(*rest: Any, **named: Any) -> Any:
        placed.append(named.get("device_map"))
        raise ValueError("seen")

    monkeypatch.setattr(transformers.AutoModelForImageTextToText, "from_pretrained", stop)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr("gmner.models.loading.attention_of", lambda *rest: "sdpa")
    monkeypatch.setattr("gmner.models.loading.uses_liger", lambda *rest: False)
    for device in (torch.device("cuda"), torch.device("cuda", 1)):
        with pytest.raises(DataError, match="seen"):
            load_backbone(backbone, BF16, device)
    assert placed == [{"": torch.device("cuda", 3)}, {"": torch.device("cuda", 1)}]
