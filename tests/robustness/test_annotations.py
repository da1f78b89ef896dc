"""Annotation files, predictions of others, archives and configurations that are not what they should be."""

import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.faults import Faults
from tests.helpers.pipeline import Pipeline, command

EASY = {"image": "a.png", "text": "Ann in Rome", "entities": [{"mention": "Ann", "type": "PER"}]}


@pytest.fixture
def pipeline(tmp_path: Path, repo: Path) -> Pipeline:
    made = Pipeline(tmp_path, repo)
    Image.new("RGB", (60, 40), "red").save(made.images / "a.png")
    return made


def with_box(box: str) -> str:
    return '{"image": "a.png", "text": "Ann", "entities": [{"mention": "Ann", "type": "PER", "boxes": [' + box + "]}]}"


LINES = {
    "a box with NaN": (with_box("[NaN, 1, 2, 3]"), "expected a box [x1, y1, x2, y2]"),
    "a box with Infinity": (with_box("[0, 0, Infinity, 3]"), "expected a box [x1, y1, x2, y2]"),
    "a box with a number of 400 digits": (with_box(f"[0, 0, 1{'0' * 400}, 3]"), "expected a box [x1, y1, x2, y2]"),
    "a number of 5000 digits": (with_box(f"[0, 0, {'9' * 5000}, 3]"), "not JSON"),
    "a box of texts": (with_box('["1", "2", "3", "4"]'), "expected a box"),
    "a box that is true": (with_box("[true, true, true, true]"), "expected a box"),
    "a key twice in one object": ('{"image": "a.png", "image": "b.png", "text": "Ann"}', "the key 'image' comes twice"),
    "an unknown key": ('{"image": "a.png", "text": "Ann", "txet": 1}', "the tweet has unknown keys ['txet']"),
    "an array in place of an object": ("[1, 2]", "expected a JSON object, found '[1, 2]'"),
    "half a line": ('{"image": "a.png", "te', "not JSON"),
    "100 000 brackets": ("[" * 100_000, "brackets are nested too deeply"),
    "a text that is a number": ('{"image": "a.png", "text": 7}', "'text' must be a text that is not blank"),
    "tokens with a blank": ('{"image": "a.png", "tokens": ["a b"]}', "a token is not empty and has no blanks"),
    "entities that are no list": ('{"image": "a.png", "text": "a", "entities": {"a": 1}}', "must be a list of objects"),
    "an unknown type": (
        '{"image": "a.png", "text": "Ann", "entities": [{"mention": "Ann", "type": "PRE"}]}',
        "type 'PRE' is none of the dataset's types; did you mean 'PER'?",
    ),
    "offsets behind the end": (
        '{"image": "a.png", "text": "Ann", "entities": [{"start": 0, "end": 9, "type": "PER"}]}',
        "start 0 and end 9 are no token offsets of 1 tokens",
    ),
    "an image's path that leads outside (`../../x.png`)": (
        '{"image": "../../x.png", "text": "Ann"}',
        "'image' must be a file's name below images/",
    ),
    "an absolute image's path": ('{"image": "/etc/passwd", "text": "Ann"}', "must be a file's name below images/"),
    "an image's name of 5000 characters": ('{"image": "' + "x" * 5000 + '", "text": "Ann"}', "images are missing"),
    "an image's name with NUL": ('{"image": "a\\u0000.png", "text": "Ann"}', "must be a file's name below images/"),
}


@pytest.mark.parametrize("what", LINES)
def test_a_bad_line_is_named(pipeline: Pipeline, what: str, faults: Faults) -> None:
    line, message = LINES[what]
    pipeline.lines("test", [EASY, line])
    error = pipeline.samples().error
    assert "test.jsonl:2" in error and message in error and len(error) < 6000
    assert not pipeline.table.exists()
    faults.error("annotations", f"JSON line: {what}", error)


def test_tweets_with_one_id_stay_two(pipeline: Pipeline, faults: Faults) -> None:
    pipeline.lines("test", [EASY, EASY, {**EASY, "id": "a"}])
    assert pipeline.samples().code == 0
    assert [sample.sample_id for sample in pipeline.read()] == ["test/a", "test/a#2", "test/a#3"]
    pipeline.check_counts(3)
    faults.add("annotations", "JSON lines with the same id", "each stays a sample, named `test/a`, `test/a#2`, …")


