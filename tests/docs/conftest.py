import json
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.tiny_training import FRAME, TYPES


@pytest.fixture
def example_files(tmp_path: Path) -> Path:
    """The folder in which the examples of docs/api.md run: gold and predictions of one tweet, and an image."""
    gold = tmp_path / "gold"
    (gold / "txt").mkdir(parents=True)
    (gold / "xml").mkdir()
    (gold / "txt" / "test.txt").write_text("IMGID:1\nMara\tB-PER\nKolen\tI-PER\nsings\tO\nin\tO\nOslo\tB-LOC\n")
    (gold / "xml" / "1.xml").write_text(
        "<annotation><size><width>200</width><height>100</height></size><object><name>Mara Kolen</name><bndbox>"
        "<xmin>10</xmin><ymin>10</ymin><xmax>60</xmax><ymax>90</ymax></bndbox></object></annotation>"
    )
    answer = "<answer>Mara Kolen|PER|[12,10,60,90]; Oslo|OTHER|None</answer>"
    (tmp_path / "predictions.jsonl").write_text(json.dumps({"image_id": "1", "output": answer}))
    Image.new("RGB", (200, 100), "white").save(tmp_path / "photo.jpg")
    return tmp_path


@pytest.fixture
def random_run(backbone: Path, example_files: Path) -> Path:
    """A finished run where docs/api.md expects one: fresh LoRA weights on the random backbone."""
    import torch
    from peft import get_peft_model

    from gmner.config.run import LoraSettings
    from gmner.models.adapter_folder import RunInfo, write_manifest
    from gmner.models.loading import identity_of, load_backbone
    from gmner.prompts.model import prompt_version
    from gmner.training.best_epoch import save_adapter
    from gmner.training.trainer import lora_config

    folder = example_files / "results" / "train" / "demo-gmner" / "full" / "seed42"
    folder.mkdir(parents=True)
    model = load_backbone(backbone, torch.float32, torch.device("cpu"))
    save_adapter(get_peft_model(model, lora_config(LoraSettings(), str(backbone))), folder, "random")
    known = {**identity_of(backbone), "folder": str(backbone)}
    RunInfo(FRAME, "short", prompt_version("short"), TYPES, True, known, {}).write(folder)
    write_manifest(folder)
    return folder
