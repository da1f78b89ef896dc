import pytest

from gmner.config.teachers import AcceptanceLimits
from gmner.records import Entity
from gmner.teachers.acceptance import CODES, judge

SEEN = Entity(0, 2, "Mara Quist", "PER", boxes=((0.0, 0.0, 9.0, 9.0),))
ABSENT = Entity(3, 5, "Port Zelka", "LOC")


def code(text: str, **limits: int) -> str | None:
    refusal = judge(text, (SEEN, ABSENT), AcceptanceLimits(**limits))
    assert refusal is None or refusal.code in CODES
    return refusal.code if refusal else None


@pytest.mark.parametrize(
    "text",
    [
        "Mara Quist is red person: visible. Port Zelka is green house: absent.",
        "mara  quist is seen on the left while Port Zelka cannot be seen.",
        "Mara Quist is visible and Port Zelka is not visible",
        "The text names Mara Quist, born in 1984, and Port Zelka. Nothing more helps.",
        "Port Zelka is a city that isn't in the picture. A tall house is visible. Mara Quist waves.",
    ],
)
def test_accepted(text: str) -> None:
    assert code(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" \n", "empty"),
        ("Mara Quist: visible.", "mention_missing"),
        ("Mara Quistel and Port Zelka", "mention_missing"),
        ("<think>Mara Quist, Port Zelka", "tags"),
        ("Mara Quist, Port Zelka </answer >", "tags"),
        ("Mara Quist|PER|None; Port Zelka|LOC|None", "tags"),
        ("<|box_start|> Mara Quist, Port Zelka", "tags"),
        ("Mara Quist at [12, 30, 44, 50], Port Zelka", "coordinates"),
        ("Mara Quist at (12.5 30), Port Zelka", "coordinates"),
        ("Mara Quist 12, 30, 44, 50 Port Zelka", "coordinates"),
        ("Mara Quist at x1=12, Port Zelka", "coordinates"),
        ("Mara Quist's bounding box; Port Zelka", "coordinates"),
        ("Port Zelka is red: visible. Mara Quist: visible.", "contradiction_visible"),
        ("Mara Quist and Port Zelka are visible.", "contradiction_visible"),
        ("Mara Quist. Port Zelka is a city. It is clearly visible.", "contradiction_visible"),
        ("Mara Quist: absent. Port Zelka: absent.", "contradiction_absent"),
        ("Mara Quist isn't visible. Port Zelka: absent.", "contradiction_absent"),
        ("Mara Quist sings. She does not appear in the picture. Port Zelka: absent", "contradiction_absent"),
    ],
)  # fmt: skip
def test_refused(text: str, expected: str) -> None:
    assert code(text) == expected


def test_length() -> None:
    text = "Mara Quist: visible. Port Zelka: absent."
    assert code(text, max_words=6) is None
    assert code(text, max_words=5) == "too_long"
    assert code(text, max_characters=len(text) - 1) == "too_long"


def test_a_mention_with_both_is_not_judged() -> None:
    both = (SEEN, Entity(7, 9, "Mara Quist", "PER"))
    assert judge("Mara Quist: visible. Mara Quist: absent.", both, AcceptanceLimits()) is None


def test_undecided_only_where_asked() -> None:
    text = "Mara Quist and Port Zelka stand in the text."
    assert judge(text, (SEEN, ABSENT), AcceptanceLimits()) is None
    refusal = judge(text, (SEEN, ABSENT), AcceptanceLimits(), must_decide=True)
    assert refusal is not None and str(refusal).startswith("undecided: ")


def test_detail_names_the_place() -> None:
    refusal = judge("Mara Quist at [12, 30]. Port Zelka", (SEEN, ABSENT), AcceptanceLimits())
    assert str(refusal) == "coordinates: '[12, 30'"
