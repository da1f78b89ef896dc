"""Which of two files is the gold annotation and which the predictions: told before either is read wrongly."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gmner.errors import DataError
from gmner.storage.files import refuse_special

GOLD, PREDICTIONS = "gold annotations", "predictions"


def kind_of(path: Path) -> str | None:
    """Return what a file holds by its first bytes or columns, None if that cannot be told."""
    if not path.is_file():
        return None
    if path.suffix == ".parquet":
        try:
            names = pq.read_schema(path).names
        except (OSError, pa.ArrowInvalid):
            return None
        return GOLD if "tokens" in names else PREDICTIONS if "problems" in names else None
    with path.open("rb") as stream:
        head = stream.read(4096).decode("utf-8-sig", "replace").lstrip()
    if head.startswith("IMGID:"):
        return GOLD
    line = head.split("\n", 1)[0]
    if head.startswith(("{", "[")) or "###" in line or line.startswith("image_id,"):
        return PREDICTIONS
    return PREDICTIONS if line.count("\t") == 3 and not line.rsplit("\t", 1)[-1].startswith(("B-", "O")) else None


def check_not_swapped(gold: Path, predictions: Path) -> None:
    """Raise DataError if gold and predictions were given in each other's place, or one of them twice."""
    for path in (gold, predictions):
        refuse_special(path)
    of_gold, of_predictions = kind_of(gold), kind_of(predictions)
    if of_gold == PREDICTIONS and of_predictions == GOLD:
        raise DataError(
            f"{gold} holds predictions and {predictions} gold annotations: they are swapped; "
            f"run: gmner score {predictions} {gold}"
        )
    if of_gold == PREDICTIONS:
        raise DataError(f"{gold}: holds predictions; gold annotations come first, such as …/txt/test.txt")
    if of_predictions == GOLD:
        raise DataError(f"{predictions}: holds gold annotations; expected predictions as the second file")
