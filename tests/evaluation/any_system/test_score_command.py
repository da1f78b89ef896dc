import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gmner.cli import main
from gmner.core.records import Entity, Record, Sample
from gmner.evaluation.any_system.gold import read_gold
from gmner.evaluation.conventions import CONVENTIONS, convention_of
from gmner.evaluation.counts import TASKS
from gmner.evaluation.error_analysis import OUTCOMES, analyse, judge
from gmner.evaluation.record_matching import AUTHORS_FRAME
from gmner.storage.tables import PREDICTIONS, SAMPLES, sample_to_row, write_samples, write_table

XML = """<annotation><filename>other.jpg</filename><size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>Jo Doe</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object>
</annotation>
"""
TWEETS = """IMGID:1
Jo\tB-PER
Doe\tI-PER
in\tO
AT\tB-ORG
&amp\tI-ORG
;\tI-ORG
T\tI-ORG

IMGID:2
Rome\tB-LOC
!\tO

IMGID:3
Nothing\tO

"""
TRAIN = "IMGID:9\nRome\tB-LOC\n!\tO\n\n"
RIGHT = {
    "1": "<answer>Jo Doe|PER|[10,10,50,60]; AT & T|ORG|None</answer>",
    "2": "<answer>Rome|LOC|None</answer>",
    "3": "<answer>None</answer>",
}


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    for folder in ("txt", "xml"):
        (tmp_path / folder).mkdir()
    (tmp_path / "xml" / "1.xml").write_text(XML, encoding="utf-8")
    (tmp_path / "txt" / "test.txt").write_text(TWEETS, encoding="utf-8")
    (tmp_path / "txt" / "train.txt").write_text(TRAIN, encoding="utf-8")
    return tmp_path / "txt" / "test.txt"


def _jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _outputs(path: Path, **changed: str) -> Path:
    texts = {**RIGHT, **{key.removeprefix("t"): text for key, text in changed.items()}}
    return _jsonl(path, [{"image_id": key, "output": text} for key, text in texts.items()])


def _score(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["score", *map(str, arguments)]) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


# What is printed -------------------------------------------------------------------------------------------------


def test_json_says_all_that_the_table_says(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    found = _score(capsys, gold, _outputs(tmp_path / "p.jsonl", t2="<answer>Rome|PER|None</answer>"))
    two_of_three = {
        "correct": 2, "predicted": 3, "gold": 3,
        "precision": pytest.approx(2 / 3), "recall": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3),
    }  # fmt: skip
    assert found["gmner"] == found["mner"] == two_of_three
    assert found["eeg"] == {"correct": 3, "predicted": 3, "gold": 3, "precision": 1, "recall": 1, "f1": 1}
    assert found["signature"] == "gmner|profile:paper|iou:0.5|frame:original|match:text|boxes:any|v:1"
    assert found["samples"] == 3
    assert found["regions"]["acc_50"] == found["regions"]["acc_75"] == found["regions"]["mean_iou"] == 1
    assert found["predictions"] == {"form": "output", "tweets_without": 0, "tweets_left_out": 0, "failures": {}}
    assert found["intervals"]["gmner_f1"]["low"] <= found["percent"]["gmner_f1"]


