"""Each family on a random small model: frame, patches, positions, LoRA's layers, training and generation."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from gmner.config.model import LocalBackbone
from gmner.config.run import GenerateSettings, TrainSettings
from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.generation.load import load_decoder
from gmner.models.encoding import PromptSettings
from gmner.models.families import BACKBONE_FAMILIES, seam_of_folder
from gmner.models.qwen_vl.processor import load_processor
from gmner.training.stage import TrainJob, train_adapter
from tests.helpers.small_models import small_model
from tests.helpers.tiny_training import TYPES

FRAME = Frame("norm1000", 4 * 32 * 32, 16 * 32 * 32, 32)
NEWER = ("qwen3-vl", "qwen3.5")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> dict[str, Path]:
    made = {family: small_model(family, tmp_path_factory.mktemp(family)) for family in NEWER}
    return {"qwen2.5-vl": backbone, **made}


def frame_of(family: str) -> Frame:
    found = BACKBONE_FAMILIES[family]
    return Frame(found.coordinates, 4 * found.factor**2, 16 * found.factor**2, found.factor)


def test_there_is_a_small_model_of_every_family(folders: dict[str, Path]) -> None:
    assert folders.keys() == BACKBONE_FAMILIES.keys()


@pytest.mark.parametrize("family", BACKBONE_FAMILIES)
def test_the_folder_says_its_family_and_the_family_its_frame(folders: dict[str, Path], family: str) -> None:
    found = LocalBackbone(path=str(folders[family]))
    assert found.family == family and found.frame.coordinates == BACKBONE_FAMILIES[family].coordinates
    assert found.frame.max_pixels == 1024 * found.frame.factor**2


@pytest.mark.parametrize("family", NEWER)
def test_patches_and_normalisation_are_the_backbones_and_limits_the_frames(
    folders: dict[str, Path], backbone: Path, family: str
) -> None:
    images = load_processor(folders[family], FRAME).image_processor
    assert (images.patch_size, images.merge_size) == (16, 2) and list(images.image_mean) == [0.5] * 3
    assert dict(images.size) == {"shortest_edge": FRAME.min_pixels, "longest_edge": FRAME.max_pixels}
    with pytest.raises(ConfigError, match=r"frame\.factor is 28, but a visual token of .* is 32 pixels wide"):
        load_processor(folders[family], Frame("norm1000", 4000, 40000, 28))
    with pytest.raises(ConfigError, match=r"set frame\.factor: 28"):
        load_processor(backbone, FRAME)


@pytest.mark.parametrize("family", BACKBONE_FAMILIES)
def test_bytes_of_patches_stand_for_the_very_pixels(
    folders: dict[str, Path], family: str, samples: list[Sample]
) -> None:
    prompt = PromptSettings("short", TYPES, True, frame_of(family))
    encoder = seam_of_folder(folders[family]).encoder(folders[family], prompt)
    for sample in samples[:3]:
        found = encoder.pixel_bytes(sample)
        assert found is not None and found.dtype is torch.uint8
        assert torch.equal(encoder.from_bytes(found), encoder.pixels(sample))
        assert found.nbytes * 8 == encoder.pixels(sample).nbytes


def test_a_begun_reasoning_of_the_template_is_left_to_the_completion(backbone: Path, samples: list[Sample]) -> None:
    prompt = PromptSettings("short", TYPES, True, frame_of("qwen2.5-vl"))
    encoder = seam_of_folder(backbone).encoder(backbone, prompt)
    template = encoder.processor.chat_template
    assert "assistant\n" in template
    found = []
    for begun in ("", "<think>\n", "<think>\n\n</think>\n\n"):
        other = seam_of_folder(backbone).encoder(backbone, prompt)
        ending = "{{ " + repr("\n" + begun) + " }}"
        other.processor.chat_template = template.replace("assistant\n", "assistant" + ending)
        found.append(other.chats(samples[:2]))
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
@pytest.mark.parametrize("family", NEWER)
def test_it_trains_with_positions_in_three_axes_and_batches_of_one_and_of_four_answer_alike(
    folders: dict[str, Path],
    family: str,
    samples: list[Sample],
    make_targets: Callable[[int], pa.Table],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import transformers.models.qwen3_5.modeling_qwen3_5 as newest
    import transformers.models.qwen3_vl.modeling_qwen3_vl as newer

    seen: list[torch.Tensor] = []
    for owner in (newest.Qwen3_5TextModel, newer.Qwen3VLTextModel):
        plain_forward = owner.forward

        def spy(self: object, *rest: object, __of: object = plain_forward, **named: object) -> object:
            seen.append(named["position_ids"].clone())  # type: ignore[attr-defined]
            return __of(self, *rest, **named)  # type: ignore[operator]

        monkeypatch.setattr(owner, "forward", spy)
    prompt = PromptSettings("standard", TYPES, True, FRAME)
    job = TrainJob(
        samples=[sample for sample in samples if sample.split == "train"],
        dev=[],
        targets=make_targets(1),
        backbone_dir=folders[family],
        backbone={"id": f"random-{family}", "revision": None},
        prompt=prompt,
        train=TrainSettings(epochs=1, accumulation=1, select="last", learning_rate=5e-2, max_length=4096),
        generate=None,
        seed=1,
        scorer=None,
        identity={},
    )
    train_adapter(job, tmp_path / "work", tmp_path / "out")
    assert seen and all(len(found) == 3 and not torch.equal(found[0], found[1]) for found in seen)
    changed = {name.split(".")[-3] for name in load_file(tmp_path / "out" / "adapter_model.safetensors")}
    wanted = set(BACKBONE_FAMILIES[family].lora_targets)
    assert changed == wanted, "every layer that the family names, and no other"
    seen.clear()
    found = []
    for adapter, size in ((None, 4), (tmp_path / "out", 1), (tmp_path / "out", 4)):
        settings = GenerateSettings(batch_size=size, max_new_tokens=8, precision="fp32")
        decoder = load_decoder(folders[family], adapter, prompt, settings)
        found.append({output.sample_id: output for batch in decoder.decode(samples[:4]) for output in batch})
    plain, one, four = found
    assert one == four and one != plain
    prefills = [positions for positions in seen if positions.shape[2] > 1]
    assert prefills and all(not torch.equal(positions[0], positions[1]) for positions in prefills)
