"""Own data from other tools: Label Studio, COCO, and the configuration that `gmner init` writes."""

import json
from pathlib import Path

import pytest
from PIL import Image

from gmner.cli import main
from gmner.config.data import FolderDataset
from gmner.config.root import load_config_file
from gmner.core.records import Sample
from gmner.datasets.exchange import read_exchange
from gmner.datasets.samples import Folders, build_samples
from gmner.errors import DataError

TEXT = "(Ann Lee's) in Rome, Rome"


def rectangle(name: str, parent: str | None = None, **value: float) -> dict[str, object]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, **value}
    whole = {"id": name, "type": "rectanglelabels", "original_width": 600, "original_height": 400, "value": value}
    return whole if parent is None else {**whole, "parentID": parent}


def label(name: str, start: int, end: int, kind: str) -> dict[str, object]:
    return {"id": name, "type": "labels", "value": {"start": start, "end": end, "text": "", "labels": [kind]}}


def task(*result: object, image: str = "/data/upload/3/0a1b2c3d-a.jpg") -> dict[str, object]:
    return {"data": {"image": image, "text": TEXT}, "annotations": [{"result": list(result)}]}


RELATED = {"type": "relation", "from_id": "b2", "to_id": "t1"}
TASK = task(label("t2", 21, 25, "LOC"), label("t1", 1, 8, "PER"), rectangle("b1", "t1"), rectangle("b2", x=50), RELATED)
COCO = {
    "categories": [{"id": 1, "name": "PER"}, {"id": 2, "name": "LOC"}],
    "images": [{"id": 7, "file_name": "train/a.jpg", "caption": TEXT}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "mention": "Ann Lee", "bbox": [60, 80, 180, 160]},
        {"id": 2, "image_id": 7, "category_id": 1, "mention": "Ann Lee", "bbox": [300, 80, 180, 160]},
        {"id": 3, "image_id": 7, "category_id": 2, "attributes": {"mention": "Rome", "entity": 1}, "bbox": []},
        {"id": 4, "image_id": 7, "category_id": 2, "attributes": {"mention": "Rome", "entity": 2}},
    ],
}


def imported(tmp_path: Path, value: object) -> list[Sample]:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (600, 400)).save(tmp_path / "photos/a.jpg")
    (tmp_path / "export.json").write_text(json.dumps(value))
    words = [str(tmp_path / "export.json"), "--split", "train", "--out", str(tmp_path / "mine")]
    assert main(["import-data", *words, "--images", str(tmp_path / "photos")]) == 0
    assert main(["import-data", *words]) == 1  # nothing is overwritten
    return build_samples(FolderDataset(path=str(tmp_path / "mine")), "mine", Folders()).samples


def test_label_studio(tmp_path: Path) -> None:
    (sample,) = imported(tmp_path, [TASK])
    assert sample.tokens == ("(", "Ann", "Lee", "'s)", "in", "Rome,", "Rome")
    assert [(e.mention, e.type, e.boxes) for e in sample.entities] == [
        ("Ann Lee", "PER", ((60, 80, 240, 240), (300, 80, 480, 240))),
        ("Rome", "LOC", ()),
    ]
    assert sample.entities[1].start == 6


def test_coco(tmp_path: Path) -> None:
    (sample,) = imported(tmp_path, COCO)
    assert [(e.mention, e.start, e.boxes) for e in sample.entities] == [
        ("Ann Lee", 1, ((60, 80, 240, 240), (300, 80, 480, 240))),
        ("Rome", 5, ()),
        ("Rome", 7, ()),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "expected Label Studio's list of tasks"),
        ([], "expected Label Studio's list of tasks"),
        ([TASK, {"data": {}}], "task 2: has no 'image'"),
        ([task(label("t", 0, 99, "PER")), 3], "task 2: "),
        ([task(label("t", 9, 9, "PER"))], "task 1: characters 9 to 9 of the text hold no word"),
        ([task(rectangle("b"))], "1 rectangles belong to no labelled words"),
        ([task(label("t", 1, 4, "PER"), rectangle("b", "t", rotation=5))], "a rectangle is rotated"),
        ([{**TASK, "annotations": [{"result": []}, {"result": []}]}], "it has 2 annotations; keep one"),
        ({**COCO, "annotations": [{"image_id": 7, "category_id": 1}]}, "image 7: annotation 1 has no 'mention'"),
        ({**COCO, "annotations": [{"image_id": 8, "category_id": 1}]}, "image 8 is not among the images"),
        (
            {**COCO, "annotations": [{"image_id": 7, "category_id": 1, "mention": "An"}]},
            "the mention 'An' is not among the words",
        ),
        ({**COCO, "images": [{"id": 7, "file_name": "a.jpg"}]}, "image 7: has no 'text'"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, value: object, message: str) -> None:
    (tmp_path / "export.json").write_text(json.dumps(value))
    with pytest.raises(DataError) as error:
        read_exchange(tmp_path / "export.json")
    assert "export.json" in str(error.value) and message in str(error.value)


@pytest.mark.parametrize("tiny", [True, False])
def test_init_writes_a_configuration_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: bool) -> None:
    imported(tmp_path, [TASK])
    monkeypatch.chdir(tmp_path)
    words = ["init", "own", "--path", "mine", *(["--tiny"] if tiny else [])]
    assert main(words) == 0
    config = load_config_file("own.yaml")
    dataset = config.datasets["own"]
    assert dataset.path == "mine" and dataset.types == ("PER", "LOC")  # type: ignore[union-attr]
    assert set(config.runs) == {"untuned", "full"} and config.runs["full"].train.select == "last"
    assert main(words) == 1  # nothing is overwritten
    assert main(["init", "other"]) == 1 and main(["init", "../x"]) == 1


def test_init_knows_tagged_tweets_with_fine_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "dev", "test"):
        Path("data/own").mkdir(parents=True, exist_ok=True)
        Path(f"data/own/{split}.txt").write_text("IMGID:a\nKew\tB-location\tB-park\n")
    assert main(["init", "own"]) == 0
    dataset = load_config_file("own.yaml").datasets["own"]
    assert dataset.fine and dataset.labels == ("park",)
