import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.core.boxes import as_boxes, box_area, box_iou_matrix, box_iou_pairs, clip_boxes, scale_boxes

sides = st.floats(0, 1000, allow_nan=False, width=32)
boxes = st.lists(st.tuples(sides, sides, sides, sides), min_size=1, max_size=5)


def upright(values: list[tuple[float, ...]]) -> np.ndarray:
    array = np.array(values, dtype=float)
    return np.concatenate([np.minimum(array[:, :2], array[:, 2:]), np.maximum(array[:, :2], array[:, 2:])], axis=1)


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(first: list[tuple[float, ...]], second: list[tuple[float, ...]]) -> None:
    a, b = upright(first), upright(second)
    iou = box_iou_matrix(a, b)
    assert iou.shape == (len(a), len(b))
    assert np.allclose(iou, box_iou_matrix(b, a).T)
    assert (iou >= 0).all() and (iou <= 1 + 1e-9).all()


@given(boxes)
def test_iou_with_itself_is_1_unless_the_box_has_no_area(values: list[tuple[float, ...]]) -> None:
    array = upright(values)
    assert np.allclose(box_iou_pairs(array, array), box_area(array) > 0)


@given(boxes, boxes)
def test_pairs_are_the_diagonal_of_the_matrix(first: list[tuple[float, ...]], second: list[tuple[float, ...]]) -> None:
    count = min(len(first), len(second))
    a, b = upright(first)[:count], upright(second)[:count]
    assert np.array_equal(box_iou_pairs(a, b), np.diag(box_iou_matrix(a, b)))


def test_iou_of_known_boxes() -> None:
    assert box_iou_pairs([(0, 0, 10, 10)], [(5, 0, 15, 10)])[0] == pytest.approx(1 / 3)
    assert box_iou_pairs([(0, 0, 10, 10)], [(10, 0, 20, 10)])[0] == 0


def test_no_boxes_have_the_shape_of_boxes() -> None:
    assert as_boxes([]).shape == (0, 4)
    assert box_iou_matrix([], [(0, 0, 1, 1)]).shape == (0, 1)


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4], [[1, 2, 3]]])
def test_another_shape_is_refused(wrong: list) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 4\)"):
        as_boxes(wrong)


def test_clip_and_scale_take_one_size_or_one_a_box() -> None:
    array = [(-5, -5, 50, 50), (10, 10, 500, 500)]
    assert clip_boxes(array, (40, 30)).tolist() == [[0, 0, 40, 30], [10, 10, 40, 30]]
    assert clip_boxes(array, [(40, 30), (400, 300)]).tolist() == [[0, 0, 40, 30], [10, 10, 400, 300]]
    assert scale_boxes(array, (2, 1)).tolist() == [[-10, -5, 100, 50], [20, 10, 1000, 500]]
    assert scale_boxes(array, [(2, 1), (1, 2)])[1].tolist() == [10, 20, 500, 1000]
