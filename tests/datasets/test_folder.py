"""A user's own data, in both forms, and the samples command on it."""

import json

import pytest
from PIL import Image

from gmner.cli import main
from gmner.config.data import FolderDataset
from gmner.datasets.samples import Folders, build_samples
from gmner.errors import DataError, MissingInputError
from gmner.storage.tables import read_samples

TYPES = ("PER", "ORG", "LOC", "OTHER")


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "mine" / "images"
    images.mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.png")):
        Image.new("RGB", (60, 40), (number, 9, 9)).save(images / name)
    return tmp_path / "mine"


def lines(folder, *tweets, split="train"):
    text = "".join(json.dumps(tweet) + "\n" for tweet in tweets)
    (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def build(folder, **settings):
    return build_samples(FolderDataset(path=str(folder), **settings), "mine", Folders())


def tweet(*entities, **changes):
    return {"image": "a.jpg", "text": "Ann met Ann Lee in Rome", "entities": list(entities), **changes}


def test_json_lines(folder):
    lines(
        folder,
        tweet({"mention": "Ann Lee", "type": "PER", "boxes": [[1, 2, 30, 40]]}, {"mention": "Rome", "type": "LOC"}),
        tweet(image="images/b.png", id="second", tokens=["Hi", ",", "all"], text=None),
    )
    first, second = build(folder).samples
    assert (first.sample_id, first.image_id, first.size_wh) == ("train/a", "a", (60, 40))
    assert [(e.start, e.end, e.mention, e.type, e.boxes) for e in first.entities] == [
        (2, 4, "Ann Lee", "PER", ((1, 2, 30, 40),)),
        (5, 6, "Rome", "LOC", ()),
    ]
    assert (second.sample_id, second.text, second.entities) == ("train/second", "Hi , all", ())
    assert second.image_path.endswith("images/b.png")


@pytest.mark.parametrize(
    ("entity", "span"),
    [
        ({"mention": "Ann"}, (0, 1)),
        ({"start": 2, "end": 3}, (2, 3)),
        ({"start": 2, "end": 4, "mention": "Ann  Lee"}, (2, 4)),
        ({"char_start": 8, "char_end": 15}, (2, 4)),
    ],
)
def test_ways_to_place_an_entity(folder, entity, span):
    lines(folder, tweet({**entity, "type": "PER"}))
    (sample,) = build(folder).samples
    assert (sample.entities[0].start, sample.entities[0].end) == span


def test_a_mention_given_twice_takes_the_next_occurrence(folder):
    lines(folder, tweet({"mention": "Ann", "type": "PER"}, {"mention": "Ann", "type": "PER"}))
    (sample,) = build(folder).samples
    assert [entity.start for entity in sample.entities] == [0, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "train.jsonl:1: not JSON"),
        ("[]", "train.jsonl:1: expected a JSON object, found '[]'"),
        (tweet(imgae="x"), "train.jsonl:1: the tweet has unknown keys ['imgae']; known: ['entities', 'id', 'image'"),
        (tweet(image=""), "'image' must be a file's name below images/"),
        (tweet(text=" "), "'text' must be a text that is not blank"),
        (tweet(tokens=["a b"]), "'tokens' holds 'a b'; a token is not empty and has no blanks"),
        (tweet(entities={}), "'entities' must be a list of objects"),
        (
            tweet({"mention": "Rome's", "type": "LOC"}),
            "the mention \"Rome's\" is not a run of whole tokens in 'Ann met",
        ),
        (tweet(*[{"mention": "Rome", "type": "LOC"}] * 2), "the mention 'Rome' occurs less often than it is annotated"),
        (tweet({"type": "LOC"}), "an entity needs 'mention', or 'start' and 'end'"),
        (tweet({"mention": "Rome"}), "entity 'Rome' has no 'type'"),
        (tweet({"mention": "Rome", "type": "LOCATION"}), "type 'LOCATION' is none of the dataset's types; did you"),
        (tweet({"start": 5, "end": 9, "type": "LOC"}), "start 5 and end 9 are no token offsets of 6 tokens"),
        (
            tweet({"start": 0, "end": 1, "mention": "Rome", "type": "LOC"}),
            "the mention is 'Rome', but its offsets name 'Ann'",
        ),
        (tweet({"char_start": 1, "char_end": 3, "type": "PER"}), "characters 1 to 3, 'nn', are not a run of whole"),
        (tweet({"mention": "Rome", "type": "LOC", "boxes": [1, 2, 3, 4]}), "entity 'Rome': expected a box [x1, y1"),
        (
            tweet({"mention": "Rome", "type": "LOC", "boxes": [[5, 2, 3, 4]]}),
            "the box [5, 2, 3, 4] has its corners swapped",
        ),
        (tweet({"mention": "Rome", "type": "LOC", "box": []}), "an entity has unknown keys ['box']"),
    ],
)
def test_malformed_lines_name_file_and_line(folder, line, message):
    (folder / "train.jsonl").write_text(line if isinstance(line, str) else json.dumps(line))
    with pytest.raises(DataError) as error:
        build(folder)
    assert message in str(error.value)
    assert "train.jsonl:1" in str(error.value)


