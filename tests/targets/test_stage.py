import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gmner.cli import main
from gmner.config.stages import TargetsStage
from gmner.core.answer import parse_output
from gmner.core.boxes import box_iou_pairs
from gmner.core.records import Entity, Sample
from gmner.errors import DataError
from gmner.rationales.template import write_rationale
from gmner.storage.tables import RATIONALES, SAMPLES, TARGETS, read_metadata, read_table, sample_to_row, write_table
from gmner.targets.stage import make_targets

FRAME = {"coordinates": "absolute", "min_pixels": 14000, "max_pixels": 19600, "factor": 28}


def sample(number: int, *entities: Entity, split: str = "train", size_wh: tuple[int, int] = (280, 280)) -> Sample:
    text = "Ann ; Bo in Rome"
    return Sample(f"{split}/{number}", "d", split, str(number), "x.png", size_wh, tuple(text.split()), text, entities)


ANN = Entity(0, 3, "Ann ; Bo", "PER", "athlete", ((10.0, 20.0, 110.0, 200.0), (150.0, 20.0, 250.0, 220.0)))
ROME = Entity(4, 5, "Rome", "LOC", "city")
SAMPLES_OF = [
    sample(3, ANN, ROME),
    sample(1),
    sample(2, ROME, Entity(0, 1, "Ann", "PER", None, ((0.0, 0.0, 600.0, 400.0),)), size_wh=(600, 400)),
    sample(9, ANN, split="test"),
]


def rationale(name: str, text: str | None, accepted: bool = True) -> dict[str, Any]:
    said = {"teacher": "t", "provider": "template", "model": "m", "prompt_version": "v", "key": "k", "tries": 1}
    return {"sample_id": name, "text": text, "accepted": accepted, "reason": None if accepted else "empty", **said}


RATIONALES_OF = [
    rationale("train/1", "No <answer> here."),
    rationale("train/2", "Both places."),
    rationale("train/3", None, accepted=False),
]


@pytest.fixture
def made(tmp_path: Path) -> Any:
    write_table(tmp_path / "samples.parquet", map(sample_to_row, SAMPLES_OF), SAMPLES)

    def make(
        rationales: list[dict[str, Any]] | None = RATIONALES_OF, seed: int = 42, **settings: Any
    ) -> tuple[pa.Table, dict[str, Any]]:
        how = {"cot": True, "epochs": 3, "grbp": {}, "frame": FRAME, "fine": False, "when_refused": "no_reasoning"}
        if rationales is not None:
            write_table(tmp_path / "rationales.parquet", rationales, RATIONALES)
        path = None if rationales is None else tmp_path / "rationales.parquet"
        out = tmp_path / "targets.parquet"
        make_targets(TargetsStage(**{**how, **settings}), tmp_path / "samples.parquet", path, seed, out)
        metadata = read_metadata(out)
        return read_table(out, TARGETS), {**json.loads(metadata["counts"]), "dropped": json.loads(metadata["dropped"])}

    return make


def test_rows_stand_by_epoch_in_the_order_of_the_samples(made: Any) -> None:
    table, counts = made()
    assert table.column("epoch").to_pylist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table.column("sample_id").to_pylist() == ["train/3", "train/1", "train/2"] * 3
    assert (counts["samples"], counts["entities"], counts["boxes"], counts["epochs"]) == (3, 4, 3, 3)


def test_completions_say_the_annotation_with_the_boxes_of_the_row(made: Any) -> None:
    table, _ = made()
    for row in table.to_pylist():
        parsed = parse_output(row["completion"])
        gold = next(s for s in SAMPLES_OF if s.sample_id == row["sample_id"])
        assert parsed.problems == ()
        assert [(r.mention, r.type) for r in parsed.records] == [(e.mention, e.type) for e in gold.entities]
        assert [list(box) for record in parsed.records for box in record.boxes] == row["boxes"]
        assert [len(record.boxes) for record in parsed.records] == [len(e.boxes) for e in gold.entities]
        assert (parsed.reasoning is not None) == row["reasoning"]


def test_boxes_are_in_the_model_s_frame_and_differ_between_epochs(made: Any) -> None:
    table, _ = made()
    rows = table.filter(pa.compute.equal(table.column("sample_id"), "train/3")).to_pylist()
    assert rows[0]["original_boxes"] == [[5, 10, 55, 100], [75, 10, 125, 110]]  # seen at half the size
    assert len({json.dumps(row["boxes"]) for row in rows}) == 3
    for row in table.to_pylist():
        if row["boxes"]:
            assert np.allclose(box_iou_pairs(row["boxes"], row["original_boxes"]), row["iou"])
            assert min(row["iou"]) >= 0.6 and len(row["tries"]) == len(row["fallback"]) == len(row["boxes"])


def test_a_sample_s_rows_depend_on_nothing_but_itself_and_the_seed(made: Any, tmp_path: Path) -> None:
    table, _ = made()
    bytes_before = (tmp_path / "targets.parquet").read_bytes()
    again, _ = made()
    assert (tmp_path / "targets.parquet").read_bytes() == bytes_before and again.equals(table)
    fewer, _ = made([*RATIONALES_OF[:2], rationale("train/3", None, accepted=False)], when_refused="drop")
    chosen = table.filter(pa.compute.not_equal(table.column("sample_id"), "train/3"))
    assert fewer.to_pylist() == chosen.to_pylist()
    other, _ = made(seed=43)
    assert other.column("boxes") != table.column("boxes")


