"""Loading a backbone's folder, with or without an adapter, offline and by safetensors alone."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from gmner.errors import ConfigError, DataError
from gmner.models.families import seam_of_folder
from gmner.models.folder import verify_backbone
from gmner.models.kernels import apply_liger, attention_of, uses_liger
from gmner.models.quantization import quantization_config

PRECISIONS = ("auto", "bf16", "fp32")


def set_threads() -> None:
    """Let torch use as many threads as OMP_NUM_THREADS says; where it says nothing, torch decides."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        torch.set_num_threads(int(wanted))


def device_of() -> torch.device:
    """Return the device to work on: the first GPU where there is one, else the CPU."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """Return the number format that `precision` (auto, bf16, fp32) means on `device`.

    `auto` is bfloat16 on a GPU that has it and float32 elsewhere. Raises ConfigError for bf16 on a GPU without it.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: '{precision}' is not one of {', '.join(PRECISIONS)}")
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if precision == "bf16" and device.type == "cuda" and not has_bf16:
        raise ConfigError("precision: this GPU has no bfloat16; set precision to fp32 or auto")
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and has_bf16) else torch.float32


def load_backbone(
    folder: Path | str,
    dtype: torch.dtype,
    device: torch.device,
    attention: str = "auto",
    quantization: str = "none",
    liger: str = "off",
) -> Any:
    """Load a vision-language model from its folder onto `device`, in evaluation mode.

    `attention`, `quantization` and `liger` are settings of those names. Only safetensors are read, nothing is
    fetched and no code of the folder is run. Raises DataError if the folder is not a model's, and ConfigError
    for settings that this machine cannot follow.
    """
    from transformers import AutoModelForImageTextToText
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    # PEFT asks for it by its old name.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    place = Path(folder)
    if not (place / "config.json").exists():
        raise DataError(f"{place}: no config.json; expected a backbone's folder: run the backbone stage again")
    for weights in place.glob("*.safetensors"):
        weights.open("rb").close()  # the library calls one that may not be read missing
    seam = seam_of_folder(place)
    chosen, fused = attention_of(attention, device, dtype), uses_liger(liger, device)
    four_bits = quantization_config(quantization, dtype, seam.KEPT_IN_FULL)
    # Weights go to a GPU as they are read; those in 4 bits cannot be moved afterwards. A map needs the GPU's number:
    # with several processes each has another one.
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    placed = {"device_map": {"": device}} if device.type == "cuda" or four_bits is not None else {}
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(
            place,
            dtype=dtype,
            attn_implementation=chosen,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            **({} if four_bits is None else {"quantization_config": four_bits}),
            **placed,
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"{place}: no loadable vision-language model ({error}); run the backbone stage again"
        ) from error
    model.generation_config = _greedy(model.generation_config)
    if fused:
        apply_liger(model)
    loaded = (model if placed else model.to(device)).eval()
    seam.prepare_model(loaded, chosen)
    return loaded


def _greedy(found: Any) -> Any:
    """Return the settings of plain greedy decoding, with the model's own tokens that end and fill a row.

    The hub's generation_config.json samples and punishes repetition (1.05 for Qwen2.5-VL), which would change every
    answer that names an entity twice; `generate` takes whatever it finds there.
    """
    from transformers import GenerationConfig

    ids = {name: getattr(found, name, None) for name in ("eos_token_id", "pad_token_id", "bos_token_id")}
    return GenerationConfig(do_sample=False, **ids)


def add_adapter(model: Any, adapter_dir: Path | str, merge: bool) -> Any:
    """Put the LoRA weights of a run folder onto `model`; `merge` folds them into its weights (same answers, faster).

    Raises DataError if the folder holds no adapter in safetensors.
    """
    from peft import PeftModel

    place = Path(adapter_dir)
    check_adapter(place)
    tuned = PeftModel.from_pretrained(model, place, use_safetensors=True, local_files_only=True)
    return tuned.merge_and_unload().eval() if merge else tuned.eval()


def trainable_adapter(model: Any, adapter_dir: Path | str) -> Any:
    """Put the LoRA weights of a run folder onto `model` to train them further; the backbone stays frozen.

    The adapter's weights are float32 whatever the backbone's dtype: small updates would be lost otherwise. Raises
    DataError if the folder holds no adapter in safetensors.
    """
    from peft import PeftModel

    place = Path(adapter_dir)
    check_adapter(place)
    tuned = PeftModel.from_pretrained(model, place, is_trainable=True, use_safetensors=True, local_files_only=True)
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return tuned


def check_adapter(place: Path) -> None:
    """Raise DataError if `place` is not a run's folder with an adapter in safetensors."""
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        if not (place / name).exists():
            raise DataError(f"{place}: no {name}; expected a run's folder: run the train stage again")


def identity_of(folder: Path | str) -> dict[str, Any]:
    """Return what is known about a backbone's folder from its manifest: its id, revision and the manifest's digest.

    Raises DataError if the stage did not finish, and if a file has changed since.
    """
    from gmner.storage.files import sha256_of_file

    path = Path(folder) / "manifest.json"
    if not path.exists():
        raise DataError(f"{path}: missing; the backbone stage writes it last, so it did not finish: run it again")
    verify_backbone(Path(folder))
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return {
        "id": manifest.get("id"),
        "revision": manifest.get("revision"),
        "manifest_sha256": sha256_of_file(path),
    }
