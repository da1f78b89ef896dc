import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmner.core.boxes import box_iou_matrix
from gmner.core.records import Record
from gmner.evaluation.counts import count_sample
from gmner.evaluation.matching import (
    best_iou,
    group_records,
    iou_of_records,
    matching_size,
    maximum_matching,
    mention_key,
    mention_type_key,
)

HERE, THERE, NEAR = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0), (0.0, 0.0, 10.0, 8.0)


def best_by_trying(edges: np.ndarray) -> int:
    """The size of a maximum matching, by trying everything."""
    if not edges.shape[0]:
        return 0
    best = best_by_trying(edges[1:])
    for column in np.flatnonzero(edges[0]):
        best = max(best, 1 + best_by_trying(np.delete(edges[1:], column, axis=1)))
    return best


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**25 - 1))
@settings(max_examples=80, deadline=None)
def test_matching_is_as_large_as_by_trying_everything(rows: int, columns: int, bits: int) -> None:
    edges = np.array([bool(bits >> k & 1) for k in range(rows * columns)], dtype=bool).reshape(rows, columns)
    assert matching_size(edges) == best_by_trying(edges)
    pairs = maximum_matching(edges)
    assert len(pairs) == matching_size(edges)
    assert all(edges[row, column] for row, column in pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)


def test_greedy_would_find_one_pair_where_two_can_be_made() -> None:
    assert matching_size(np.array([[True, True], [True, False]])) == 2


def test_groups_hold_what_is_equal_on_both_sides() -> None:
    gold = [Record("Paris", "LOC"), Record("Paris", "PER"), Record("Rome", "LOC")]
    predicted = [Record("Paris", "LOC"), Record("Oslo", "LOC")]
    assert [group.key for group in group_records(predicted, gold, mention_type_key)] == [("Paris", "LOC")]
    (group,) = group_records(predicted, gold, mention_key)
    assert (len(group.predicted), len(group.gold)) == (1, 2)


def test_best_iou_is_of_any_box_with_any_box() -> None:
    assert best_iou((THERE, NEAR), (HERE,)) == pytest.approx(0.8)
    assert best_iou((), (HERE,)) == 0
    many = tuple((float(i), 0.0, i + 10.0, 10.0) for i in range(30))
    assert best_iou(many, (HERE,)) == 1


def test_iou_of_records_takes_the_best_box_of_each() -> None:
    predicted = [Record("a", "X", (THERE, NEAR)), Record("a", "X", (THERE,))]
    gold = [Record("a", "X", (HERE,)), Record("a", "X", (THERE, HERE))]
    np.testing.assert_allclose(iou_of_records(predicted, gold), [[0.8, 1.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    "boxes", [lambda i: (HERE,), lambda i: (), lambda i: ((float(i % 37), 0.0, 10.0 + i % 37, 9.0),)]
)
def test_a_thousand_identical_records_take_less_than_a_second(boxes) -> None:  # type: ignore[no-untyped-def]
    predicted = [Record("a", "PER", boxes(i)) for i in range(1000)]
    gold = [Record("a", "PER", boxes(7 * i + 3)) for i in range(1000)]
    begin = time.process_time()
    counts = count_sample(predicted, gold, 0.5)
    assert time.process_time() - begin < 1
    assert counts.mner == 1000


corner = st.integers(0, 40).map(float)
box = st.tuples(corner, corner, corner, corner).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(st.lists(box, min_size=1, max_size=6), st.lists(box, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_iou_is_symmetric_bounded_and_the_same_in_both_ways_of_computing_it(a: list, b: list) -> None:  # type: ignore[type-arg]
    value = best_iou(a, b)
    assert value == best_iou(b, a)
    assert 0 <= value <= 1
    assert value == pytest.approx(float(box_iou_matrix(a, b).max()))