def test_without_perturbation_the_original_is_taught(made: Any) -> None:
    table, counts = made(grbp={"enabled": False})
    assert table.column("boxes").equals(table.column("original_boxes"))
    assert (counts["perturbed_boxes"], counts["fallbacks"], counts["mean_iou"]) == (0, 0, 1.0)


def test_without_chain_of_thought_nothing_is_said_first(made: Any) -> None:
    table, counts = made(None, cot=False)
    assert not any(table.column("reasoning").to_pylist()) and counts["reasoned_samples"] == 0
    assert all(text.startswith("<answer>") for text in table.column("completion").to_pylist())
    assert table.column("completion")[1].as_py() == "<answer>None</answer>"


def test_fine_types_are_taught_where_they_are_scored(made: Any) -> None:
    table, _ = made(fine=True)
    kinds = [record.type for record in parse_output(table.column("completion")[0].as_py()).records]
    assert kinds == ["athlete", "city"]


def test_boxes_in_thousandths(made: Any) -> None:
    table, _ = made(frame={"coordinates": "norm1000", "factor": 32}, grbp={"enabled": False})
    rows = table.slice(0, 3).to_pylist()
    assert rows[0]["boxes"][0] == [36, 71, 393, 714]
    assert rows[2]["boxes"] == [[0, 0, 1000, 1000]]


def test_a_refused_rationale_by_policy(made: Any) -> None:
    table, counts = made()
    assert table.column("reasoning").to_pylist()[:3] == [False, True, True]
    assert (counts["refused_rationales"], counts["reasoned_samples"], counts["dropped_samples"]) == (1, 2, 0)
    assert parse_output(table.column("completion")[1].as_py()).reasoning == "No (answer) here."

    table, counts = made(when_refused="drop")
    assert table.column("sample_id").to_pylist() == ["train/1", "train/2"] * 3
    assert (counts["dropped"], counts["dropped_samples"], counts["samples"]) == (["train/3"], 1, 2)

    table, counts = made(when_refused="template")
    reasoning = parse_output(table.column("completion")[0].as_py()).reasoning
    assert reasoning == write_rationale(SAMPLES_OF[0], "evidence") and counts["reasoned_samples"] == 3
    written = [*RATIONALES_OF[:2], rationale("train/3", "By rule.", accepted=False)]
    table, _ = made(written, when_refused="template")
    assert parse_output(table.column("completion")[0].as_py()).reasoning == "By rule."
    table, _ = made(written)
    assert parse_output(table.column("completion")[0].as_py()).reasoning is None


@pytest.mark.parametrize(
    ("rationales", "settings", "said"),
    [
        (RATIONALES_OF[:2], {}, "1 of 3 training samples have no rationale, for instance 'train/3'"),
        ([*RATIONALES_OF, RATIONALES_OF[1]], {}, "'train/2' has more than one rationale"),
        (None, {}, "pass --rationales"),
        ([rationale("train/1", " "), *RATIONALES_OF[1:]], {}, "rationale of 'train/1' is empty"),
        (
            [rationale(f"train/{n}", None, accepted=False) for n in (1, 2, 3)],
            {"when_refused": "drop"},
            "every rationale was refused",
        ),
    ],
)
def test_what_does_not_fit_is_refused(made: Any, rationales: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        made(rationales, **settings)


@pytest.mark.parametrize("when", ["no_reasoning", "template", "drop"])
def test_a_run_that_reasons_needs_rationales(made: Any, tmp_path: Path, when: str) -> None:
    refused = [rationale(f"train/{n}", None, accepted=False) for n in (2, 3)]
    few = [RATIONALES_OF[0], *refused]
    with pytest.raises(DataError, match=r"1 of 3 rationales were accepted, expected at least 50%.*cot: true"):
        made(few, when_refused=when)
    assert not (tmp_path / "targets.parquet").exists()
    made(few, when_refused=when, least_accepted=0.3)
    with pytest.raises(DataError, match=r"refused|0 of 3 rationales were accepted"):
        made([rationale("train/1", None, accepted=False), *refused], when_refused=when, least_accepted=0.01)
    made(few, cot=False)


def test_an_impossible_image_names_its_sample(made: Any, tmp_path: Path) -> None:
    rows = [sample_to_row(sample(5, ANN, size_wh=(4000, 10)))]
    write_table(tmp_path / "samples.parquet", rows, SAMPLES)
    with pytest.raises(DataError, match=r"sample 'train/5': .*too elongated"):
        made(None, cot=False)


def test_no_training_samples(made: Any, tmp_path: Path) -> None:
    write_table(tmp_path / "samples.parquet", [sample_to_row(SAMPLES_OF[3])], SAMPLES)
    with pytest.raises(DataError, match="nothing to train on"):
        made(None, cot=False)


def test_the_command(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made()
    expected = (tmp_path / "targets.parquet").read_bytes()
    settings = TargetsStage(cot=True, epochs=3, grbp={}, frame=FRAME, fine=False, when_refused="no_reasoning")
    words = [
        "stage",
        "targets",
        "--settings",
        settings.model_dump_json(),
        "--samples",
        str(tmp_path / "samples.parquet"),
    ]
    words += ["--seed", "42", "--out", str(tmp_path / "again.parquet"), "--rationales"]
    assert main([*words, str(tmp_path / "rationales.parquet")]) == 0
    assert (tmp_path / "again.parquet").read_bytes() == expected
    assert main([*words, "none"]) == 1
    assert "error: the run reasons" in capsys.readouterr().err
