"""What a user's folder may hold: files that are none, splits of other names, tweets twice, boxes in other units."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gmner.config.data import FolderDataset
from gmner.datasets.samples import Built, Folders, build_samples
from gmner.errors import DataError, GmnerError

TWEET = {"image": "a.jpg", "text": "Ann met Ann Lee in Rome"}
VOC = "<annotation><object><name>Ann</name><bndbox>{}</bndbox></object></annotation>"
EDGES = "<xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>30</ymax>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    for name in ("images", "xml"):
        (place / name).mkdir(parents=True)
    Image.new("RGB", (600, 400)).save(place / "images/a.jpg")
    return place


def lines(folder: Path, *tweets: object, split: str = "train") -> None:
    text = "".join(f"{tweet if isinstance(tweet, str) else json.dumps(tweet)}\n" for tweet in tweets)
    (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def build(folder: Path, **settings: object) -> Built:
    return build_samples(FolderDataset(path=str(folder), **settings), "mine", Folders())  # type: ignore[arg-type]


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (os.mkfifo, "a named pipe"),
    "socket": (a_socket, "a socket"),
    "device": (a_device, "a device"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["train.jsonl", "train.txt", "xml/a.xml", "images/a.jpg"])
def test_what_is_no_file_is_refused_by_name(folder: Path, name: str, kind: str) -> None:
    make, words = SPECIAL[kind]
    if name == "xml/a.xml":
        (folder / "train.txt").write_text("IMGID:a\nAnn\tB-PER\n")
    elif name == "images/a.jpg":
        lines(folder, TWEET)
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(DataError) as error:
        build(folder)
    assert f"{folder / name}: is {words}, expected a file" in str(error.value)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.json", "train"),
        ("Train.jsonl", "train"),
        ("train.jsonl.gz", "train"),
        ("train.csv", "train"),
        ("val.jsonl", "dev"),
        ("validation.txt", "dev"),
        ("TEST.TXT", "test"),
    ],
)
def test_a_file_that_looks_like_a_missing_split_is_named(folder: Path, name: str, split: str) -> None:
    for other in {"train", "dev", "test"} - {split}:
        lines(folder, TWEET, split=other)
    (folder / name).write_text(json.dumps(TWEET))
    with pytest.raises(DataError, match=rf"{name}: looks like the split '{split}'.*expected {split}\.jsonl"):
        build(folder)


def test_all_that_is_malformed_in_all_files_is_listed_with_its_line(folder: Path) -> None:
    good = {**TWEET, "entities": [{"mention": "Rome", "type": "LOC"}]}
    bad = {**TWEET, "entities": [{"mention": "Rome", "type": "LOX"}]}
    lines(folder, good, bad, "{", good, {**TWEET, "imgae": "x"})
    (folder / "dev.txt").write_text("IMGID:a\nAnn\tB-PER\n\nIMGID:a\nAnn\tB-PRE\n\nIMGID:a\nAnn\n")
    (folder / "test.txt").write_text("IMGID:a\nAnn\tB-PER\n")
    (folder / "xml/a.xml").write_text(VOC.format(EDGES.replace("30", "0.5")))
    with pytest.raises(DataError) as error:
        build(folder)
    told = str(error.value).splitlines()
    places = [":".join(line.rpartition("/")[2].split(":")[:2]) for line in told[1:]]
    assert told[0] == "7 problems in the annotations:"
    assert places[:4] == ["train.jsonl:2", "train.jsonl:3", "train.jsonl:5", "dev.txt:8"]
    assert sorted(places[4:]) == ["a.xml:1", "a.xml:1", "dev.txt:4"]


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([0.1, 0.2, 0.5, 0.9], "normalised?"),
        ([0, 0, 1, 1], "normalised?"),
        ([10, 10, 10.5, 90], "thinner than a pixel: normalised?"),
        ([10, 10, 10, 90], "thinner than a pixel"),
        ([90, 10, 10, 90], "corners swapped"),
    ],
)
def test_a_box_in_other_units_is_an_error(folder: Path, box: list[float], words: str) -> None:
    lines(folder, TWEET, {**TWEET, "entities": [{"mention": "Rome", "type": "LOC", "boxes": [box]}]})
    with pytest.raises(DataError, match=r"train\.jsonl:2: entity 'Rome': the box") as error:
        build(folder)
    assert words in str(error.value)


def test_boxes_in_percent_are_noted(folder: Path) -> None:
    entity = {"mention": "Rome", "type": "LOC", "boxes": [[5, 5, 50 + n, 99] for n in range(5)]}
    lines(folder, {**TWEET, "entities": [entity]})
    assert build(folder).problems.count("boxes_in_percent") == 1
    entity["boxes"].append([5, 5, 599, 399])  # type: ignore[attr-defined]
    lines(folder, {**TWEET, "entities": [entity]})
    assert not build(folder).problems.count("boxes_in_percent")


def test_tweets_twice_are_counted_within_a_split_and_between_splits(folder: Path) -> None:
    other = {**TWEET, "text": "Bob in Oslo"}
    lines(folder, TWEET, TWEET, other)
    lines(folder, TWEET, {**TWEET, "text": "new"}, split="test")
    found = {problem["kind"]: problem for problem in build(folder).problems.to_json()}
    assert found["repeated_tweet"]["by_split"] == {"train": 1}
    assert found["repeated_tweet"]["examples"] == ["train: train.jsonl:2, before in train.jsonl:1"]
    assert found["shared_tweet"]["examples"] == ["test: test.jsonl:1, before in train.jsonl:1"]


def test_punctuation_is_split_off_on_request(folder: Path) -> None:
    entities = [{"mention": "Rome", "type": "LOC"}, {"mention": "U.S.", "type": "LOC"}]
    lines(folder, {"image": "a.jpg", "text": "(Rome's mayor), U.S., Rome.", "entities": entities})
    with pytest.raises(DataError, match="set split_punctuation: true"):
        build(folder)
    (sample,) = build(folder, split_punctuation=True).samples
    assert sample.tokens == ("(", "Rome", "'s", "mayor", ")", ",", "U.S.", ",", "Rome", ".")
    assert [(e.start, e.end) for e in sample.entities] == [(1, 2), (6, 7)]
    lines(folder, {"image": "a.jpg", "text": "Hi Rome!", "entities": [{"char_start": 3, "char_end": 7, "type": "LOC"}]})
    (sample,) = build(folder, split_punctuation=True).samples
    assert sample.entities[0].mention == "Rome"


@pytest.mark.parametrize("name", ["xml", "images"])
def test_a_folder_behind_a_link_is_read(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "test.txt").write_text("IMGID:a\nAnn\tB-PER\n")
    (folder / "xml/a.xml").write_text(VOC.format(EDGES))
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    (sample,) = build(folder).samples
    assert sample.entities[0].boxes == ((1, 2, 30, 30),)


HOSTILE = [
    b"\xef\xbb\xbf" + json.dumps(TWEET).encode() + b"\r\n",
    json.dumps(TWEET).encode()[:-5],
    json.dumps({**TWEET, "text": "é" * 3}, ensure_ascii=False).encode()[:-4],
    json.dumps({**TWEET, "text": "word " * 200_000}).encode(),
    json.dumps({**TWEET, "id": "../../x"}).encode(),
    json.dumps({**TWEET, "id": "a/b\n\x1b[31m"}).encode(),
    json.dumps({**TWEET, "image": "images/../a.jpg"}).encode(),
    json.dumps({**TWEET, "entities": [{"mention": "Rome", "type": "LOC", "boxes": [[1e999, 0, 1, 1]]}]}).encode(),
    json.dumps({**TWEET, "entities": [{"mention": "Rome", "type": "LOC", "boxes": [[[1, 2], 0, 1, 1]]}]}).encode(),
    json.dumps({**TWEET, "entities": [[1]]}).encode(),
    json.dumps({**TWEET, "entities": [{"start": True, "end": 1, "type": "PER"}]}).encode(),
    json.dumps({**TWEET, "entities": [{"start": -1, "end": 1, "type": "PER"}]}).encode(),
    json.dumps({**TWEET, "entities": [{"mention": 7, "type": {}}]}).encode(),
    json.dumps({**TWEET, "tokens": [1, None]}).encode(),
    b'{"image": "a.jpg", "text": "\xc3',
    b"\x00" * 100,
    b"null\ntrue\n3\n",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_lines_end_well(folder: Path, number: int) -> None:
    (folder / "train.jsonl").write_bytes(HOSTILE[number])
    try:
        samples = build(folder).samples
    except GmnerError as error:
        assert "train.jsonl" in str(error) and len(str(error)) < 5000
        return
    assert len(samples) == 1
