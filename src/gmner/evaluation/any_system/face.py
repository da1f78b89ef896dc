"""Scoring from Python: `gmner.score` and `gmner.load_samples`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.evaluation.any_system.gold import read_gold
from gmner.evaluation.any_system.predictions import Predictions
from gmner.evaluation.any_system.score import Request, score_file, score_predictions
from gmner.evaluation.conventions import convention_of


def load_samples(path: Path | str, split: str = "test", xml_dir: Path | str | None = None) -> list[Sample]:
    """Read annotated tweets: one split of a samples.parquet, or `txt/<split>.txt` with its boxes in `xml_dir`.

    `xml_dir` defaults to the folder `xml` beside the tagged file's own. Boxes are in pixels of the original images; the
    size of an image without a box file is (0, 0). Raises MissingInputError or DataError, which name the file.
    """
    return read_gold(Path(path), Path(xml_dir) if xml_dir else None, split)


def score(
    gold: Path | str | Sequence[Sample],
    predictions: Path | str | Sequence[Sequence[Record]],
    *,
    profile: str = "paper",
    iou: float = 0.5,
    split: str = "test",
    fine: bool = False,
) -> dict[str, Any]:
    """Score predictions by the convention that `profile` names; the result is what `gmner score --json` prints.

    Both are files (any format that `gmner score` reads), or both are in memory: samples, and for each of them its
    predicted records with boxes in pixels of the original image. Raises DataError if the two differ in length.
    """
    convention = convention_of(profile)
    if isinstance(gold, (str, Path)) and isinstance(predictions, (str, Path)):
        return score_file(Request(Path(gold), Path(predictions), convention, iou, split=split, fine=fine)).to_json()
    if isinstance(gold, (str, Path)) or isinstance(predictions, (str, Path)):
        raise DataError("score: one of gold and predictions is a file, the other is not; pass two files or two lists")
    if len(gold) != len(predictions):
        raise DataError(
            f"score: {len(gold)} samples but {len(predictions)} predictions; pass one list of records per sample, "
            "empty if nothing was found"
        )
    in_memory = Path("in memory")  # named in no message: nothing is read
    found = Predictions([tuple(records) for records in predictions], missing=0, form="records", sized={})
    request = Request(in_memory, in_memory, convention, iou, split=split, fine=fine)
    return score_predictions(request, list(gold), found).to_json()
