import csv
import json
import re
from pathlib import Path

import pytest

from gmner.config.stages import TableRow, TableStage
from gmner.core.records import Entity, Record, Sample
from gmner.errors import DataError, MissingInputError
from gmner.evaluation.conventions import convention_of
from gmner.evaluation.scores import score_report
from gmner.reporting.tables.rows import TABLE_COLUMNS
from gmner.reporting.tables.stage import make_table
from gmner.storage.files import write_json

BOX = (0.0, 0.0, 10.0, 10.0)


def _scores(path: Path, right: int, samples: int = 20) -> str:
    """Write scores of a run that finds the first so many of the entities."""
    tweets = [
        Sample(
            f"test/{n}", "demo", "test", str(n), "", (50, 50), ("Jo",), "Jo", (Entity(0, 1, "Jo", "PER", None, (BOX,)),)
        )
        for n in range(samples)
    ]
    found = [[Record("Jo", "PER", (BOX,))] if n < right else [Record("Jo", "PER")] for n in range(samples)]
    write_json(path, score_report(tweets, found, convention_of("paper"), 0.5, False))
    return str(path)


def _row(scores: str, **changes) -> TableRow:  # type: ignore[no-untyped-def]
    found = {"run": "full", "title": "E2E-GMNER", "kind": "tuned", "dataset": "demo-gmner", "fine": False}
    found |= {"backbone": "tiny", "teacher": "template", "cot": True, "strength": 0.1, "seed": 42, "scores": scores}
    return TableRow(**{**found, **changes})


