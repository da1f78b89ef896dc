"""Axis-aligned boxes as NumPy arrays: (N, 4) float64, x1 y1 x2 y2, in pixels of whichever frame the caller means."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]


def as_boxes(boxes: ArrayLike | Sequence[Sequence[float]]) -> Boxes:
    """Return boxes as an (N, 4) float64 array; an empty sequence gives (0, 4). Raises ValueError on another shape."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes have shape {array.shape}, expected (N, 4)")
    return array


def box_area(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the area of each box, (N,); 0 for an inverted box."""
    array = as_boxes(boxes)
    return np.clip(array[:, 2] - array[:, 0], 0, None) * np.clip(array[:, 3] - array[:, 1], 0, None)


def box_iou_pairs(boxes_a: ArrayLike, boxes_b: ArrayLike) -> NDArray[np.float64]:
    """Return the intersection over union of box n of `boxes_a` with box n of `boxes_b`, (N,); 0 / 0 is 0."""
    a, b = as_boxes(boxes_a), as_boxes(boxes_b)
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None)
    inter = sides[:, 0] * sides[:, 1]
    union = box_area(a) + box_area(b) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def box_iou_matrix(boxes_a: ArrayLike, boxes_b: ArrayLike) -> NDArray[np.float64]:
    """Return the intersection over union of each of N boxes with each of M boxes, (N, M); 0 / 0 is 0."""
    a, b = as_boxes(boxes_a), as_boxes(boxes_b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    inter = sides[..., 0] * sides[..., 1]
    union = box_area(a)[:, None] + box_area(b)[None, :] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def clip_boxes(boxes: ArrayLike, sizes_wh: ArrayLike) -> Boxes:
    """Return boxes clipped to their images; `sizes_wh` is (N, 2) or one (2,) width and height in the same frame."""
    array = as_boxes(boxes)
    limit = np.broadcast_to(np.asarray(sizes_wh, dtype=np.float64), (len(array), 2))
    return np.clip(array, 0.0, np.concatenate([limit, limit], axis=1))


def scale_boxes(boxes: ArrayLike, factors_wh: ArrayLike) -> Boxes:
    """Return boxes with x and y multiplied by `factors_wh`, one (2,) or a row a box (N, 2)."""
    array = as_boxes(boxes)
    factors = np.broadcast_to(np.asarray(factors_wh, dtype=np.float64), (len(array), 2))
    return array * np.concatenate([factors, factors], axis=1)
