import json
from pathlib import Path
from typing import Any

import pytest

from gmner.cli import main
from gmner.config.stages import PredictionsStage
from gmner.core.answer import PROBLEMS as ANSWER_PROBLEMS
from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.evaluation.predictions import PROBLEMS, make_predictions, predict_sample
from gmner.storage.tables import OUTPUTS, PREDICTIONS, SAMPLES, read_metadata, read_table, sample_to_row, write_table

FRAME = {"coordinates": "absolute", "min_pixels": 14000, "max_pixels": 19600, "factor": 28}
STAGE = PredictionsStage(frame=FRAME, types=("PER", "LOC"))


def sample(number: int, split: str = "test", size_wh: tuple[int, int] = (280, 280)) -> dict[str, Any]:
    text = "Ann in Rome"
    parts = (f"{split}/{number}", "d", split, str(number), "x.png", size_wh, tuple(text.split()), text, ())
    return sample_to_row(Sample(*parts))


def output(number: int, text: str, finish_reason: str = "stop", split: str = "test") -> dict[str, Any]:
    counts = {"prompt_tokens": 5, "output_tokens": 7, "finish_reason": finish_reason}
    return {"sample_id": f"{split}/{number}", "output": text, **counts}


@pytest.fixture
def predicted(tmp_path: Path) -> Any:
    def predict(outputs: list[dict[str, Any]], numbers: tuple[int, ...] = (2, 1), **settings: Any) -> list[dict]:
        rows = [sample(number) for number in numbers] + [sample(7, split="train")]
        write_table(tmp_path / "samples.parquet", rows, SAMPLES)
        write_table(tmp_path / "outputs.parquet", outputs, OUTPUTS)
        stage = STAGE.model_copy(update=settings)
        paths = [tmp_path / f"{name}.parquet" for name in ("samples", "outputs", "predictions")]
        make_predictions(stage, paths[0], paths[1], "test", paths[2])
        return read_table(paths[2], PREDICTIONS).to_pylist()

    return predict


def entity(mention: str, kind: str, boxes: list[list[float]], place: tuple[int, int, int, int]) -> dict[str, Any]:
    offsets = dict(zip(("start", "end", "char_start", "char_end"), place, strict=True))
    return {"mention": mention, "type": kind, "boxes": boxes, **offsets, "confidence": None}


def codes(row: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in row["problems"]]


def test_one_row_a_sample_in_their_order_with_boxes_in_original_pixels(predicted: Any) -> None:
    rows = predicted(
        [
            output(1, "<think>why</think><answer>Ann|PER|[5,10,55,100]; Rome|LOC|None</answer>"),
            output(2, "<answer>None</answer>"),
        ]
    )
    assert [row["sample_id"] for row in rows] == ["test/2", "test/1"]
    assert rows[0] == {"sample_id": "test/2", "reasoning": None, "entities": [], "problems": []}
    assert rows[1]["reasoning"] == "why" and rows[1]["problems"] == []
    assert rows[1]["entities"] == [
        entity("Ann", "PER", [[10, 20, 110, 200]], (0, 1, 0, 3)),
        entity("Rome", "LOC", [], (2, 3, 7, 11)),
    ]


def test_every_failure_is_kept_with_its_reason(predicted: Any) -> None:
    rows = predicted(
        [output(1, "<answer>Ann|PERSON|None; Rome|LOC|[0,0,500,140]; Ann|PER|[1,2", "length"), output(2, "no idea")],
        (1, 2, 3),
    )
    assert codes(rows[0]) == ["unclosed_answer", "unfinished_record", "truncated", "unknown_type", "outside_image"]
    assert rows[0]["entities"] == [
        entity("Ann", "PERSON", [], (0, 1, 0, 3)),
        entity("Rome", "LOC", [[0, 0, 280, 280]], (2, 3, 7, 11)),
    ]
    assert codes(rows[1]) == ["no_answer"] and codes(rows[2]) == ["no_output"]
    assert all(problem["code"] in PROBLEMS and problem["detail"] for row in rows for problem in row["problems"])


