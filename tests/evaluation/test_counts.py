import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmner.core.boxes import box_iou_matrix
from gmner.core.records import Record
from gmner.evaluation.compared import ComparedTweet
from gmner.evaluation.counts import (
    TASKS,
    Counts,
    box_statistics,
    count_by_type,
    count_sample,
    precision_recall_f1,
    region_scores,
    task_scores,
    total,
)

A, B = (0.0, 0.0, 10.0, 10.0), (100.0, 100.0, 120.0, 120.0)
HALF = (0.0, 0.0, 10.0, 5.0)  # IoU with A is 0.5

boxes = st.sampled_from([(), (A,), (B,), (HALF,), (A, B)])
records = st.lists(st.builds(Record, st.sampled_from("abc"), st.sampled_from(["PER", "LOC"]), boxes), max_size=6)


@given(records, records, st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_records_changes_nothing(predicted: list[Record], gold: list[Record], rng: random.Random) -> None:
    before = count_sample(predicted, gold, 0.5)
    rng.shuffle(predicted)
    rng.shuffle(gold)
    assert count_sample(predicted, gold, 0.5) == before


@given(records, records, st.data())
@settings(max_examples=100, deadline=None)
def test_a_correct_prediction_more_never_lowers_recall(predicted, gold, data) -> None:  # type: ignore[no-untyped-def]
    if not gold:
        return
    more = [*predicted, data.draw(st.sampled_from(gold))]
    before, after = count_sample(predicted, gold, 0.5), count_sample(more, gold, 0.5)
    assert all(getattr(after, task) >= getattr(before, task) for task in TASKS)


@given(records, records, st.sampled_from([0.3, 0.5, 0.75, 1.0]))
@settings(max_examples=100, deadline=None)
def test_counts_are_bounded(predicted: list[Record], gold: list[Record], iou: float) -> None:
    counts = count_sample(predicted, gold, iou)
    assert 0 <= counts.gmner <= min(counts.mner, counts.eeg) <= min(len(predicted), len(gold))
    assert counts.acc_75 <= counts.acc_50 <= counts.paired <= counts.groundable
    for task in TASKS:
        scores = task_scores(counts, task)
        low, high = sorted([scores["precision"], scores["recall"]])
        assert 0 <= low <= scores["f1"] + 1e-12 <= high + 2e-12 <= 1 + 3e-12


@given(records, records)
@settings(max_examples=300, deadline=None)
def test_every_task_is_the_largest_assignment_there_is(predicted: list[Record], gold: list[Record]) -> None:
    counts = count_sample(predicted, gold, 0.5)
    assert counts.mner == _most_pairs(predicted, gold, lambda p, g: (p.mention, p.type) == (g.mention, g.type))
    assert counts.eeg == _most_pairs(predicted, gold, lambda p, g: p.mention == g.mention and _same_region(p, g))
    both = _most_pairs(predicted, gold, lambda p, g: (p.mention, p.type) == (g.mention, g.type) and _same_region(p, g))
    assert counts.gmner == both


def test_eeg_of_a_mention_with_two_types() -> None:
    gold = [Record("m", "A"), Record("m", "B", (A,)), Record("n", "C")]
    predicted = [Record("m", "A", (A,)), Record("m", "B")]
    counts = count_sample(predicted, gold, 0.5)
    assert (counts.gmner, counts.mner, counts.eeg) == (0, 2, 2)


def _same_region(p: Record, g: Record) -> bool:
    if not p.boxes or not g.boxes:
        return not p.boxes and not g.boxes
    return any(box_iou_matrix([one], [other])[0, 0] >= 0.5 for one in p.boxes for other in g.boxes)


def _most_pairs(predicted: list[Record], gold: list[Record], alike: Callable[[Record, Record], bool]) -> int:
    """Return the most pairs by trying everything."""
    if not predicted:
        return 0
    first, rest = predicted[0], predicted[1:]
    tried = [_most_pairs(rest, gold, alike)]
    for place, one in enumerate(gold):
        if alike(first, one):
            tried.append(1 + _most_pairs(rest, gold[:place] + gold[place + 1 :], alike))
    return max(tried)


@given(records)
@settings(max_examples=50, deadline=None)
def test_the_annotation_itself_scores_one(gold: list[Record]) -> None:
    counts = count_sample(gold, gold, 1.0)
    assert counts.gmner == counts.mner == counts.eeg == len(gold)
    assert counts.acc_75 == counts.paired == counts.groundable


def test_each_task_asks_for_what_the_appendix_says() -> None:
    gold = [Record("Jo", "PER", (A,))]
    right_type_wrong_region = count_sample([Record("Jo", "PER", (B,))], gold, 0.5)
    right_region_wrong_type = count_sample([Record("Jo", "ORG", (A,))], gold, 0.5)
    assert (right_type_wrong_region.gmner, right_type_wrong_region.mner, right_type_wrong_region.eeg) == (0, 1, 0)
    assert (right_region_wrong_type.gmner, right_region_wrong_type.mner, right_region_wrong_type.eeg) == (0, 0, 1)


def test_an_absent_region_is_right_only_for_an_absent_region() -> None:
    assert count_sample([Record("Jo", "PER")], [Record("Jo", "PER")], 0.5).gmner == 1
    assert count_sample([Record("Jo", "PER", (A,))], [Record("Jo", "PER")], 0.5).gmner == 0
    assert count_sample([Record("Jo", "PER")], [Record("Jo", "PER", (A,))], 0.5).gmner == 0


def test_an_iou_of_exactly_the_threshold_is_right() -> None:
    assert count_sample([Record("Jo", "PER", (HALF,))], [Record("Jo", "PER", (A,))], 0.5).gmner == 1


def test_a_prediction_without_area_matches_no_region() -> None:
    assert count_sample([Record("Jo", "PER", ((3.0, 3.0, 3.0, 3.0),))], [Record("Jo", "PER", (A,))], 0.5).gmner == 0


def test_accuracy_is_of_groundable_gold_and_mean_iou_of_paired_ones() -> None:
    gold = [Record("a", "PER", (A,)), Record("b", "PER", (A,)), Record("c", "PER", (A,)), Record("d", "PER")]
    predicted = [Record("a", "PER", (A,)), Record("b", "PER", (HALF,)), Record("c", "ORG", (A,)), Record("d", "PER")]
    scores = region_scores(count_sample(predicted, gold, 0.5))
    assert scores["acc_50"] == pytest.approx(2 / 3)
    assert scores["acc_75"] == pytest.approx(1 / 3)
    assert scores["mean_iou"] == pytest.approx(0.75)
    assert scores["mean_iou_all"] == pytest.approx(0.5)
    assert (scores["groundable"], scores["paired"]) == (3, 2)


def test_counts_by_type_add_up_for_mner_and_gmner() -> None:
    gold = [Record("a", "PER", (A,)), Record("b", "LOC"), Record("c", "ORG", (B,))]
    predicted = [Record("a", "PER", (A,)), Record("b", "PER"), Record("c", "ORG", (A,))]
    by_type, whole = count_by_type(ComparedTweet(predicted, gold), 0.5), count_sample(predicted, gold, 0.5)
    summed = total(by_type.values())
    assert (summed.gmner, summed.mner, summed.predicted, summed.gold) == (whole.gmner, whole.mner, 3, 3)
    assert by_type["PER"].predicted == 2
    assert by_type["PER"].gold == 1


def test_nothing_predicted_and_nothing_to_find() -> None:
    assert precision_recall_f1(0, 0, 0) == (0, 0, 0)
    assert total([]) == Counts()
    assert count_sample([], [], 0.5) == Counts()


def test_box_statistics_show_who_lists_many_boxes() -> None:
    found = box_statistics([[Record("a", "PER", (A,) * 400), Record("b", "PER")], [Record("c", "PER", (A,))]])
    assert found == {
        "predictions": 3,
        "grounded": 2,
        "boxes": 401,
        "mean_of_grounded": 200.5,
        "most": 400,
        "more_than_one": 1,
    }
