"""Rewards: right answers are worth all, every known way to cheat is worth less than an honest answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.config.refine import RewardSettings
from gmner.core.answer import render_answer
from gmner.core.records import Record
from gmner.training.refine.rewards import Reward, is_right, region_worth, reward_of

BOX = (10.0, 10.0, 50.0, 60.0)
TOKENS = ("Ann", "Lee", "in", "Rome", "and", "Kew")
GOLD = (Record("Ann Lee", "PER", (BOX,)), Record("Rome", "LOC"))
SHAPES = ("hard", "linear", "gaussian")


def worth(records, shape: str = "linear", reasoning: str | None = "Seen.", gold=GOLD) -> Reward:
    return reward_of(render_answer(records, reasoning), gold, TOKENS, RewardSettings(iou=shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_right_answer_is_worth_all(shape: str) -> None:
    assert worth(GOLD, shape) == Reward(1.0, 1.0, 1.0, 1.0, 1.0)
    assert worth([], shape, gold=()).total == 1.0
    assert is_right(render_answer(GOLD, "x"), GOLD)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "records",
    [
        [*GOLD, GOLD[0]],  # said twice
        [GOLD[0]] * 40,
        [Record("Ann Lee", "PER", tuple((float(x), 0.0, x + 40.0, 60.0) for x in range(0, 60, 5))), GOLD[1]],
        [Record("Ann Lee", "PER", (BOX, BOX)), GOLD[1]],
        [*GOLD, Record("Kew", "LOC")],
        [Record("Ann Lee", "PER"), GOLD[1]],
        [GOLD[0]],
        [],
        [*GOLD, *(Record(token, kind) for token in TOKENS for kind in ("PER", "ORG", "LOC", "OTHER"))],
        [Record("Ann Lee", "PER", (BOX,)), Record("Rome", "LOC"), Record("Ben", "PER")],  # invented
    ],
)
def test_hacking_is_worth_less_than_honesty(records, shape: str) -> None:
    assert worth(records, shape).total < 0.98


def test_a_listed_box_is_worth_its_share() -> None:
    others = tuple((float(x), 0.0, x + 10.0, 5.0) for x in range(60, 100, 10))
    assert region_worth((BOX, *others), (BOX,), "hard") == pytest.approx(1 / 5)
    assert region_worth((BOX,), (BOX, *others), "hard") == pytest.approx(1 / 5)
    assert region_worth((), (), "hard") == 1.0 and region_worth((), (BOX,), "hard") == 0.0


@given(shift=st.floats(0, 40), other=st.floats(0, 40))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_nearer_box_is_never_worth_less(shape: str, shift: float, other: float) -> None:
    near, far = sorted((shift, other))
    at = [region_worth(((10 + by, 10.0, 50 + by, 60.0),), (BOX,), shape) for by in (near, far)]
    assert 1.0 >= at[0] >= at[1] - 1e-9 >= -1e-9


def test_the_gaussian_tells_misses_of_a_large_box_apart_as_of_a_small_one() -> None:
    def worth_of(side: float, shift: float) -> float:
        return region_worth(((shift * side, 0.0, side + shift * side, side),), ((0.0, 0.0, side, side),), "gaussian")

    large, small = ([worth_of(side, shift) for shift in (0.1, 0.3)] for side in (100.0, 10.0))
    assert large == pytest.approx(small) and large[0] > 0.9 > large[1] > 0.4


@given(text=st.text(max_size=60))
def test_nothing_breaks_on_garbage(text: str) -> None:
    reward = reward_of(text, GOLD, TOKENS, RewardSettings())
    assert 0.0 <= reward.total <= 1.0


def test_no_answer_is_worth_nothing_even_where_there_is_no_entity() -> None:
    assert reward_of("I see nobody.", (), TOKENS, RewardSettings()).total == 0.0
    assert reward_of("<answer></answer>", (), TOKENS, RewardSettings()).total == 0.0
    assert not is_right("<think>x</think><answer>Ann|PER|None", ())


def test_a_cut_answer_or_a_foreign_mention_loses_the_form() -> None:
    text = render_answer(GOLD, "x")
    assert reward_of(text, GOLD, TOKENS, RewardSettings(), whole=False).form == 0.0
    assert worth([*GOLD, Record("Ben", "PER")]).form == 0.0
    assert worth([Record("Ann", "PER"), Record("Rome", "LOC")]).form == 1.0


def test_weights_must_pay_for_something() -> None:
    with pytest.raises(ValueError, match="an answer's content must be worth something"):
        RewardSettings(mention=0, mner=0, gmner=0)