def test_missing_images_of_json_lines_are_named_with_their_line(folder):
    lines(folder, tweet(), tweet(image="gone.jpg"))
    with pytest.raises(MissingInputError) as error:
        build(folder)
    assert "1 of 2 images are missing: gone.jpg" in str(error.value)
    assert "train.jsonl:2" in str(error.value) and f"Put them into {folder / 'images'}" in str(error.value)


VOC = (
    "<annotation><size><width>60</width><height>40</height></size><object><name>Ann &amp;amp ; Lee</name>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>61</xmax><ymax>40</ymax></bndbox></object></annotation>"
)


def test_tagged_tweets_with_boxes(folder):
    (folder / "xml").mkdir()
    (folder / "xml/a.xml").write_text(VOC)
    (folder / "xml/left.xml").write_text(VOC)
    (folder / "test.txt").write_text("IMGID:a\nAnn\tB-PER\n&amp\tI-PER\n;\tI-PER\nLee\tI-PER\n\nIMGID:b\nHi\tO\n")
    built = build(folder)
    assert [sample.sample_id for sample in built.samples] == ["test/a", "test/b"]
    (entity,) = built.samples[0].entities
    assert (entity.mention, entity.boxes) == ("Ann & Lee", ((1, 2, 60, 40),))
    found = {problem["kind"]: problem["count"] for problem in built.problems.to_json()}
    assert found == {"box_outside": 1, "unused_annotation": 1}


def test_fine_types_from_the_third_column(folder):
    (folder / "train.txt").write_text("IMGID:a\nKew\tB-location\tB-park\n")
    (sample,) = build(folder, fine=True, types=("park", "city")).samples
    assert (sample.entities[0].type, sample.entities[0].fine_type) == ("park", "park")
    with pytest.raises(DataError, match=r"train.txt:1: tweet a: type 'park' is none of .* did you mean 'parks'"):
        build(folder, fine=True, types=("parks",))


def test_a_folder_without_annotations_says_what_is_expected(folder, tmp_path):
    with pytest.raises(MissingInputError, match=r"no annotations; expected train.txt, dev.txt, test.txt"):
        build(folder)
    with pytest.raises(MissingInputError, match="nowhere: the folder of the dataset is missing"):
        build(tmp_path / "nowhere")
    lines(folder, tweet())
    (folder / "train.txt").write_text("IMGID:a\nHi\tO\n")
    with pytest.raises(DataError, match=r"holds both train.txt and train.jsonl"):
        build(folder)


def test_limit_keeps_the_first_of_each_split(folder):
    lines(folder, tweet(id="1"), tweet(id="2"), tweet(id="3"))
    lines(folder, tweet(id="4"), tweet(id="5"), tweet(id="6"), split="test")
    assert [sample.image_id for sample in build(folder, limit=2).samples] == ["1", "2", "4", "5"]


def test_the_command_writes_table_and_report(folder, tmp_path):
    lines(folder, tweet({"mention": "Rome", "type": "LOC", "boxes": [[1, 2, 30, 40], [1, 2, 3, 4]]}))
    lines(folder, tweet(), tweet(image="b.png"), split="test")
    settings = {"name": "mine", "dataset": {"kind": "folder", "path": str(folder), "limit": 2}}
    out, report = tmp_path / "out/samples.parquet", tmp_path / "out/report.json"
    command = ["stage", "samples", "--settings", json.dumps(settings), "--out", str(out), "--report", str(report)]
    assert main(command) == 0
    first = (out.read_bytes(), report.read_bytes())
    assert [sample.sample_id for sample in read_samples(out)] == ["train/a", "test/a", "test/b"]
    written = json.loads(report.read_text())
    assert written["limit"] == 2
    assert written["splits"]["train"]["groundable"] == 1 and written["splits"]["train"]["boxes"] == 2
    assert written["splits"]["test"]["same_text_in_train"] == 2
    assert "| groundable entities | 1 | 0 |" in report.with_suffix(".md").read_text()
    assert main(command) == 0
    assert (out.read_bytes(), report.read_bytes()) == first


def test_the_command_reports_errors_without_a_traceback(tmp_path, capsys):
    settings = json.dumps({"name": "t", "dataset": {"kind": "twitter"}})
    out = ["--out", str(tmp_path / "s.parquet"), "--report", str(tmp_path / "r.json")]
    assert main(["stage", "samples", "--settings", settings, "--annotations-dir", str(tmp_path), *out]) == 1
    assert "Twitter-GMNER v2.0 are missing; expected Twitter10000_v2.0/txt" in capsys.readouterr().err
    assert not (tmp_path / "s.parquet").exists()