def test_blank_lines_a_byte_order_mark_and_crlf_are_no_fault(pipeline: Pipeline) -> None:
    text = "\ufeff" + json.dumps(EASY) + "\r\n\r\n" + json.dumps(EASY)
    pipeline.lines("test", [text])
    assert pipeline.samples().code == 0 and len(pipeline.read()) == 2


TAGGED = {
    "a tag that is none": (
        "IMGID:a\nAnn\tX-PER\n",
        "test.txt:2: expected a tag O, B-<type> or I-<type>",
    ),
    "a missing column": ("IMGID:a\nAnn\n", "test.txt:2: expected token<TAB>tag, found 'Ann'"),
    "tokens before any head": ("Ann\tO\n", "test.txt:1: expected a line 'IMGID:<id>' before the tokens"),
    "a tweet without tokens": ("IMGID:a\n\nIMGID:a\nAnn\tO\n", "test.txt:1: tweet a has no tokens"),
    "an image id that is a path": ("IMGID:../a\nAnn\tO\n", "test.txt:1: expected 'IMGID:<id>'"),
    "an image id of 5000 characters": (f"IMGID:{'x' * 5000}\nAnn\tO\n", "test.txt:1: expected 'IMGID:<id>'"),
    "an empty file": ("", "test.txt: no tweet in it"),
    "UTF-16": ("\ufeffIMGID:a\nAnn\tO\n".encode("utf-16"), "test.txt:1: not UTF-8"),
}


@pytest.mark.parametrize("what", TAGGED)
def test_a_bad_file_of_tagged_tweets_is_named(pipeline: Pipeline, what: str, faults: Faults) -> None:
    content, message = TAGGED[what]
    (pipeline.data / "test.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    error = pipeline.samples().error
    assert message in error and len(error) < 500
    faults.error("annotations", f"tagged tweets: {what}", error)


ANNOTATION = "<annotation><object><name>Ann</name><bndbox>{}</bndbox></object></annotation>"
EDGES = "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
XML: dict[str, tuple[str | bytes, str]] = {
    "a bomb of nested entities": (
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]><annotation>&l9;</annotation>',
        "holds a document type definition or an entity, which is refused",
    ),
    "the same in UTF-16": (
        f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]>'
        "<annotation>&l9;</annotation>".encode("utf-16"),
        "holds a document type definition or an entity, which is refused",
    ),
    "an external entity (file:///etc/passwd)": (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name></object></annotation>',
        "holds a document type definition or an entity, which is refused",
    ),
    "an external document type": (
        '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:1/x.dtd"><annotation/>',
        "holds a document type definition or an entity, which is refused",
    ),
    "not XML": ("Ann 1 2 3 4", "not well-formed XML"),
    "cut off": (ANNOTATION.format(EDGES)[:60], "not well-formed XML"),
    "an edge that is no number": (ANNOTATION.format(EDGES.replace("3", "NaN")), "<xmax> is 'NaN', expected a number"),
    "a missing edge": (ANNOTATION.format(EDGES.replace("<xmin>1</xmin>", "")), "has no <xmin> in its <bndbox>"),
    "another root": ("<html><body/></html>", "expected the root <annotation>, found <html>"),
    "an unknown encoding": ('<?xml version="1.0" encoding="utf-99"?><annotation/>', "a.xml"),
}


@pytest.mark.parametrize("what", XML)
def test_a_bad_file_of_boxes_is_named(pipeline: Pipeline, what: str, faults: Faults) -> None:
    content, message = XML[what]
    (pipeline.data / "test.txt").write_text("IMGID:a\nAnn\tB-PER\nin\tO\n")
    path = pipeline.data / "xml/a.xml"
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = pipeline.samples().error
    assert "a.xml" in error and message in error and "root:" not in error
    faults.error("annotations", f"boxes: {what}", error)


# Archives ----------------------------------------------------------------------------------------------------------


