"""`gmner export`: a run's adapter (or the merged model), its processor, its question and its card in one folder."""

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from gmner.errors import ConfigError, DataError
from gmner.generation.load import prompt_of_run
from gmner.models.adapter_folder import RUN_FILE, RunInfo, read_run
from gmner.models.families import seam_of_folder
from gmner.models.loading import add_adapter, dtype_of, load_backbone
from gmner.prompts.model import build_messages
from gmner.reporting.publish.card import model_card
from gmner.storage.files import write_json, write_text

_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_WEIGHTS = ("config.json", "generation_config.json")


def export_run(run_dir: Path, backbone: Path, out: Path, merge: bool = False) -> None:
    """Write a folder that `AutoTokenizer`, `AutoImageProcessor` and peft load, with README.md and use.py.

    Raises ConfigError if `out` holds anything, DataError if the run and the backbone do not belong together.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: not empty; name a new folder with --out")
    run, prompt = read_run(run_dir), prompt_of_run(run_dir, backbone)
    out.mkdir(parents=True, exist_ok=True)
    processor = seam_of_folder(backbone).encoder(backbone, prompt).processor
    processor.tokenizer.save_pretrained(out)
    processor.image_processor.save_pretrained(out)
    write_text(out / "chat_template.jinja", processor.chat_template)
    _add_processor_class(out / "preprocessor_config.json")
    if merge:
        model = load_backbone(backbone, dtype_of("auto", torch.device("cpu")), torch.device("cpu"))
        add_adapter(model, run_dir, merge=True).save_pretrained(out, safe_serialization=True)
    else:
        for name in _ADAPTER:
            shutil.copyfile(run_dir / name, out / name)
        _name_base(out / "adapter_config.json", run)
    shutil.copyfile(run_dir / RUN_FILE, out / RUN_FILE)
    messages = build_messages(run.prompt, run.types, "{text}", run.cot, run.frame.coordinates)
    about = {
        "adapter": not merge,
        "base": None if merge else _hub_id(run),
        "revision": None if merge else run.backbone.get("revision"),
        "messages": messages,
        "frame": run.frame.to_json(),
        "types": list(run.types),
        "prompt_version": run.prompt_version,
    }
    write_json(out / "gmner.json", about)
    write_text(out / "use.py", resources.files("gmner.reporting.publish").joinpath("use.py.txt").read_text("utf-8"))
    write_text(out / "README.md", model_card(run, run_dir, merge))


def _hub_id(run: RunInfo) -> str | None:
    """Return the backbone's name on the hub, None if it is only a folder here."""
    name = str(run.backbone.get("id") or "")
    return name if "/" in name and not Path(name).exists() else None


def _name_base(path: Path, run: RunInfo) -> None:
    """Name the backbone by its hub id: a path of the machine that trained it leads nowhere elsewhere."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found["base_model_name_or_path"] = _hub_id(run) or str(run.backbone.get("id") or "")
    found["revision"] = run.backbone.get("revision")
    write_json(path, found)


def _add_processor_class(path: Path) -> None:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    write_json(
        path, {**found, "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor"}
    )


def push(folder: Path, name: str, private: bool = True) -> str:
    """Upload an exported folder to the hub as ORG/NAME (the token comes from HF_TOKEN); return its address."""
    if name.count("/") != 1 or not all(name.split("/")):
        raise ConfigError(f"--push {name}: expected ORG/NAME")
    if not (folder / "README.md").exists():
        raise DataError(f"{folder}: no README.md; expected a folder that gmner export wrote")
    from huggingface_hub import HfApi

    api = HfApi()
    made = api.create_repo(name, private=private, exist_ok=True)
    api.upload_folder(repo_id=name, folder_path=str(folder), commit_message="gmner export")
    return str(made)
