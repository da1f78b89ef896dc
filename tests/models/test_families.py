"""Families are told apart by config.json, named in the configuration, and refused by name."""

import json
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from gmner.cli import main
from gmner.config.model import HubBackbone, LocalBackbone, TinyBackbone
from gmner.config.run import GenerateSettings
from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.models import families
from gmner.models.families import BACKBONE_FAMILIES, BackboneFamily, seam_of_folder
from gmner.models.seam import Seam
from gmner.training.stage import train_adapter
from tests.helpers.training_jobs import small_job

REVISION = "0" * 40


def test_a_hub_model_has_the_frame_of_the_family_that_is_named() -> None:
    plain = HubBackbone(id="Qwen/Qwen2.5-VL-7B-Instruct", revision=REVISION)
    assert plain.family == "qwen2.5-vl" and plain.frame.coordinates == "absolute" and plain.frame.factor == 28
    newer = HubBackbone(id="someone/renamed", revision=REVISION, family="qwen3-vl")
    assert newer.frame.coordinates == "norm1000" and newer.frame.factor == 32
    kept = HubBackbone.model_validate(
        {"id": "a/b", "revision": REVISION, "family": "qwen3-vl", "frame": {"max_pixels": 300_000}}
    )
    assert kept.frame.max_pixels == 300_000 and kept.frame.min_pixels == 256 * 32 * 32


@pytest.mark.parametrize("name", ["Qwen/Qwen3-VL-8B-Instruct", "qwen/QWEN3.5-9B"])
def test_a_hub_id_only_suggests(name: str) -> None:
    with pytest.raises(ValueError, match=r"looks like a model of the family qwen3.*say family: qwen3"):
        HubBackbone(id=name, revision=REVISION)
    assert HubBackbone(id=name, revision=REVISION, family="qwen2.5-vl").frame.coordinates == "absolute"


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"family 'qwen3_vl' is not known; did you mean 'qwen3-vl'\? \(known: qwen2"):
        HubBackbone(id="a/b", revision=REVISION, family="qwen3_vl")


def test_a_local_folder_is_what_its_config_says(backbone: Path, tmp_path: Path) -> None:
    assert LocalBackbone(path=str(backbone)).family == "qwen2.5-vl"
    with pytest.raises(ValueError, match=r"family 'qwen2\.5-vl', but the configuration says 'qwen3-vl'"):
        LocalBackbone(path=str(backbone), family="qwen3-vl")
    assert LocalBackbone(path=str(tmp_path / "later"), family="qwen3-vl").frame.factor == 32
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ValueError, match=r"config\.json: model_type 'llama' belongs to no family.*known: qwen2\.5-vl"):
        LocalBackbone(path=str(tmp_path))
    assert TinyBackbone().frame.max_pixels == 19600


def stage(tmp_path: Path, source: Path, **more: Any) -> int:
    settings = {"name": "x", "backbone": {"kind": "hub", "id": "a/b", "revision": REVISION, "mirror": str(source)}}
    settings["backbone"] |= more  # type: ignore[operator]
    return main(["stage", "backbone", "--settings", json.dumps(settings), "--out-dir", str(tmp_path / "out")])


def test_the_backbone_stage_refuses_another_family(
    backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage(tmp_path, backbone, family="qwen3-vl") == 1
    assert "set the backbone's family: qwen2.5-vl" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()
    strange = tmp_path / "strange"
    shutil.copytree(backbone, strange)
    (strange / "config.json").write_text(json.dumps({"model_type": "llava"}))
    assert stage(tmp_path, strange) == 1
    assert "model_type 'llava' belongs to no family" in capsys.readouterr().err


TEXT_ONLY = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ 'x' + m.content }}<|im_end|>\n{% endfor %}"
SILENT = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"


@pytest.fixture
def hub_shaped(backbone: Path, tmp_path: Path) -> Path:
    """A folder as the hub has it: a text-only template at the tokenizer, the images' in chat_template.json alone."""
    folder = tmp_path / "hub-shaped"
    shutil.copytree(backbone, folder)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "chat_template": TEXT_ONLY}), encoding="utf-8")
    return folder


