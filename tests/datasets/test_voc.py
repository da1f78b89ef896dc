"""Boxes: the VOC files, and joining them to mentions."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.datasets.annotated import Draft, attach_boxes, clip_boxes, entity_of, sample_ids
from gmner.datasets.oddities import Problems
from gmner.datasets.voc import read_voc
from gmner.errors import DataError

HEAD = "<annotation>\n<filename>{file}</filename>\n<size><width>100</width><height>80</height><depth>3</depth></size>\n"
OBJECT = (
    "<object><name>{}</name>\n<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>\n"
)


def voc(tmp_path, *objects, file="7.jpg"):
    path = tmp_path / "7.xml"
    path.write_text(HEAD.format(file=file) + "".join(OBJECT.format(*found) for found in objects) + "</annotation>\n")
    return path


def draft(*mentions, split="train"):
    tokens = tuple(" ".join(mentions).split())
    entities, start = [], 0
    for mention in mentions:
        end = start + len(mention.split())
        entities.append(entity_of(tokens, start, end, "PER", fine=False))
        start = end
    return Draft(split, "7", tokens, tuple(entities), "train.txt:1")


def attach(tmp_path, tweet, *objects, file="7.jpg"):
    problems = Problems()
    path = voc(tmp_path, *objects, file=file)
    return attach_boxes(tweet, read_voc(path), path, problems), problems


def test_reads_size_names_boxes_and_lines(tmp_path):
    found = read_voc(voc(tmp_path, ("Ann", 1, 2, 30, 40), ("Ann", 1.5, 2, 3, 4)))
    assert found.size_wh == (100, 80)
    assert found.file_name == "7.jpg"
    assert [(box.name, box.box, box.line) for box in found.boxes] == [
        ("Ann", (1, 2, 30, 40), 4),
        ("Ann", (1.5, 2, 3, 4), 6),
    ]


def test_a_part_of_an_object_is_not_taken_for_its_box(tmp_path):
    path = tmp_path / "7.xml"
    part = "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    path.write_text(
        "<annotation>" + OBJECT.format("Ann", 1, 2, 3, 4).replace("</object>", part + "</object>") + "</annotation>"
    )
    (box,) = read_voc(path).boxes
    assert (box.name, box.box) == ("Ann", (1, 2, 3, 4))


def test_a_missing_or_zero_size_is_none(tmp_path):
    path = tmp_path / "7.xml"
    path.write_text("<annotation><size><width>0</width><height>0</height></size></annotation>")
    assert read_voc(path).size_wh is None
    path.write_text("<annotation/>")
    assert read_voc(path).size_wh is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>\n<object>\n</annotation>", "7.xml:3: not well-formed XML: mismatched tag"),
        ("", "7.xml:1: not well-formed XML: no element found"),
        ("<html>\n</html>", "7.xml:1: expected the root <annotation>, found <html>"),
        ("<annotation>\n<object><name> </name></object></annotation>", "7.xml:2: <object> has no <name>"),
        ("<annotation>\n\n<object><name>Ann</name></object></annotation>", "7.xml:3: object 'Ann' has no <xmin>"),
        ("<annotation>" + OBJECT.format("Ann", "one", 2, 3, 4) + "</annotation>", "object 'Ann': <xmin> is 'one'"),
        ("<annotation>" + OBJECT.format("Ann", 1, 2, "inf", 4) + "</annotation>", "object 'Ann': <xmax> is 'inf'"),
        ("<annotation><size><width>w</width><height>2</height></size></annotation>", "<size> holds no whole numbers"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "7.xml: holds a document type definition"),
    ],
)
def test_malformed_boxes_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "7.xml"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_voc(path)
    assert message in str(error.value)


def test_all_boxes_of_a_name_go_to_its_mention(tmp_path):
    found, problems = attach(tmp_path, draft("Ann Lee", "Bob"), ("Ann Lee", 1, 2, 3, 4), ("Ann Lee", 5, 6, 7, 8))
    assert [entity.boxes for entity in found.entities] == [((1, 2, 3, 4), (5, 6, 7, 8)), ()]
    assert found.annotated_wh == (100, 80)
    assert problems.to_json() == []


def test_a_repeated_mention_gets_each_box_once_per_entity(tmp_path):
    found, _ = attach(tmp_path, draft("Ann", "Ann"), ("Ann", 1, 2, 3, 4), ("Ann", 5, 6, 7, 8))
    assert [len(entity.boxes) for entity in found.entities] == [2, 2]


def test_stray_blanks_and_newlines_in_names_are_mended_and_noted(tmp_path):
    found, problems = attach(tmp_path, draft("Ann Lee"), (" Ann\nLee ", 1, 2, 3, 4), ("Ann Lee", 5, 6, 7, 8))
    assert len(found.entities[0].boxes) == 2
    assert found.mended == (1,)
    assert problems.count("repaired_name", "train") == 1


def test_an_escaped_name_matches_the_decoded_mention(tmp_path):
    found, problems = attach(tmp_path, draft("Fox & Fin"), ("Fox &amp;amp ; Fin", 1, 2, 3, 4))
    assert found.entities[0].boxes == ((1, 2, 3, 4),)
    assert problems.to_json() == []


@pytest.mark.parametrize("name", ["ann", "An", "Ann Le"])
def test_a_name_that_is_no_mention_is_noted_and_left_out(tmp_path, name):
    found, problems = attach(tmp_path, draft("Ann"), (name, 1, 2, 3, 4))
    assert found.entities[0].boxes == ()
    assert problems.examples["unmatched_name"] == [f"train: 7.xml:4: {name!r}"]


def test_the_boxes_file_counts_by_its_own_name(tmp_path):
    found, problems = attach(tmp_path, draft("Ann"), ("Ann", 1, 2, 3, 4), file="9_region.jpg")
    assert found.entities[0].boxes
    assert problems.count("file_name_differs") == 1


def test_boxes_are_cut_at_the_edge_or_left_out(tmp_path):
    tweet, problems = attach(
        tmp_path,
        draft("Ann"),
        ("Ann", -5, 0, 100, 80),
        ("Ann", 120, 0, 130, 5),
        ("Ann", 99.5, 0, 130, 5),
    )
    assert clip_boxes(tweet, (100, 80), problems).entities[0].boxes == ((0, 0, 100, 80),)
    assert problems.count("box_outside") == 1
    assert problems.count("box_dropped") == 2


def test_a_box_up_to_the_edge_stays_as_annotated(tmp_path):
    tweet, problems = attach(tmp_path, draft("Ann"), ("Ann", 0, 0, 100, 80))
    assert clip_boxes(tweet, (100, 80), problems) is tweet


def test_sample_ids_are_unique():
    assert sample_ids([draft("Ann"), draft("Ann"), draft("Ann", split="dev")]) == ["train/7", "train/7#2", "dev/7"]


def test_an_unknown_kind_of_problem_is_refused():
    with pytest.raises(ValueError, match="unknown kind"):
        Problems().add("oddity", "train", "x")


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((0.1, 0.2, 0.9, 1.0), "lies inside [0, 1]: normalised?"),
        ((0, 0, 1, 1), "lies inside [0, 1]: normalised?"),
        ((9, 9, 9, 20), "is thinner than a pixel: normalised?"),
        ((3, 3, 30, 3.5), "is thinner than a pixel: normalised?"),
        ((30, 40, 1, 2), "has its corners swapped"),
    ],
)
def test_a_box_that_cannot_be_in_pixels_is_an_error(tmp_path, edges, message):
    with pytest.raises(DataError, match=r"7\.xml:6: object 'Ann': the box") as error:
        read_voc(voc(tmp_path, ("Ann", 1, 2, 3, 4), ("Ann", *edges)))
    assert message in str(error.value)


@pytest.mark.parametrize("tag", ["object", "size", "part"])
def test_elements_nested_very_deeply_end_soon(tmp_path, tag):
    path = tmp_path / "7.xml"
    path.write_text("<annotation>" + f"<{tag}>" * 50_000 + f"</{tag}>" * 50_000 + "</annotation>")
    with contextlib.suppress(DataError):
        read_voc(path)


@given(st.text(max_size=30), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_any_bytes_give_boxes_or_a_data_error(tmp_path_factory, text, encoding):
    path = tmp_path_factory.mktemp("voc") / "7.xml"
    whole = HEAD.format(file=text) + OBJECT.format(text, 1, 2, 3, 4) + "</annotation>"
    path.write_bytes(whole.encode(encoding, "replace"))
    with contextlib.suppress(DataError):
        assert all(box.name.strip() for box in read_voc(path).boxes)