def test_counts_of_problems_travel_with_the_table(predicted: Any, tmp_path: Path) -> None:
    predicted([output(1, "x"), output(2, "y")], (1, 2, 3))
    metadata = read_metadata(tmp_path / "predictions.parquet")
    assert metadata["problems"] == '{"no_answer": 2, "no_output": 1}' and metadata["samples"] == "3"


def test_thousandths(predicted: Any) -> None:
    frame = STAGE.frame.model_copy(update={"coordinates": "norm1000"})
    rows = predicted([output(1, "<answer>Ann|PER|[0,500,250,1000]</answer>")], (1,), frame=frame)
    assert rows[0]["entities"][0]["boxes"] == [[0, 140, 70, 280]]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([output(5, "x")], "1 outputs belong to no sample of the split 'test', for instance 'test/5'"),
        ([output(7, "x", split="train")], "belong to no sample of the split 'test'"),
        ([output(1, "x"), output(1, "y")], "'test/1' has more than one output"),
    ],
)
def test_outputs_of_other_data_are_refused(predicted: Any, outputs: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        predicted(outputs)


def test_the_command(predicted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predicted([output(1, "<answer>Ann|PER|[5,10,55,100]</answer>")])
    words = [
        "stage",
        "predictions",
        "--settings",
        STAGE.model_dump_json(),
        "--samples",
        str(tmp_path / "samples.parquet"),
    ]
    words += ["--outputs", str(tmp_path / "outputs.parquet"), "--out", str(tmp_path / "again.parquet")]
    assert main(words) == 0
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "predictions.parquet").read_bytes()
    assert main([*words, "--split", "dev"]) == 1
    assert "no sample of the split 'dev'" in capsys.readouterr().err


def test_an_invented_mention_is_a_problem_and_has_no_place(predicted: Any) -> None:
    rows = predicted(
        [output(1, "<answer>Ann in|PER|None; Ann i|PER|None; ann|PER|None; Rome Rome|LOC|None</answer>")], (1,)
    )
    assert codes(rows[0]) == ["not_in_text"] * 3
    assert [e["start"] for e in rows[0]["entities"]] == [0, None, None, None]
    assert rows[0]["entities"][0]["char_end"] == len("Ann in")


def test_a_mention_twice_takes_its_places_in_turn() -> None:
    words = ("Go", "&", "Go")
    tweet = Sample("test/1", "d", "test", "1", "x.png", (280, 280), words, " ".join(words), ())
    said = {"output": "<answer>Go|PER|None; Go|PER|None; &amp ;|PER|None</answer>", "finish_reason": "stop"}
    row = predict_sample(tweet, said, Frame(**FRAME), frozenset({"PER"}))
    assert [(e["char_start"], e["char_end"]) for e in row["entities"]] == [(0, 2), (5, 7), (3, 4)]
    assert [e["confidence"] for e in row["entities"]] == [None] * 3
    sure = predict_sample(tweet, {**said, "confidences": [0.5, 0.25, 1.0]}, Frame(**FRAME), frozenset({"PER"}))
    assert [e["confidence"] for e in sure["entities"]] == [0.5, 0.25, 1.0]


def test_codes_of_the_two_stages_do_not_clash() -> None:
    assert len(PROBLEMS) == len(ANSWER_PROBLEMS) + 5


def test_outputs_of_another_frame_are_refused(tmp_path: Path) -> None:
    """Read in another frame, a perfect model's boxes would miss and nothing would say so."""
    paths = [tmp_path / f"{name}.parquet" for name in ("samples", "outputs", "predictions")]
    write_table(paths[0], [sample(1)], SAMPLES)
    rows = [output(1, "<answer>None</answer>")]
    write_table(paths[1], rows, OUTPUTS, {"frame": json.dumps({**FRAME, "max_pixels": 20000})})
    with pytest.raises(DataError, match=r"outputs\.parquet: generated in the frame .*20000.*give the frame of the run"):
        make_predictions(STAGE, paths[0], paths[1], "test", paths[2])
    write_table(paths[1], rows, OUTPUTS, {"frame": json.dumps(FRAME)})
    make_predictions(STAGE, paths[0], paths[1], "test", paths[2])
