import csv
import json
import re
from pathlib import Path

import pytest

from gmner.config.stages import TableRow, TableStage
from gmner.config.tables import Tables
from gmner.core.records import Entity, Record, Sample
from gmner.errors import ConfigError, DataError, MissingInputError
from gmner.evaluation.conventions import convention_of
from gmner.evaluation.scores import score_report
from gmner.reporting.tables import TABLES, TableEntry
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
    make_table(stage, [Path(row.scores) for row in rows], paper if paper.exists() else None, out / f"{name}.csv")
    with (out / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _read(path: Path) -> str:
    """Text with runs of blanks made one: a table's padding is no content."""
    return re.sub(" +", " ", path.read_text(encoding="utf-8"))


def test_table1_holds_thirty_reported_rows_and_the_measured_ones(repo: Path, tmp_path: Path) -> None:
    rows = [
        _row(_scores(tmp_path / "u.json", 1), run="untuned", title="Tiny (untuned)", kind="untuned", teacher=None),
        _row(_scores(tmp_path / "a.json", 10), seed=1),
        _row(_scores(tmp_path / "b.json", 14), seed=2),
    ]
    found = _make("table1", rows, repo, tmp_path)
    assert tuple(found[0]) == TABLE_COLUMNS
    assert [row["source"] for row in found] == ["reported"] * 30 + ["measured"] * 2 + ["computed"]
    assert all(not row["gmner_f1_sd"] and not row["seeds"] for row in found[:30])
    full, trivial = found[-2:]
    assert (full["method"], full["dataset"], full["seeds"], full["samples"]) == ("E2E-GMNER", "demo-gmner", "1;2", "20")
    assert (full["gmner_f1"], full["gmner_f1_sd"], full["mner_f1"]) == ("60.00", "14.14", "100.00")
    assert full["signature"] == "gmner|profile:paper|iou:0.5|frame:original|match:text|boxes:any|v:1"
    assert found[-3]["gmner_f1_sd"] == ""
    assert (trivial["method"], trivial["gmner_f1"], trivial["mner_f1"]) == ("None everywhere", "0.00", "100.00")


def test_table1_for_reading_keeps_data_sets_apart(repo: Path, tmp_path: Path) -> None:
    scores = _scores(tmp_path / "a.json", 10)
    _make("table1", [_row(scores), _row(scores, dataset="twitter-gmner", backbone="qwen2.5-vl-7b")], repo, tmp_path)
    text = _read(tmp_path / "table1.md")
    assert "| **External knowledge** |" in text
    assert "| MAKAR† | 71.88 | 86.38 | 74.64 | 60.54 | 71.24 | 75.66 |" in text
    assert "| RiVEG† | 63.80 | 82.89 | 66.92 | - | - | - |" in text
    assert text.index("MAKAR") < text.index("## Measured on demo-gmner") < text.index("## Measured on twitter-gmner")
    tex = (tmp_path / "table1.tex").read_text(encoding="utf-8")
    assert tex.count("\\toprule") == tex.count("\\bottomrule") == 3
    assert "\\multicolumn{3}{c}{Twitter-GMNER}" in tex


def _seeds(folder: Path, name: str, rights: list[int], **changes: object) -> list[TableRow]:
    scores = [_scores(folder / f"{name}{seed}.json", right, 200) for seed, right in enumerate(rights)]
    return [_row(path, run=name, title=name, seed=seed, **changes) for seed, path in enumerate(scores)]


def test_table2_marks_a_difference_that_seeds_bear_out(repo: Path, tmp_path: Path) -> None:
    rows = [
        *_seeds(tmp_path, "full", [100, 101, 99, 100]),
        *_seeds(tmp_path, "no-cot", [60, 61, 59, 60], cot=False, teacher=None),
        *_seeds(tmp_path, "no-grbp", [60, 99, 130, 107], strength=0.0),
    ]
    found = [row for row in _make("table2", rows, repo, tmp_path) if row["source"] == "measured"]
    assert [row["difference"] for row in found] == ["", "-20.00", "-0.50"]
    assert float(found[1]["p_value"]) < 0.05 < float(found[2]["p_value"])
    text = _read(tmp_path / "table2.md")
    assert "-20.00\\*" in text
    assert "| -0.50 |" in text
    assert "| w/o CoT | 62.57 | 53.96 |" in text
    assert "± " in text and "None everywhere" in text


def test_one_seed_says_nothing_of_the_method(repo: Path, tmp_path: Path) -> None:
    rows = [*_seeds(tmp_path, "full", [200]), *_seeds(tmp_path, "no-cot", [10], cot=False)]
    found = [row for row in _make("table2", rows, repo, tmp_path) if row["source"] == "measured"]
    assert found[1]["p_value"] == "" and found[1]["statement"] == "one seed: no statement about the method"
    text = _read(tmp_path / "table2.md")
    assert "\\*" not in text and "(one seed)" in text and "one seed: no statement about the method" in text


def test_table4_compares_with_its_reference(repo: Path, tmp_path: Path) -> None:
    rows = [*_seeds(tmp_path, "sft", [90, 92]), *_seeds(tmp_path, "grpo", [120, 121])]
    found = _make("table4", rows, repo, tmp_path)
    assert [row["method"] for row in found] == ["sft", "grpo"]
    assert (found[1]["difference"], found[0]["difference"]) == ("14.75", "")
    assert "against the first row" in _read(tmp_path / "table4.md")


def test_newer_systems_name_their_source_and_scoring(repo: Path, tmp_path: Path) -> None:
    found = _make("newer", [_row(_scores(tmp_path / "a.json", 10), dataset="twitter-gmner")], repo, tmp_path)
    newer = {row["method"]: row for row in found if row["source"] == "reported"}
    assert newer["MCR"]["gmner_f1"] == "70.60" and newer["MAKAR"]["gmner_f1"] == "71.88"
    assert all(row["citation"] and row["counted_by"] and row["seen"] for row in newer.values())
    assert "not 73" not in _read(tmp_path / "newer.md")


def test_conventions_never_share_a_column(repo: Path, tmp_path: Path) -> None:
    first = json.loads(Path(_scores(tmp_path / "a.json", 10)).read_text(encoding="utf-8"))
    write_json(tmp_path / "b.json", first | {"signature": first["signature"].replace("paper", "sake")})
    rows = [_row(str(tmp_path / "a.json")), _row(str(tmp_path / "b.json"), run="other", title="Other")]
    _make("table1", rows, repo, tmp_path)
    page = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))
    measured = [block for block in page["blocks"] if block["caption"].startswith("Measured")]
    assert [[row[0] for row in block["rows"]] for block in measured] == [
        ["E2E-GMNER", "None everywhere"],
        ["Other", "None everywhere"],
    ]
    assert all("profile:" in block["caption"] for block in measured)


def test_every_key_of_the_configuration_has_a_layout() -> None:
    assert set(Tables.model_fields) == set(TABLES)
    for entry in TABLES.values():
        assert callable(entry.load())


def test_a_dummy_table_is_one_line(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "mine", TableEntry("gmner.reporting.tables.table4:table4", paper=False))
    assert _make("mine", [_row(_scores(tmp_path / "a.json", 10))], repo, tmp_path)[0]["gmner_f1"] == "50.00"
    with pytest.raises(ConfigError, match="no table is called 'table9'; there are table1"):
        make_table(TableStage(name="table9", rows=()), [], None, tmp_path / "x.csv")


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
    assert "| GPT4o | 63.77 | 53.96 |" in _read(tmp_path / "table3.md")


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
    text = _read(tmp_path / "figure3.md")
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