def zip_of(path: Path, members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            # A member made from its name alone would carry the clock's time, and the error shows the first bytes.
            member = zipfile.ZipInfo(name) if isinstance(name, str) else name
            archive.writestr(member, data, compress_type=zipfile.ZIP_DEFLATED)
    return path


def tar_of(path: Path, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        archive.addfile(member, io.BytesIO(b""))
    return path


def linked(path: Path) -> Path:
    member = zipfile.ZipInfo("x/txt/a.txt")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zip_of(path, [(member, b"/etc/passwd")])


def text_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a member `../../evil.txt`": (lambda p: zip_of(p, [("../../txt/evil.txt", b"x")]), "points outside the folder"),
    "an absolute member": (lambda p: tar_of(p, "/txt/evil.txt"), "points outside the folder"),
    "a symbolic link": (linked, "is a link, a device or encrypted, which is refused"),
    "a hard link": (lambda p: tar_of(p, "txt/a.txt", tarfile.LNKTYPE, "/etc/passwd"), "is a link, a device"),
    "a device": (lambda p: tar_of(p, "txt/a.txt", tarfile.CHRTYPE), "is a link, a device"),
    "a bomb (50 MB of zeros)": (
        lambda p: zip_of(p, [("txt/a.txt", b"\0" * 50_000_000)]),
        "a decompression bomb?",
    ),
    "too many files": (lambda p: zip_of(p, [(f"txt/{n}.txt", b"") for n in range(60)]), "more than max_files 50"),
    "more bytes than allowed": (
        lambda p: zip_of(p, [(f"txt/{n}.txt", bytes(range(256)) * 4) for n in range(20)]),
        "more than max_bytes 10000",
    ),
    "no archive": (lambda p: text_file(p, b"hello"), "expected a zip or tar archive"),
    "cut off": (lambda p: text_file(p, zip_of(p, [("txt/a.txt", b"abc" * 999)]).read_bytes()[:-30]), "expected a zip"),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_a_bad_archive_is_refused_and_leaves_nothing(tmp_path: Path, what: str, faults: Faults) -> None:
    make, message = ARCHIVES[what]
    archive = make(tmp_path / "data.zip")
    source = {"url": "http://127.0.0.1:1/data.zip", "mirror": str(archive), "keep": ["txt/*.txt"]}
    limits = {"max_files": 50, "max_bytes": 10_000 if "bytes" in what else 100_000_000}
    out = tmp_path / "deep/er/out"
    told = json.dumps({"name": "twitter-gmner", "source": {**source, **limits}})
    error = command("stage", "download", "--settings", told, "--out-dir", out).error
    assert message in error
    assert not (out / "manifest.json").exists() and not list(tmp_path.rglob("evil*")) and not list(out.rglob("*.txt"))
    faults.error("archives", what, error)


# Predictions of other systems --------------------------------------------------------------------------------------


def entities(*given: str) -> str:
    return '{"image_id": "1", "entities": [' + ", ".join(given) + "]}"


SYSTEMS = {
    "a region with NaN": entities('{"mention": "Ann", "type": "PER", "boxes": [[NaN, 1, 2, 3]]}'),
    "a region with a number of 400 digits": entities(f'["Ann", "PER", [1{"0" * 400}, 1, 2, 3]]'),
    "an entity that is a text": entities('"Ann"'),
    "a mention that is a number": entities('[7, "PER", null]'),
    "an output that is a list": '{"image_id": "1", "output": ["Ann"]}',
    "nothing that is predicted": '{"image_id": "1", "text": "Ann"}',
    "an image that is not in gold": '{"image_id": "2", "output": "None"}',
    "100 000 brackets": "{" + '"a":[' * 100_000,
    "a tweet predicted twice": '{"image_id": "1", "output": "None"}\n' * 2,
    "the authors' form with an empty image": (
        '{"response_answer_scaled": "", "labels_answer_scaled": "", "orig_size": [0, 0]}'
    ),
}


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    (tmp_path / "txt").mkdir()
    (tmp_path / "xml").mkdir()
    (tmp_path / "txt/test.txt").write_text("IMGID:1\nAnn\tB-PER\nin\tO\n")
    return tmp_path / "txt/test.txt"


@pytest.mark.parametrize("what", SYSTEMS)
def test_bad_predictions_are_named_by_line(gold: Path, what: str, faults: Faults) -> None:
    path = gold.parent / "predictions.jsonl"
    path.write_text(SYSTEMS[what] + "\n", encoding="utf-8")
    error = command("score", gold, path).error
    assert f"predictions.jsonl:{2 if 'twice' in what else 1}" in error and len(error) < 900
    faults.error("annotations", f"predictions to score: {what}", error)


def test_half_of_a_character_in_a_prediction_is_just_wrong(gold: Path) -> None:
    path = gold.parent / "predictions.jsonl"
    path.write_text('{"image_id": "1", "triples": [["Ann \\ud83d", "PER", null]]}\n', encoding="utf-8")
    ran = command("score", gold, path, "--json", "--analysis")
    assert ran.code == 0, ran.err


# Configurations ----------------------------------------------------------------------------------------------------

GOOD = "datasets: {d: {kind: demo}}\nbackbones: {tiny: {kind: tiny}}\nteachers: {t: {provider: template}}\n"
RUNS = "defaults: {backbone: tiny, teacher: t}\nruns: {full: {}}\n"
CONFIGS = {
    "a text where a number is meant": (
        GOOD + "defaults: {backbone: tiny, teacher: t, train: {epochs: many}}\nruns: {full: {}}\n",
        'defaults.train.epochs is "many"',
    ),
    "a number where a mapping is meant": (GOOD + "runs: 7\n", "runs is 7"),
    "an unknown key": (GOOD + RUNS + "seeed: 1\n", "seeed: unknown key; did you mean 'seeds'?"),
    "a key twice": (GOOD + RUNS + "seeds: [1]\nseeds: [2]\n", "'seeds' comes twice"),
    "infinity": (GOOD + "defaults: {train: {learning_rate: .inf}}\nruns: {full: {}}\n", "finite number"),
    "NaN": (GOOD + "defaults: {train: {learning_rate: .nan}}\nruns: {full: {}}\n", "learning_rate"),
    "a list that holds itself": ("seeds: &a [*a]\n", "does an anchor (&, *) refer to itself?"),
    "a mapping that holds itself": ("datasets: &a {x: *a}\n", "does an anchor (&, *) refer to itself?"),
    "a bomb of anchors": (
        "a: &a [0,0,0,0,0,0,0,0,0]\n"
        + "".join(f"{name}: &{name} [{','.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcdefghi"),
        "the configuration has more than 20000 values",
    ),
    "an object of Python": ("seeds: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    "broken YAML": ("datasets: {d: [\n", "not valid YAML"),
    "a date that is none": ("seeds: [2026-13-45]\n", "not valid YAML"),
    "100 000 brackets": ("[" * 100_000, "not valid YAML"),
    "a list in place of a mapping": ("- a\n", "expected a mapping with datasets, backbones and runs, found list"),
    "an empty file": ("", "expected a mapping with datasets, backbones and runs, found NoneType"),
    "a megabyte": ("# " + "x" * 1_000_000, "more than 262144; is it a configuration?"),
    "a name that is a path": (GOOD.replace("{d:", "{'../d':") + RUNS, "datasets"),
    "a name with a line break": (GOOD + 'runs: {"full\\n": {}}\n', "runs"),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_bad_configuration_is_one_message(tmp_path: Path, what: str, faults: Faults) -> None:
    text, message = CONFIGS[what]
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    error = command("config", "check", path).error
    assert message in error and "config.yaml" in error and len(error) < 3000
    faults.error("configuration", what, error)


def test_a_configuration_that_is_not_text_or_not_there(tmp_path: Path, faults: Faults) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    faults.error("configuration", "bytes that are not UTF-8", command("config", "check", path).error)
    faults.error("configuration", "a folder", command("config", "check", tmp_path).error)
    faults.error("configuration", "no file", command("config", "check", tmp_path / "none.yaml").error)


def test_merged_and_overridden_keys_are_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD + RUNS.replace("{full: {}}", "{a: &a {cot: true}, b: &b {<<: *a, cot: false}, c: {<<: *b}}"))
    assert command("config", "check", path).code == 0


def test_a_pipe_as_configuration_is_refused(tmp_path: Path, faults: Faults) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    error = command("config", "check", tmp_path / "config.yaml").error
    assert "config.yaml: is a named pipe, expected a file" in error
    faults.error("configuration", "a named pipe", error)
