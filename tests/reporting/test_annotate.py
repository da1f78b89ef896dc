"""Real photographs, and images of every odd kind, through `gmner annotate` with a random model."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import skimage
from PIL import Image

from gmner.cli import main
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.generation.decode import Decoder, Output
from gmner.models.adapter_folder import RunInfo
from gmner.reporting.annotate import annotate, draw_records, load_adapter
from gmner.reporting.annotate.requests import read_requests
from gmner.storage.files import read_json
from tests.helpers.tiny_training import FRAME, TYPES

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "rocket.jpg", "camera.png", "chelsea.png", "retina.jpg")
ANSWER = (
    "<think>Two are seen.</think>"
    "<answer>Anna|PER|[10,20,60,80]; Oslo|LOC|None; B|PER|[[1,2,30,40],[50,60,70,80]]</answer>"
)


@pytest.fixture(scope="module")
def decoder(run_dir: Path) -> Decoder:
    return load_adapter(run_dir, max_new_tokens=4)


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
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entity["mention"] for entity in found["entities"]] == ["Anna", "Oslo", "B"]
    expected = [10 * 600 / width, 20 * 400 / height, 60 * 600 / width, 80 * 400 / height]
    assert found["entities"][0]["boxes"][0] == pytest.approx(expected, abs=0.06)
    assert found["entities"][0]["end"] == 1 and found["entities"][1]["char_start"] == 8
    assert found["entities"][2]["start"] is None and "not_in_text" in [p["code"] for p in found["problems"]]
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


def test_two_images_are_an_error(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = ["--image", str(photograph("coffee.png"))]
    with pytest.raises(SystemExit):
        main(["annotate", "--run", str(run_dir), *image, *image, "--text", "x"])
    assert "--image is given twice; for many images give a table or a folder" in capsys.readouterr().err
    assert main(["annotate", "--run", str(run_dir), *image]) == 1
    assert "--image and --text belong together" in capsys.readouterr().err


def rows_of(folder: Path) -> list[dict[str, str]]:
    names = ("coffee.png", "chelsea.png", "rocket.jpg")
    for name in names:
        (folder / name).write_bytes(photograph(name).read_bytes())
        (folder / name).with_suffix(".txt").write_text("Anna in Oslo")
    return [{"id": f"t{n}", "image": name, "text": "Anna in &amp; Oslo"} for n, name in enumerate(names)]


def annotated(run_dir: Path, source: str, out: Path, *more: str) -> list[dict[str, Any]]:
    assert main(["annotate", "--run", str(run_dir), source, "--out", str(out), *more]) == 0
    if out.suffix == ".parquet":
        return pa.parquet.read_table(out).to_pylist()
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_every_form_of_many_gives_the_same(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(monkeypatch, ANSWER)
    folder = tmp_path / "in"
    folder.mkdir()
    rows = rows_of(folder)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "a.jsonl").write_text(lines)
    pd.DataFrame(rows).to_csv(folder / "a.csv", index=False)
    pd.DataFrame(rows).to_parquet(folder / "a.parquet")
    drawings = tmp_path / "drawings"
    found = annotated(run_dir, str(folder / "a.jsonl"), tmp_path / "o.jsonl", "--draw", str(drawings))
    assert [one["id"] for one in found] == ["t0", "t1", "t2"] and len(list(drawings.iterdir())) == 3
    assert found[0]["text"] == "Anna in & Oslo" and found[0]["entities"][1]["char_end"] == 14
    assert annotated(run_dir, str(folder / "a.csv"), tmp_path / "c.jsonl") == found
    assert annotated(run_dir, str(folder / "a.parquet"), tmp_path / "p.parquet") == found
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    piped = annotated(run_dir, "-", tmp_path / "s.jsonl")
    assert [one["entities"] for one in piped] == [one["entities"] for one in found]
    beside = annotated(run_dir, str(folder), tmp_path / "f.jsonl")
    assert sorted(one["id"] for one in beside) == ["chelsea.png", "coffee.png", "rocket.jpg"]
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".work")]


def test_an_image_that_cannot_be_read_has_a_row_that_says_so(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, ANSWER)
    rows = [*rows_of(tmp_path), {"image": "gone.png", "text": "x"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = annotated(run_dir, str(tmp_path / "a.jsonl"), tmp_path / "o.jsonl")
    assert len(found) == 4 and found[3]["entities"] == [] and found[3]["image_size"] is None
    assert found[3]["problems"][0]["code"] == "unreadable_image" and "gone.png" in found[3]["problems"][0]["detail"]


def test_a_killed_annotation_resumes(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(tmp_path)))
    asked: list[str] = []

    def decode(self: Decoder, samples: list[Sample], bank: object = None) -> list[Output]:
        if len(asked) == 2:
            asked.append("stopped")
            raise KeyboardInterrupt
        asked.extend(sample.sample_id for sample in samples)
        return [Output(sample.sample_id, ANSWER, 1, 1, "stop") for sample in samples]

    monkeypatch.setattr(Decoder, "decode_batch", decode)
    command = ["annotate", "--run", str(run_dir), str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "o.jsonl")]
    assert main([*command, "--batch-size", "1"]) == 130 and not (tmp_path / "o.jsonl").exists()
    assert main([*command, "--batch-size", "1"]) == 0
    assert len(asked) == 4 and sorted(set(asked)) == ["stopped", "t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"image": "a.png"}', "a.jsonl:1: no text; found the keys image, expected image"),
        ('{"text": "a"}', "a.jsonl:1: no image"),
        ("[1]", "a.jsonl:1: found list, expected an object"),
        ("{", "a.jsonl:1: not JSON"),
        ('{"image": "a.png", "text": " "}', "a.jsonl:1: the text is empty"),
        (
            '{"id": 1, "image": "a", "text": "b"}\n{"id": 1, "image": "a", "text": "b"}',
            "a.jsonl:2: the id '1' is that of",
        ),
        ("", "nothing to annotate"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(DataError, match=re.escape(said)):
        read_requests(str(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("words", [["--engine", "vllm"], ["--constrained"]], ids=["vllm", "constrained"])
def test_engine_and_constraint_reach_the_decoder(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    scripted(monkeypatch, ANSWER)
    asked: list[Any] = []

    place = "gmner.generation.vllm.load_vllm" if "vllm" in words else "gmner.reporting.annotate.annotation.load_decoder"
    real = load_adapter(run_dir)
    monkeypatch.setattr(place, lambda *given: (asked.append(given[3]), real)[1])
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of(tmp_path)))
    assert len(annotated(run_dir, str(tmp_path / "a.jsonl"), tmp_path / "o.jsonl", *words)) == 3
    assert (asked[0].engine, asked[0].constrained) == (("vllm", False) if "vllm" in words else ("transformers", True))
