"""Images and texts through a trained run: entities in the text and in the image, for one or for many."""

from gmner.reporting.annotate.annotation import (
    Annotation,
    annotate,
    annotate_many,
    backbone_of_run,
    drawing_name,
    load_adapter,
    remove_work,
)
from gmner.reporting.annotate.drawing import check_ending, draw_records, save_drawing
from gmner.reporting.annotate.requests import Request, clean_text, read_requests

__all__ = [
    "Annotation",
    "Request",
    "annotate",
    "annotate_many",
    "backbone_of_run",
    "check_ending",
    "clean_text",
    "draw_records",
    "drawing_name",
    "load_adapter",
    "read_requests",
    "remove_work",
    "save_drawing",
]