def test_the_template_is_looked_for_as_transformers_does(hub_shaped: Path, backbone: Path, tmp_path: Path) -> None:
    assert stage(tmp_path, hub_shaped) == 0
    from gmner.core.frame import Frame

    small = Frame("absolute", 4 * 28 * 28, 16 * 28 * 28)
    found = seam_of_folder(tmp_path / "out").load_processor(tmp_path / "out", small)
    assert found.chat_template == seam_of_folder(backbone).load_processor(backbone, small).chat_template


@pytest.mark.slow
def test_a_hub_shaped_folder_trains_and_answers_greedily(
    hub_shaped: Path, samples: list[Sample], make_targets: Callable[[int], pa.Table], tmp_path: Path
) -> None:
    from gmner.generation.load import load_decoder

    told = {"do_sample": True, "temperature": 0.1, "repetition_penalty": 1.05, "eos_token_id": [2, 0]}
    (hub_shaped / "generation_config.json").write_text(json.dumps(told), encoding="utf-8")
    assert stage(tmp_path, hub_shaped) == 0
    job = small_job(tmp_path / "out", samples, make_targets(2))
    train_adapter(job, tmp_path / "work", tmp_path / "run")
    settings = GenerateSettings(max_new_tokens=12, precision="fp32")
    decoder = load_decoder(tmp_path / "out", tmp_path / "run", job.prompt, settings)
    for output, sample in zip(decoder.decode_batch(samples[:2]), samples, strict=False):
        ids = torch.tensor(decoder.encoder.prompts([sample])[0], dtype=torch.long)[None]
        written = decoder.model.generate(
            input_ids=ids,
            mm_token_type_ids=(ids == decoder.encoder.image_token_id).long(),
            pixel_values=decoder.encoder.pixels(sample),
            image_grid_thw=torch.tensor([decoder.encoder.grid_of(sample.size_wh)]),
            max_new_tokens=12,
        )[0, ids.shape[1] :].tolist()
        assert decoder.stop.text(written) == output.output, "generate itself has no penalty left"


@pytest.mark.parametrize("template", [TEXT_ONLY, SILENT, "{{ unclosed", "{{ raise_exception('no') }}"])
@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json", "chat_template.jinja"])
def test_a_template_that_takes_no_images_is_refused_with_its_file(
    hub_shaped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, template: str
) -> None:
    if name == "chat_template.jinja":
        (hub_shaped / name).write_text(template, encoding="utf-8")
    elif name == "chat_template.json":
        (hub_shaped / name).write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    else:
        (hub_shaped / "chat_template.json").unlink()
        path = hub_shaped / name
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, "chat_template": template}), encoding="utf-8")
    assert stage(tmp_path, hub_shaped) == 1
    said = capsys.readouterr().err
    assert f"{name}: this chat template cannot take images" in said
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_damaged_template_file_is_named(hub_shaped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (hub_shaped / "chat_template.json").write_text("{", encoding="utf-8")
    assert stage(tmp_path, hub_shaped) == 1
    assert "chat_template.json: no JSON with a 'chat_template'" in capsys.readouterr().err


def test_a_family_is_added_as_the_guide_says(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/extending.md, 'Add a backbone family': one module that satisfies the seam, one entry."""
    from gmner.models.qwen_vl import seam as known

    dummy = types.ModuleType("dummy_family.seam")
    for name in (*(part for part in vars(Seam) if not part.startswith("_")), "KEPT_IN_FULL"):
        setattr(dummy, name, getattr(known, name))
    monkeypatch.setitem(sys.modules, "dummy_family.seam", dummy)
    entry = BackboneFamily(("dummy_vl",), "norm1000", 28, "dummy_family.seam", r"dummy-?vl", ("q_proj",))
    monkeypatch.setitem(BACKBONE_FAMILIES, "dummy-vl", entry)
    assert HubBackbone(id="a/b", revision=REVISION, family="dummy-vl").frame.coordinates == "norm1000"
    folder = tmp_path / "dummy"
    shutil.copytree(backbone, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "dummy_vl"}), encoding="utf-8")
    assert LocalBackbone(path=str(folder)).family == "dummy-vl"
    assert seam_of_folder(folder) is dummy  # type: ignore[comparison-overlap]
    assert stage(tmp_path, folder, family="dummy-vl") == 0
    with pytest.raises(DataError, match="known: dummy-vl, qwen2"):
        families.seam_of("llava")