def _make(name: str, rows: list[TableRow], repo: Path, out: Path) -> list[dict[str, str]]:
    paper = repo / "workflow" / "paper" / f"{name}.csv"
    stage = TableStage(name=name, rows=tuple(rows))  # type: ignore[arg-type]
    make_table(stage, [Path(row.scores) for row in rows], paper if name != "figure3" else None, out / f"{name}.csv")
    with (out / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_table1_holds_thirty_reported_rows_and_the_measured_ones(repo: Path, tmp_path: Path) -> None:
    rows = [
        _row(_scores(tmp_path / "u.json", 1), run="untuned", title="Tiny (untuned)", kind="untuned", teacher=None),
        _row(_scores(tmp_path / "a.json", 10), seed=1),
        _row(_scores(tmp_path / "b.json", 14), seed=2),
    ]
    found = _make("table1", rows, repo, tmp_path)
    assert tuple(found[0]) == TABLE_COLUMNS
    assert [row["source"] for row in found] == ["reported"] * 30 + ["measured"] * 2
    assert all(not row["gmner_f1_sd"] and not row["seeds"] for row in found[:30])
    full = found[-1]
    assert (full["method"], full["dataset"], full["seeds"], full["samples"]) == ("E2E-GMNER", "demo-gmner", "1;2", "20")
    assert (full["gmner_f1"], full["gmner_f1_sd"], full["mner_f1"]) == ("60.00", "14.14", "100.00")
    assert full["signature"] == "gmner|profile:paper|iou:0.5|frame:original|match:text|boxes:any|v:1"
    assert found[-2]["gmner_f1_sd"] == ""


def test_table1_for_reading_keeps_data_sets_apart(repo: Path, tmp_path: Path) -> None:
    scores = _scores(tmp_path / "a.json", 10)
    _make("table1", [_row(scores), _row(scores, dataset="twitter-gmner", backbone="qwen2.5-vl-7b")], repo, tmp_path)
    text = (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert "| **External knowledge** |" in text
    assert "| MAKAR† | 71.88 | 86.38 | 74.64 | 60.54 | 71.24 | 75.66 |" in text
    assert "| RiVEG† | 63.80 | 82.89 | 66.92 | - | - | - |" in text
    assert text.index("MAKAR") < text.index("## Measured on demo-gmner") < text.index("## Measured on twitter-gmner")
    tex = (tmp_path / "table1.tex").read_text(encoding="utf-8")
    assert tex.count("\\toprule") == tex.count("\\bottomrule") == 3
    assert "\\multicolumn{3}{c}{Twitter-GMNER}" in tex


def test_table2_marks_a_significant_difference(repo: Path, tmp_path: Path) -> None:
    rows = [
        _row(_scores(tmp_path / "a.json", 100, 200)),
        _row(_scores(tmp_path / "b.json", 60, 200), run="no-cot", title="w/o CoT", cot=False, teacher=None),
        _row(_scores(tmp_path / "c.json", 99, 200), run="no-grbp", title="w/o GRBP", strength=0.0),
    ]
    found = [row for row in _make("table2", rows, repo, tmp_path) if row["source"] == "measured"]
    assert [row["difference"] for row in found] == ["", "-20.00", "-0.50"]
    assert float(found[1]["p_value"]) < 0.05 < float(found[2]["p_value"])
    text = (tmp_path / "table2.md").read_text(encoding="utf-8")
    assert r"-20.00\*" in text
    assert "-0.50 |" in text
    assert "| w/o CoT | 62.57 | 53.96 |" in text


def test_seeds_are_not_more_tweets(repo: Path, tmp_path: Path) -> None:
    """The same answers under ten seeds say what they say under one, also where only one side has ten."""
    full, other = _scores(tmp_path / "a.json", 100, 200), _scores(tmp_path / "b.json", 92, 200)
    p_values = []
    for seeds in (1, 10):
        rows = [_row(full, seed=seed) for seed in range(seeds)]
        rows += [_row(other, run="terse", title="Terse", teacher="terse", seed=seed) for seed in range(seeds)]
        rows.append(_row(other, run="once", title="Once", teacher="once", seed=0))
        (tmp_path / str(seeds)).mkdir()
        found = [row for row in _make("table3", rows, repo, tmp_path / str(seeds)) if row["source"] == "measured"]
        assert [row["difference"] for row in found] == ["", "-4.00", "-4.00"]
        p_values += [float(row["p_value"]) for row in found[1:]]
    assert max(p_values) < 0.05 and max(p_values) - min(p_values) < 0.01


def test_rows_of_different_conventions_are_not_compared(repo: Path, tmp_path: Path) -> None:
    strict = json.loads(Path(_scores(tmp_path / "b.json", 60, 200)).read_text(encoding="utf-8"))
    write_json(tmp_path / "b.json", strict | {"signature": strict["signature"].replace("iou:0.5", "iou:0.9")})
    rows = [_row(_scores(tmp_path / "a.json", 100, 200))]
    rows.append(_row(str(tmp_path / "b.json"), run="terse", title="Terse", teacher="terse"))
    found = [row for row in _make("table3", rows, repo, tmp_path) if row["source"] == "measured"]
    assert [row["p_value"] for row in found] == ["", ""]


def test_table3_names_the_teachers(repo: Path, tmp_path: Path) -> None:
    found = _make("table3", [_row(_scores(tmp_path / "a.json", 10))], repo, tmp_path)
    assert [row["teacher"] for row in found][::2] == ["Qwen2.5-VL-72B", "Qwen2.5-VL-7B", "GPT4o", "template"]
    assert "| GPT4o | 63.77 | 53.96 |" in (tmp_path / "table3.md").read_text(encoding="utf-8")


def test_figure3_is_drawn_alike_each_time(repo: Path, tmp_path: Path) -> None:
    rows = [
        _row(_scores(tmp_path / f"{n}.json", 5 + n), run=f"s{n}", title=f"s{n}", strength=strength)
        for n, strength in enumerate([0.2, 0.0, 0.1])
    ]
    found = _make("figure3", rows, repo, tmp_path)
    assert [row["strength"] for row in found] == ["0", "0.1", "0.2"]
    assert [row["gmner_f1"] for row in found] == ["30.00", "35.00", "25.00"]
    assert found[0]["acc_50"] == "30.00"
    first = {name: (tmp_path / f"figure3.{name}").read_bytes() for name in ("csv", "md", "png", "pdf")}
    _make("figure3", rows, repo, tmp_path)
    assert first == {name: (tmp_path / f"figure3.{name}").read_bytes() for name in first}
    assert first["png"].startswith(b"\x89PNG")


def test_figure3_tells_a_run_whose_two_strengths_differ(repo: Path, tmp_path: Path) -> None:
    rows = [
        _row(_scores(tmp_path / f"{n}.json", 5 + n), run=f"s{n}", title=f"s{n}", strength=shift, scale_strength=scale)
        for n, (shift, scale) in enumerate([(0.0, 0.0), (0.25, 0.1), (0.0, 0.3), (0.1, 0.1)])
    ]
    found = _make("figure3", rows, repo, tmp_path)
    assert [(row["strength"], row["scale_strength"]) for row in found] == [
        *(("0", "0"), ("0", "0.3")),
        *(("0.1", "0.1"), ("0.25", "0.1")),
    ]
    text = (tmp_path / "figure3.md").read_text(encoding="utf-8")
    assert "(β; γ where it differs)" in text and "| 0.25 (γ 0.1) | s1 |" in text and "| 0.1 | s3 |" in text


def test_figure3_refuses_a_strength_that_comes_twice(repo: Path, tmp_path: Path) -> None:
    scores = _scores(tmp_path / "a.json", 5)
    with pytest.raises(DataError, match=r"'one' and 'two' on demo-gmner with tiny both have strength 0\.1"):
        _make("figure3", [_row(scores, run="a", title="one"), _row(scores, run="b", title="two")], repo, tmp_path)


def test_missing_score_files_are_named(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(
        MissingInputError, match=r"1 of 1 score files are missing: .*gone\.json; make them with: snakemake"
    ):
        _make("table1", [_row(str(tmp_path / "gone.json"))], repo, tmp_path)


def test_seeds_counted_differently_are_refused(repo: Path, tmp_path: Path) -> None:
    first, second = (_scores(tmp_path / f"{n}.json", 5) for n in "ab")
    report = json.loads(Path(second).read_text(encoding="utf-8"))
    write_json(second, {**report, "signature": "gmner|profile:strict"})
    with pytest.raises(DataError, match="run 'full' on demo-gmner: its seeds were counted by different conventions"):
        _make("table1", [_row(first, seed=1), _row(second, seed=2)], repo, tmp_path)


# The paper's printed numbers -------------------------------------------------------------------------------------


def _printed(shared_dir: Path) -> list[list[str]]:
    lines = (shared_dir / "paper.txt").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if line.startswith("|")]


def _reported(repo: Path, name: str) -> list[dict[str, str]]:
    with (repo / "workflow" / "paper" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_table1_is_the_papers(repo: Path, shared_dir: Path) -> None:
    printed = {
        re.sub(r"\W", "", cells[0]): ["" if cell == "-" else cell for cell in cells[1:]]
        for cells in _printed(shared_dir)
        if len(cells) == 7 and re.fullmatch(r"\d+\.\d+", cells[1])
    }
    assert len(printed) == 15
    found: dict[str, list[str]] = {}
    for row in _reported(repo, "table1"):
        dagger = "†" if row["group"] == "External knowledge" else ""
        cited = "" if "Ours" in row["method"] else row["citation"]
        name = re.sub(r"\W", "", f"{row['method']}{dagger} {cited}")
        found.setdefault(name, []).extend([row["gmner_f1"], row["mner_f1"], row["eeg_f1"]])
    assert found == printed


@pytest.mark.parametrize(("name", "column"), [("table2", "method"), ("table3", "teacher")])
def test_tables_2_and_3_are_the_papers(repo: Path, shared_dir: Path, name: str, column: str) -> None:
    printed = [cells for cells in _printed(shared_dir) if len(cells) == 3 and re.fullmatch(r"\d+\.\d+", cells[1])]
    assert len(printed) == 6
    found: dict[str, list[str]] = {}
    for row in _reported(repo, name):
        found.setdefault(row[column], []).append(row["gmner_f1"])
    assert [[key, *values] for key, values in found.items()] == (printed[:3] if name == "table2" else printed[3:])
