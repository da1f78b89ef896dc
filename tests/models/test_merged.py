"""An adapter folded in for a while: the same answers, and the weights afterwards to the last bit."""

from pathlib import Path

import pytest
import torch
from peft import get_peft_model

from gmner.config.run import LoraSettings
from gmner.core.records import Sample
from gmner.generation.decode import Decoder
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.loading import load_backbone
from gmner.models.merged import merged
from gmner.training.trainer import lora_config
from tests.helpers.tiny_training import FRAME, TYPES


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_back_to_the_last_bit_and_answers_are_the_same(
    backbone: Path, samples: list[Sample], dtype: torch.dtype
) -> None:
    base = load_backbone(backbone, dtype, torch.device("cpu"))
    model = get_peft_model(base, lora_config(LoraSettings(r=4), str(backbone))).eval()
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.3)
    encoder = seam_of_folder(backbone).encoder(backbone, PromptSettings("short", TYPES, True, FRAME))
    decoder = Decoder(model, encoder, 4, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    apart = decoder.decode_batch(samples[:4])
    with merged(model):
        folded = decoder.decode_batch(samples[:4])
        changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
        assert changed and all(".base_layer.weight" in name for name in changed)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    if dtype is torch.float32:
        assert folded == apart
    assert decoder.decode_batch(samples[:4]) == apart


def test_an_error_while_decoding_puts_the_weights_back(backbone: Path) -> None:
    base = load_backbone(backbone, torch.float32, torch.device("cpu"))
    model = get_peft_model(base, lora_config(LoraSettings(r=4), str(backbone))).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt), merged(model):
        raise KeyboardInterrupt
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with merged(model), merged(model):  # a second time changes nothing
        pass
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
