"""Predictions in the forms of other tools: COCO and Label Studio; both are read back by `gmner score`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gmner.core.mentions import normalise_mention
from gmner.core.records import Record, Sample
from gmner.errors import ConfigError
from gmner.evaluation.any_system.gold import NO_SIZE
from gmner.evaluation.compared import align, normalised
from gmner.storage.files import write_json


def to_coco(samples: Sequence[Sample], predictions: Sequence[Sequence[Record]]) -> dict[str, Any]:
    """Return COCO: an annotation per box (`bbox`: x, y, width, height), one without a box per invisible entity.

    `entity` numbers the entities of an image, so that several boxes of one stay one.
    """
    types = sorted({record.type for records in predictions for record in records})
    numbers = {name: number for number, name in enumerate(types, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, (sample, records) in enumerate(zip(samples, predictions, strict=True), start=1):
        width, height = sample.size_wh
        images.append(
            {
                "id": image,
                "image_id": sample.image_id,
                "file_name": f"{sample.image_id}.jpg",
                "width": width,
                "height": height,
                "caption": sample.text,
            }
        )
        for entity, record in enumerate(records, start=1):
            for box in record.boxes or (None,):
                place: list[float] = []
                if box is not None:
                    place = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image,
                        "category_id": numbers[record.type],
                        "mention": record.mention,
                        "entity": entity,
                        "bbox": place,
                        "area": place[2] * place[3] if place else 0,
                        "iscrowd": 0,
                    }
                )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def to_label_studio(samples: Sequence[Sample], predictions: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    """Return a task per tweet: its text and image, mentions as labelled spans, boxes as rectangles tied to them.

    Raises ConfigError for a box in an image of unknown size, of which Label Studio wants shares.
    """
    return [_task(sample, records) for sample, records in zip(samples, predictions, strict=True)]


def _task(sample: Sample, records: Sequence[Record]) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    starts = [0]
    for token in sample.tokens:
        starts.append(starts[-1] + len(token) + 1)
    spans = align([normalised(record) for record in records], sample.tokens)
    for number, (record, span) in enumerate(zip(records, spans, strict=True)):
        name = f"e{number}"
        place = {"start": 0, "end": 0}
        if span is not None:
            place = {"start": starts[span[0]], "end": starts[span[1]] - 1}
        value = {**place, "text": normalise_mention(record.mention), "labels": [record.type]}
        results.append({"id": name, "from_name": "label", "to_name": "text", "type": "labels", "value": value})
        for nth, box in enumerate(record.boxes):
            if sample.size_wh == NO_SIZE:
                raise ConfigError(
                    f"image '{sample.image_id}': its size is not known, and Label Studio counts boxes in shares of it; "
                    "export from a samples.parquet"
                )
            results.append(_rectangle(f"{name}b{nth}", name, box, record.type, sample.size_wh))
    data = {"image_id": sample.image_id, "image": f"{sample.image_id}.jpg", "text": sample.text}
    return {"data": data, "predictions": [{"result": results}]}


def _rectangle(
    name: str, parent: str, box: tuple[float, float, float, float], kind: str, size_wh: tuple[int, int]
) -> dict[str, Any]:
    width, height = size_wh
    value = {
        "x": 100 * box[0] / width,
        "y": 100 * box[1] / height,
        "width": 100 * (box[2] - box[0]) / width,
        "height": 100 * (box[3] - box[1]) / height,
        "rotation": 0,
        "rectanglelabels": [kind],
    }
    return {
        "id": name,
        "parentID": parent,
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "value": value,
    }


EXPORTS: dict[str, Callable[[Sequence[Sample], Sequence[Sequence[Record]]], Any]] = {
    "coco": to_coco,
    "label-studio": to_label_studio,
}


def export(wanted: str, samples: Sequence[Sample], predictions: Sequence[Sequence[Record]]) -> Path:
    """Write predictions as `FORM=FILE` says and return the file. Raises ConfigError for an unknown form."""
    form, _, place = wanted.partition("=")
    if form not in EXPORTS or not place:
        raise ConfigError(f"--export is '{wanted}'; expected {' or '.join(f'{name}=FILE' for name in EXPORTS)}")
    write_json(Path(place), EXPORTS[form](samples, predictions))
    return Path(place)
