"""What other systems and tools write is read; files in each other's place are told; hostile text stays harmless."""

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gmner.cli import main
from gmner.core.visible import visible
from gmner.evaluation.any_system.gold import read_gold
from gmner.evaluation.any_system.predictions import read_predictions

XML = """<annotation><size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>Jo Doe</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object>
<object><name>Jo Doe</name><bndbox><xmin>60</xmin><ymin>10</ymin><xmax>90</xmax><ymax>60</ymax></bndbox></object>
</annotation>
"""
TWEETS = "IMGID:1\nJo\tB-PER\nDoe\tI-PER\nin\tO\nCup\tB-OTHER\n\nIMGID:2\nRome\tB-LOC\n!\tO\n\nIMGID:3\nno\tO\n\n"
BOXES = [[10, 10, 50, 60], [60, 10, 90, 60]]


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    for folder in ("txt", "xml"):
        (tmp_path / folder).mkdir()
    (tmp_path / "xml" / "1.xml").write_text(XML, encoding="utf-8")
    (tmp_path / "txt" / "test.txt").write_text(TWEETS, encoding="utf-8")
    (tmp_path / "txt" / "train.txt").write_text("IMGID:9\nRome\tB-LOC\n!\tO\n\n", encoding="utf-8")
    return tmp_path / "txt" / "test.txt"


def _json(path: Path, value: Any, indent: int | None = None) -> Path:
    path.write_text(json.dumps(value, indent=indent), encoding="utf-8")
    return path


def _score(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["score", *map(str, arguments)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


OURS = [
    {
        "image_id": "1",
        "entities": [
            {"mention": "Jo Doe", "type": "PER", "boxes": BOXES},
            {"mention": "Cup", "type": "OTHER", "boxes": []},
        ],
    },
    {"image_id": "2.jpg", "entities": [{"mention": "Rome", "type": "LOC"}]},
    {"image_id": "3", "entities": []},
]
SAKE = {
    "1": [
        {"name": "Jo Doe", "label": "PER", "bnd": dict(zip(("xmin", "ymin", "xmax", "ymax"), BOXES[0], strict=True))},
        {"name": "Jo Doe", "label": "PER", "bnd": dict(zip(("xmin", "ymin", "xmax", "ymax"), BOXES[1], strict=True))},
        {"name": "Cup", "label": "MISC", "bnd": None},
    ],
    "2": [{"name": "Rome", "label": "LOC", "bnd": None}],
    "3": [],
}
MQSPN = [
    {
        "image_id": "1",
        "tokens": ["Jo", "Doe", "in", "Cup"],
        "pre_entities": [
            {
                "entity_type": "PER",
                "start": 0,
                "end": 1,
                "phrase": "['Jo', 'Doe']",
                "region": 3,
                "region_box": BOXES[0],
            },
            {"entity_type": "MISC", "start": 3, "end": 3, "region": 0, "region_box": []},
        ],
    },
    {"image_id": "2", "pre_entities": [{"entity_type": "LOC", "phrase": "Rome", "region": 0}]},
    {"image_id": "3", "tokens": ["no"], "pre_entities": []},
]
RIVEG = """1.jpg#1###Jo Doe(PER)###a (tall) man###2###&[10.0, 10.0, 50.0, 60.0]&[60, 10, 90, 60]
2.jpg###Rome(LOC)###a city###0###&[0, 0, 0, 0]
Imageid:1.jpg#2###Cup(OTHER)###a cup###0###&[0, 0, 0, 0]
"""
CSV = 'image_id,mention,type,region\n1,Jo Doe,PER,"[[10,10,50,60],[60,10,90,60]]"\n1,Cup,OTHER,\n2,Rome,LOC,None\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("array.json", json.dumps(OURS)),
        ("array_over_lines.json", json.dumps(OURS, indent=1)),
        ("sake.json", json.dumps(SAKE)),
        ("sake_over_lines.json", json.dumps(SAKE, indent=2)),
        ("mqspn.json", json.dumps(MQSPN)),
        ("riveg.txt", RIVEG),
        ("table.csv", CSV),
    ],
)
@pytest.mark.parametrize("profile", ["paper", "strict", "unco"])
def test_forms_of_other_systems(gold: Path, tmp_path: Path, capsys, name: str, text: str, profile: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = _score(capsys, gold, tmp_path / name, "--profile", profile)
    assert found["mner"]["f1"] == 1
    if profile == "paper":
        assert found["gmner"] == {"correct": 3, "predicted": 3, "gold": 3, "precision": 1, "recall": 1, "f1": 1}
    assert found["predictions"]["tweets_without"] == 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{"image_id": "1", "entities": [["a"]]}], "p.json: item 1: expected [mention, type, region]"),
        ([{"image_id": "7", "entities": []}], "p.json: item 1: image_id '7' is none of the gold"),
        ([3], "p.json: item 1: expected an object, found int"),
        ({"1": [{"name": "a", "label": 3}]}, "p.json: image '1': expected {name, label, bnd}"),
        ({"1": [{"name": "a", "label": "PER", "bnd": {"xmin": 1}}]}, "p.json: image '1': a region is null"),
        ([{"image_id": "1", "pre_entities": [{"entity_type": "PER"}]}], "neither start and end among 'tokens' nor"),
        (
            [{"image_id": "1", "pre_entities": [{"entity_type": "PER", "phrase": "a", "region": 4}]}],
            "region 4 is the number of a candidate region",
        ),
        ({"images": [], "annotations": [{"id": 1}], "categories": []}, "annotation 1: no 'mention'"),
    ],
)
def test_errors_name_the_place(gold: Path, tmp_path: Path, capsys, value: Any, said: str) -> None:  # type: ignore[no-untyped-def]
    assert said in _fails(capsys, gold, _json(tmp_path / "p.json", value))


