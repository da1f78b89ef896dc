"""Test tweets as the page's gallery shows them: gold, what each run said, and what was right and wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gmner.core.mentions import normalise_mention
from gmner.core.records import Box, Record, Sample
from gmner.evaluation.compared import Convention, SystemRecord, align
from gmner.evaluation.error_analysis import judge
from gmner.evaluation.matching import best_iou


def tweet_json(sample: Sample, image: int, fine: bool) -> dict[str, Any]:
    """Return a sample for the page; `image` is its number among the page's images.

    Boxes are in pixels of the original image, whose width and height are `size`.
    """
    gold = [
        {"s": e.start, "e": e.end, "m": e.mention, "t": _label(e.type, e.fine_type, fine), "b": _boxes(e.boxes)}
        for e in sample.entities
    ]
    return {
        "id": sample.sample_id,
        "image_id": sample.image_id,
        "image": image,
        "size": list(sample.size_wh),
        "tokens": list(sample.tokens),
        "gold": gold,
    }


def answer_json(
    sample: Sample, row: Mapping[str, Any], predicted: Sequence[Record], convention: Convention, iou: float, fine: bool
) -> dict[str, Any]:
    """Return what a run said of a sample and how each record was judged.

    `row` is the sample's row of PREDICTIONS and `predicted` its records. Judged as the run's convention compares
    records, but each record by itself where that convention counts equal ones as one: every record has a verdict.
    """
    compared = convention.compare_each(sample, predicted, iou, fine)
    guesses, gold = compared.predicted, compared.gold
    spans = align([_comparable(record) for record in predicted], sample.tokens)
    entities: list[dict[str, Any]] = []
    for record, span in zip(predicted, spans, strict=True):
        place: dict[str, Any] = {"s": span[0], "e": span[1]} if span else {}
        if isinstance(record, SystemRecord) and record.confidence is not None:
            place["c"] = round(record.confidence, 4)
        entities.append({"m": record.mention, "t": record.type, "b": _boxes(record.boxes), **place})
    verdicts = []
    for one in judge(guesses, gold, iou):
        verdict: dict[str, Any] = {"o": one.outcome, "g": one.gold, "p": one.predicted}
        if one.gold is not None and one.predicted is not None:
            pair = (guesses[one.predicted].boxes, gold[one.gold].boxes)
            if all(pair):
                verdict["iou"] = round(float(best_iou(*pair)), 3)
        verdicts.append(verdict)
    verdicts.sort(key=lambda v: (v["g"] is None, v["g"] if v["g"] is not None else v["p"]))
    problems = [[problem["code"], problem["detail"]] for problem in row["problems"]]
    return {"r": row["reasoning"], "e": entities, "v": verdicts, "x": problems}


def types_of(samples: Iterable[Sample], fine: bool) -> list[str]:
    """Return the types of some samples' entities, sorted."""
    return sorted({_label(e.type, e.fine_type, fine) for sample in samples for e in sample.entities})


def _comparable(record: Record) -> Record:
    return record if isinstance(record, SystemRecord) else replace(record, mention=normalise_mention(record.mention))


def _label(coarse: str, fine_type: str | None, fine: bool) -> str:
    return fine_type if fine and fine_type is not None else coarse


def _boxes(boxes: Iterable[Box]) -> list[list[float]]:
    return [[round(float(side), 1) for side in box] for box in boxes]
