from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from gmner.models.adapter_folder import RunInfo, write_manifest
from gmner.prompts.model import prompt_version
from tests.helpers.tiny_training import FRAME, TYPES


@pytest.fixture(scope="module")
def run_dir(backbone: Path, make_targets: Callable[[int], pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: fresh LoRA weights on the random backbone."""
    import torch
    from peft import get_peft_model

    from gmner.config.run import LoraSettings
    from gmner.models.loading import identity_of, load_backbone
    from gmner.training.best_epoch import save_adapter
    from gmner.training.trainer import lora_config

    folder = tmp_path_factory.mktemp("run")
    model = load_backbone(backbone, torch.float32, torch.device("cpu"))
    save_adapter(get_peft_model(model, lora_config(LoraSettings(), str(backbone))), folder, "random")
    known = {**identity_of(backbone), "folder": str(backbone)}
    RunInfo(FRAME, "short", prompt_version("short"), TYPES, True, known, {}).write(folder)
    write_manifest(folder)
    return folder
