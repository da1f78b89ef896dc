"""A model ready to answer: the backbone, a run's adapter on it, and the question it was trained to answer."""

from pathlib import Path
from typing import Any

from gmner.errors import DataError
from gmner.generation.decode import Decoder
from gmner.models.adapter_folder import read_run
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.loading import add_adapter, device_of, dtype_of, identity_of, load_backbone, set_threads


def prompt_of_run(adapter: Path, backbone: Path) -> PromptSettings:
    """Return the question and the frame a run was trained with, from its folder and nowhere else.

    Raises DataError if `backbone` is not the one the run was trained on.
    """
    run = read_run(adapter)
    found = identity_of(backbone)
    if found["manifest_sha256"] != run.backbone["manifest_sha256"]:
        raise DataError(
            f"{backbone}: this is {found['id']} at {found['revision']}, but {adapter} was trained on "
            f"{run.backbone['id']} at {run.backbone['revision']}, or the files differ; give the run's own backbone"
        )
    return PromptSettings(run.prompt, run.types, run.cot, run.frame)


def load_decoder(backbone: Path, adapter: Path | None, prompt: PromptSettings, generate: Any) -> Decoder:
    """Return a decoder; `generate` is GenerateSettings, whose engine is not looked at here."""
    set_threads()
    device = device_of()
    dtype = dtype_of(generate.precision, device)
    model = load_backbone(backbone, dtype, device, generate.attention, generate.quantization)
    if adapter is not None:
        model = add_adapter(model, adapter, generate.merge)
    encoder = seam_of_folder(backbone).encoder(backbone, prompt)
    return Decoder(model, encoder, generate.batch_size, generate.max_new_tokens, generate.constrained)
