"""Real photographs, and images of every odd kind, through `gmner annotate` with a random model."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import skimage
from PIL import Image

from gmner.cli import main
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.generation.decode import Decoder, Output
from gmner.models.adapter_folder import RunInfo, write_manifest
from gmner.prompts.model import prompt_version
from gmner.reporting.annotate import annotate, draw_records, load_run
from gmner.storage.files import read_json
from tests.helpers.tiny_training import FRAME, TYPES

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "rocket.jpg", "camera.png", "chelsea.png", "retina.jpg")
ANSWER = (
    "<think>Two are seen.</think>"
    "<answer>Anna|PER|[10,20,60,80]; Oslo|LOC|None; B|PER|[[1,2,30,40],[50,60,70,80]]</answer>"
)


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


@pytest.fixture(scope="module")
def decoder(run_dir: Path) -> Decoder:
    return load_run(run_dir, max_new_tokens=4)


def photograph(name: str) -> Path:
    return Path(skimage.__file__).parent / "data" / name


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_real_photographs_pass(decoder: Decoder, name: str) -> None:
    found = annotate(decoder, photograph(name), "Eileen Collins at NASA &amp; more ☕")
    assert found.text == "Eileen Collins at NASA & more ☕"
    assert found.size_wh == Image.open(photograph(name)).size
    assert found.finish_reason == "length" and found.problems


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "CMYK", "P", "1", "I;16"])
def test_images_of_every_mode_pass(decoder: Decoder, mode: str, tmp_path: Path) -> None:
    image = Image.open(photograph("astronaut.png")).resize((90, 70))
    path = tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png")
    if mode == "I;16":
        Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 200).save(path)
    else:
        image.convert(mode).save(path)
    assert annotate(decoder, path, "hello").size_wh == (90, 70)


def test_a_turned_photograph_counts_in_the_upright_frame(decoder: Decoder, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.open(photograph("coffee.png")).save(path, exif=exif)
    assert annotate(decoder, path, "coffee").size_wh == (400, 600)


def test_an_impossible_request_is_an_error(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the text is empty"):
        annotate(decoder, photograph("coffee.png"), " \n ")
    Image.new("RGB", (3, 900)).save(tmp_path / "line.png")
    with pytest.raises(DataError, match="too elongated"):
        annotate(decoder, tmp_path / "line.png", "x")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    assert annotate(decoder, tmp_path / "dot.png", "x").size_wh == (1, 1)


def scripted(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def decode(self: Decoder, samples: list[Sample], bank: object = None) -> list[Output]:
        return [Output(sample.sample_id, text, 1, 1, "stop") for sample in samples]

    monkeypatch.setattr(Decoder, "decode_batch", decode)


def test_entities_are_printed_as_json_with_boxes_of_the_image_and_drawn(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(monkeypatch, ANSWER)
    path = photograph("coffee.png")
    width, height = FRAME.model_size((600, 400))
    drawing = tmp_path / "drawn.png"
    command = [
        "annotate",
        "--run",
        str(run_dir),
        "--image",
        str(path),
        "--text",
        "Anna in Oslo",
        "--draw",
        str(drawing),
    ]
    assert main([*command, "--draw", str(drawing)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entity["mention"] for entity in found["entities"]] == ["Anna", "Oslo", "B"]
    expected = [10 * 600 / width, 20 * 400 / height, 60 * 600 / width, 80 * 400 / height]
    assert found["entities"][0]["boxes"][0] == pytest.approx(expected, abs=0.06)
    assert found["entities"][1]["boxes"] == [] and len(found["entities"][2]["boxes"]) == 2
    assert found["reasoning"] == "Two are seen." and found["image_size"] == [600, 400]
    drawn, plain = np.asarray(Image.open(drawing)), np.asarray(Image.open(path))
    assert drawn.shape[1] == 600 and drawn.shape[0] > 400
    x, y = round(expected[0]), round((expected[1] + expected[3]) / 2)
    assert (drawn[y, x] != plain[y, x]).any()
    assert (drawn[5, 590] == plain[5, 590]).all()


def test_labels_stay_inside_the_image() -> None:
    image = Image.new("RGB", (200, 100), "black")
    boxes = ((-5.0, -5.0, 3.0, 3.0), (195.0, 95.0, 230.0, 120.0), (50.0, 60.0, 40.0, 50.0))
    drawn = draw_records(image, [Record("Ærø Ω Ж", "LOC", boxes)])
    assert drawn.size == (200, 100) and np.asarray(drawn).any()


def test_a_missing_backbone_and_a_foreign_ending_are_named(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(monkeypatch, ANSWER)
    image = ["--image", str(photograph("coffee.png")), "--text", "x"]
    assert main(["annotate", "--run", str(run_dir), *image, "--draw", str(tmp_path / "x.txt")]) == 1
    assert "saved as .png, .jpg or .webp" in capsys.readouterr().err
    moved = tmp_path / "run"
    moved.mkdir()
    for path in run_dir.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    run = read_json(moved / "run.json")
    elsewhere = replace(
        RunInfo(FRAME, "short", run["prompt_version"], TYPES, True, {}, {}),
        backbone={**run["backbone"], "folder": str(tmp_path / "gone")},
    )
    elsewhere.write(moved)
    assert main(["annotate", "--run", str(moved), *image]) == 1
    assert "give its folder with --backbone" in capsys.readouterr().err
    backbone = SimpleNamespace(**run["backbone"]).folder
    assert main(["annotate", "--run", str(moved), "--backbone", backbone, *image]) == 0