def test_csv_without_its_columns(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "p.csv").write_text("image,mention\n1,Jo\n", encoding="utf-8")
    assert "p.csv:1: no column image_id, type, region" in _fails(capsys, gold, tmp_path / "p.csv")


KEYS = (
    "1 image_id entities triples output pre_entities images annotations data categories predictions result name label "
)
KEYS += "bnd mention type boxes id value"
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=True) | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                KEYS.split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_json_ends_in_a_traceback(gold: Path, tmp_path: Path, value: Any) -> None:
    from gmner.errors import GmnerError

    path = _json(tmp_path / "any.json", value)
    try:
        read_predictions(path, read_gold(gold))
    except GmnerError as error:
        assert "any.json" in str(error)


# Two files in each other's place ---------------------------------------------------------------------------------


def test_swapped_files_are_told_apart(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    for name, text in {"p.json": json.dumps(OURS), "p.csv": CSV, "p.txt": RIVEG, "p.tsv": "1\tJo\tPER\tNone\n"}.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert f"they are swapped; run: gmner score {gold} {path}" in _fails(capsys, path, gold)
        assert "holds predictions; gold annotations come first" in _fails(capsys, path, path)
    assert "holds gold annotations; expected predictions as the second" in _fails(capsys, gold, gold)


@pytest.mark.parametrize("which", ["gold", "predictions"])
def test_a_pipe_is_refused_instead_of_waited_for(gold: Path, tmp_path: Path, capsys, which: str) -> None:  # type: ignore[no-untyped-def]
    os.mkfifo(tmp_path / "pipe.jsonl")
    good = _json(tmp_path / "p.json", OURS)
    files = (tmp_path / "pipe.jsonl", good) if which == "gold" else (gold, tmp_path / "pipe.jsonl")
    assert "is a named pipe, expected a file" in _fails(capsys, *files)
    (gold.parent.parent / "xml" / "1.xml").unlink()
    os.mkfifo(gold.parent.parent / "xml" / "1.xml")
    assert "1.xml: is a named pipe" in _fails(capsys, gold, good)


# COCO and Label Studio -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["coco", "label-studio"])
def test_what_is_exported_is_read_back(gold: Path, tmp_path: Path, capsys, form: str) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out.json"
    first = _score(capsys, gold, _json(tmp_path / "p.json", OURS), "--export", f"{form}={out}")
    again = _score(capsys, gold, out)
    assert again["gmner"] == first["gmner"]
    assert again["boxes"] == first["boxes"]
    assert "expected coco=FILE or label-studio=FILE" in _fails(capsys, gold, tmp_path / "p.json", "--export", "voc=x")


# Statements about methods ----------------------------------------------------------------------------------------


def test_significance_over_seeds(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    for system, rows in (("a", OURS), ("b", OURS[:1])):
        (tmp_path / system).mkdir()
        for seed in range(3):
            _json(tmp_path / system / f"seed{seed}.json", rows)
    found = _score(capsys, gold, "--significance", tmp_path / "a", f"{tmp_path}/b/*.json")
    one = found["methods"]["gmner_f1"]
    assert (one["seeds_a"], one["seeds_b"], one["tweets"], one["statement"]) == (3, 3, 3, None)
    assert one["difference"] == pytest.approx(20)
    assert main(["score", str(gold), "--significance", str(tmp_path / "a"), str(tmp_path / "b" / "seed0.json")]) == 0
    assert "one seed: no statement about the method" in capsys.readouterr().out
    assert "give one file of predictions, or two systems" in _fails(capsys, gold)


def test_duplicates_are_left_out(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    gold.write_text(TWEETS + "IMGID:4\nno\tO\n\n", encoding="utf-8")
    (gold.parent / "dev.txt").write_text("IMGID:8\nJo\tB-PER\nDoe\tI-PER\nin\tO\nCup\tB-OTHER\n\n", encoding="utf-8")
    found = _score(capsys, gold, _json(tmp_path / "p.json", OURS), "--exclude-duplicates")
    assert (found["samples"], found["predictions"]["tweets_left_out"]) == (1, 3)
    assert found["signature"].endswith("|without:duplicates")


# JSON and its schema ---------------------------------------------------------------------------------------------


def test_json_follows_the_shipped_schema(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    schema = json.loads((files("gmner.evaluation.any_system") / "score.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    sure = [{"image_id": "1", "entities": [{"mention": "Cup", "type": "OTHER", "confidence": 0.5}]}]
    raw = [{"image_id": "1", "output": "<answer>Cup|OTHER</answer>"}]
    for rows in (OURS, sure, raw):
        path = _json(tmp_path / "p.json", rows)
        found = _score(capsys, gold, path, "--analysis", "--compare", path)
        jsonschema.validate(found, schema)
    assert found["predictions"]["failures"] == {"missing_region": 1}
    assert _score(capsys, gold, _json(tmp_path / "p.json", sure))["calibration"]["aurc"] == 0


# Hostile text ----------------------------------------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\ud800"


@pytest.mark.parametrize("options", [(), ("--json",), ("--analysis",), ("--analysis", "--json"), ("--all-profiles",)])
def test_hostile_names_reach_no_terminal(gold: Path, tmp_path: Path, capsys, options: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    rows = [
        {"image_id": "1", "entities": [{"mention": f"Jo Doe{HOSTILE}", "type": HOSTILE}, ["Jo", "__proto__", None]]}
    ]
    rows[0]["entities"].append({"mention": "Jo Doe", "type": HOSTILE})  # type: ignore[attr-defined]
    assert main(["score", str(gold), str(_json(tmp_path / "p.json", rows)), *options]) == 0
    said = capsys.readouterr()
    assert said.out == visible(said.out) and said.err == visible(said.err)
    if "--json" in options:
        assert HOSTILE in json.loads(said.out)["by_type"]


def test_hostile_names_in_errors_reach_no_terminal(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    error = _fails(capsys, gold, _json(tmp_path / "p.json", [{"image_id": HOSTILE, "entities": []}]))
    assert error == visible(error)
    assert "\\u001b]0;owned" in error


@given(st.text())
@settings(deadline=None)
def test_visible_changes_no_meaning_inside_json(text: str) -> None:
    shown = visible(json.dumps(text, ensure_ascii=False))
    assert json.loads(shown) == text
    shown.encode("utf-8")