def test_a_table_for_people(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["score", str(gold), str(_outputs(tmp_path / "p.jsonl")), "--analysis"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"GMNER  100\.00  100\.00  100\.00  .* to 100\.00 +3 +3 +3\n", text)
    assert "gmner|profile:paper" in text
    assert "large box" not in text
    assert "medium box" in text
    assert "seen in train" in text


def test_iou_and_profile_are_in_the_signature(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    found = _score(capsys, gold, _outputs(tmp_path / "p.jsonl"), "--profile", "strict", "--iou", "0.75")
    assert found["signature"] == "gmner|profile:strict|iou:0.75|frame:original|match:span|boxes:one|v:1"
    assert found["gmner"]["f1"] == 1


def test_tweets_that_stand_in_train_are_left_out(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    found = _score(capsys, gold, _outputs(tmp_path / "p.jsonl"), "--exclude-train-duplicates")
    assert found["gmner"]["gold"] == found["gmner"]["predicted"] == 2
    assert found["signature"].endswith("|without:train-duplicates")


def test_two_systems_are_compared(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    worse = _outputs(tmp_path / "worse.jsonl", t2="<answer>None</answer>")
    found = _score(capsys, gold, _outputs(tmp_path / "p.jsonl"), "--compare", worse)
    assert found["comparison"]["gmner_f1"]["difference"] == pytest.approx(20)
    assert 0 < found["comparison"]["gmner_f1"]["p_randomisation"] <= 1
    assert main(["score", str(gold), str(tmp_path / "p.jsonl"), "--compare", str(worse)]) == 0
    assert "p.jsonl less worse.jsonl" in capsys.readouterr().out


# Forms of gold and predictions -----------------------------------------------------------------------------------


def test_entities_triples_and_lines_say_the_same(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    box = [10, 10, 50, 60]
    company = {"text": "AT &amp ; T", "type": "ORG"}
    entities = [
        {"image_id": 1, "entities": [{"mention": "Jo Doe", "type": "PER", "boxes": [box]}, company]},
        {"image_id": "2", "entities": [{"text": "Rome", "type": "LOC", "bbox": None, "start": 0, "end": 1}]},
    ]
    triples = [
        {"image_id": "1", "triples": [["Jo Doe", "PER", box], ["AT & T", "ORG", None]]},
        {"image_id": "2", "triples": [["Rome", "LOC", []]]},
    ]
    lines = "1\tJo Doe\tPER\t[[10,10,50,60]]\n2\tRome\tLOC\tNone\n1\tAT & T\tORG\tNone\n"
    (tmp_path / "lines.tsv").write_text(lines, encoding="utf-8")
    for name, rows in (("e.jsonl", entities), ("t.jsonl", triples)):
        _jsonl(tmp_path / name, rows)
    for name in ("e.jsonl", "t.jsonl", "lines.tsv"):
        for profile in ("paper", "strict"):
            found = _score(capsys, gold, tmp_path / name, "--profile", profile)
            assert found["gmner"] == {"correct": 3, "predicted": 3, "gold": 3, "precision": 1, "recall": 1, "f1": 1}


def test_our_own_tables(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    samples = read_gold(gold)
    write_table(tmp_path / "samples.parquet", map(sample_to_row, samples), SAMPLES)
    rows = [
        {
            "sample_id": sample.sample_id,
            "reasoning": None,
            "entities": [{"mention": e.mention, "type": e.type, "boxes": e.boxes} for e in sample.entities],
            "problems": [],
        }
        for sample in samples
    ]
    write_table(tmp_path / "predictions.parquet", rows, PREDICTIONS)
    for where in (gold, tmp_path / "samples.parquet"):
        assert _score(capsys, where, tmp_path / "predictions.parquet")["gmner"]["correct"] == 3


def _authors_line(labels: str, response: str) -> dict[str, Any]:
    return {
        "labels_answer_scaled": labels,
        "response_answer_scaled": response,
        "response_answer_orig": response,
        "orig_size": [100, 80],
    }


def test_the_authors_outputs_have_no_ids_and_may_skip_tweets(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    scaled = [round(value) for value in AUTHORS_FRAME.to_model([[10, 10, 50, 60]], (100, 80))[0]]
    first = f"Jo Doe|PER|{json.dumps(scaled)}; AT & T|ORG|None"
    path = _jsonl(tmp_path / "a.jsonl", [_authors_line(first, first), _authors_line("None", "None")])
    for profile in ("paper", "paper-resized"):
        found = _score(capsys, gold, path, "--profile", profile, "--iou", "0.95")
        assert (found["gmner"]["correct"], found["gmner"]["predicted"], found["gmner"]["gold"]) == (2, 2, 3)


def test_three_columns_are_scored_by_the_last(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    for folder in ("txt", "xml"):
        (tmp_path / folder).mkdir()
    gold = tmp_path / "txt" / "test.txt"
    gold.write_text("IMGID:1\nJo\tB-person\tB-athlete\n\n", encoding="utf-8")
    found = _score(capsys, gold, _jsonl(tmp_path / "p.jsonl", [{"image_id": "1", "output": "Jo|athlete|None"}]))
    assert found["gmner"]["correct"] == 1


def test_a_tweet_without_a_prediction_counts_as_predicted_empty(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = _jsonl(tmp_path / "p.jsonl", [{"image_id": "2", "output": RIGHT["2"]}])
    assert main(["score", str(gold), str(path), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["gmner"]["gold"] == 3
    assert "warning: 2 of 3 gold tweets have no prediction" in captured.err


# Errors name the line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image_id": "2"', "p.jsonl:2: not JSON"),
        ("[1]", "p.jsonl:2: expected an object, found list"),
        ('{"image_id": "7", "output": ""}', "p.jsonl:2: image_id '7' is none of the gold tweets'"),
        ('{"image_id": "1", "output": ""}', "p.jsonl:2: image_id '1' comes for the 2. time, but gold has it once"),
        ('{"output": ""}', "p.jsonl:2: no image_id in the keys ['output']"),
        ('{"image_id": "2"}', "p.jsonl:2: no predictions in the keys ['image_id']"),
        ('{"image_id": "2", "output": 3}', "p.jsonl:2: 'output' is int"),
        ('{"image_id": "2", "entities": {}}', "p.jsonl:2: expected a list of entities, found dict"),
        ('{"image_id": "2", "triples": [["a", "PER"]]}', "p.jsonl:2: expected [mention, type, region]"),
        ('{"image_id": "2", "triples": [["a", "PER", [1, 2, 3]]]}', "p.jsonl:2: a region is null, [x1, y1, x2, y2]"),
        ('{"image_id": "2", "triples": [["a", "PER", 5]]}', "p.jsonl:2: a region is null, [x1, y1, x2, y2]"),
    ],
)
def test_errors_name_the_line(gold: Path, tmp_path: Path, capsys, line: str, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "p.jsonl"
    path.write_text(f'{{"image_id": "1", "output": ""}}\n{line}\n', encoding="utf-8")
    assert message in _fails(capsys, gold, path)


def test_errors_in_plain_lines_and_in_gold(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "p.tsv"
    path.write_text("1\tJo\tPER\tNone\n1\tJo\tPER\n", encoding="utf-8")
    assert "p.tsv:2: 3 columns, expected image_id<TAB>mention<TAB>type<TAB>region" in _fails(capsys, gold, path)
    path.write_text("1\tJo\tPER\tleft\n", encoding="utf-8")
    assert "p.tsv:1: region 'left' is neither None nor boxes" in _fails(capsys, gold, path)
    assert "test.txt:3: expected token<TAB>tag" in _fails(capsys, _broken(gold), path)
    (gold.parent.parent / "xml" / "1.xml").write_text("<annotation><object></annotation>", encoding="utf-8")
    gold.write_text(TWEETS, encoding="utf-8")
    assert "1.xml:1: not well-formed XML" in _fails(capsys, gold, path)


def _broken(gold: Path) -> Path:
    gold.write_text("IMGID:1\nJo\tB-PER\nDoe\n", encoding="utf-8")
    return gold


def test_missing_files_and_settings_are_errors(gold: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    predictions = _outputs(tmp_path / "p.jsonl")
    assert "no such file of predictions" in _fails(capsys, gold, tmp_path / "none.jsonl")
    assert "no such file; expected gold tweets" in _fails(capsys, tmp_path / "none.txt", predictions)
    assert "did you mean 'strict'?" in _fails(capsys, gold, predictions, "--profile", "stric")
    assert "--iou is 2; an IoU is above 0 and at most 1" in _fails(capsys, gold, predictions, "--iou", "2")
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    assert "the file is empty" in _fails(capsys, gold, tmp_path / "empty.jsonl")


# Analysis --------------------------------------------------------------------------------------------------------

A, B = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0)


def test_each_error_has_its_heading() -> None:
    gold = [
        Record("a", "PER", (A,)), Record("b", "PER", (A,)), Record("c", "PER"), Record("d", "PER", (A,)),
        Record("e", "PER"), Record("f g", "PER"), Record("h", "PER"),
    ]  # fmt: skip
    predicted = [
        Record("a", "PER", (A,)), Record("b", "PER"), Record("c", "PER", (A,)), Record("d", "PER", (B,)),
        Record("e", "LOC"), Record("f", "PER"), Record("z", "PER"),
    ]  # fmt: skip
    found = {one.outcome: (one.gold, one.predicted) for one in judge(predicted, gold, 0.5)}
    assert found == {
        "correct": (0, 0), "ungrounded": (1, 1), "grounded_absent": (2, 2), "wrong_region": (3, 3), "type": (4, 4),
        "boundary": (5, 5), "missed": (6, None), "spurious": (None, 6),
    }  # fmt: skip


def test_one_record_twice_is_two_predictions() -> None:
    twice = [Record("a", "PER")] * 2
    assert [one.outcome for one in judge(twice, twice[:1], 0.5)] == ["correct", "spurious"]


@pytest.mark.parametrize("profile", CONVENTIONS)
def test_the_taxonomy_sums_to_the_totals_on_real_outputs(
    shared_dir: Path, tmp_path: Path, capsys, profile: str
) -> None:  # type: ignore[no-untyped-def]
    gold = _real_gold(shared_dir, tmp_path)
    found = _score(capsys, gold, shared_dir / "golden" / "test_a.jsonl", "--profile", profile, "--analysis")
    analysis, outcomes = found["analysis"], found["analysis"]["outcomes"]
    assert set(outcomes) == set(OUTCOMES)
    assert outcomes["correct"] == found["gmner"]["correct"]
    assert sum(outcomes.values()) - outcomes["spurious"] == analysis["gold"] == found["gmner"]["gold"]
    assert sum(outcomes.values()) - outcomes["missed"] == analysis["predicted"] == found["gmner"]["predicted"]
    named = sum(outcomes[name] for name in ("correct", "ungrounded", "grounded_absent", "wrong_region"))
    if not convention_of(profile).depends_on_iou:  # there MNER compares other records than GMNER
        assert named == found["mner"]["correct"]
    curve = {one["iou"]: one["f1"] for one in analysis["iou_curve"]}
    assert curve[0.5] == found["gmner"]["f1"]
    assert list(curve.values()) == sorted(curve.values(), reverse=True)
    groundable = [analysis["slices"][name]["gold"] for name in ("groundable", "not groundable")]
    assert sum(groundable) == analysis["gold"]


def _real_gold(shared_dir: Path, folder: Path) -> Path:
    (archive,) = (shared_dir / "data").glob("GMNER-*.zip")
    with zipfile.ZipFile(archive) as stored:
        texts = {name for name in stored.namelist() if "v2.0/txt/test.txt" in name}
        (text,) = texts
        ids = {line.removeprefix("IMGID:") for line in stored.read(text).decode().splitlines() if line[:6] == "IMGID:"}
        boxes = [name for name in stored.namelist() if "v2.0/xml/" in name and Path(name).stem in ids]
        stored.extractall(folder, [text, *boxes])
    return folder / text


@pytest.mark.parametrize("split", ["test", "dev"])
def test_the_command_counts_what_the_authors_scorer_counts(
    shared_dir: Path, tmp_path: Path, capsys, split: str
) -> None:  # type: ignore[no-untyped-def]
    (archive,) = (shared_dir / "data").glob("GMNER-*.zip")
    with zipfile.ZipFile(archive) as stored:
        wanted = [n for n in stored.namelist() if "v2.0/xml/" in n or f"v2.0/txt/{split}.txt" in n]
        stored.extractall(tmp_path, wanted)
    (gold,) = tmp_path.glob(f"*/Twitter10000_v2.0/txt/{split}.txt")
    expected = json.loads((shared_dir / "golden" / f"{split}_a.counts.json").read_text(encoding="utf-8"))
    for iou in (0.5, 0.75):
        found = _score(capsys, gold, shared_dir / "golden" / f"{split}_a.jsonl", "--iou", iou)
        for task in TASKS:
            assert {name: found[task][name] for name in expected[f"iou_{iou}"][task]} == expected[f"iou_{iou}"][task]


@pytest.mark.parametrize("profile", CONVENTIONS)
def test_two_entities_on_one_span_of_a_table_without_train(tmp_path: Path, capsys, profile: str) -> None:  # type: ignore[no-untyped-def]
    twice = (Entity(0, 1, "Paris", "LOC", None, ()), Entity(0, 1, "Paris", "PER", None, ((1.0, 1.0, 9.0, 9.0),)))
    write_samples(
        tmp_path / "s.parquet", [Sample("test/1", "d", "test", "1", "", (99, 99), ("Paris", "x"), "Paris x", twice)]
    )
    guess = {"image_id": "1", "entities": [{"mention": "Paris", "type": "LOC", "boxes": []}]}
    predictions = _jsonl(tmp_path / "p.jsonl", [guess])
    found = _score(capsys, tmp_path / "s.parquet", predictions, "--profile", profile, "--analysis")
    slices = found["analysis"]["slices"]
    assert (
        sum(slices[name]["gold"] for name in ("groundable", "not groundable") if name in slices)
        == (found["gmner"]["gold"])
    )
    assert not [name for name in slices if "train" in name]


def test_analysis_without_training_tweets_says_nothing_of_seen_mentions() -> None:
    assert analyse([], [], convention_of("paper"), 0.5)["slices"] == {}
