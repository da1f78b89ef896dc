import zipfile
from pathlib import Path

import pytest

from gmner.config.teachers import Acceptance
from gmner.core.records import Entity
from gmner.rationales.acceptance import CODES, judge
from gmner.rationales.template import STYLES, write_rationale
from tests.helpers.teacher_samples import make_sample

SEEN = Entity(0, 2, "Mara Quist", "PER", boxes=((0.0, 0.0, 9.0, 9.0),))
ABSENT = Entity(3, 5, "Port Zelka", "LOC")


def code(text: str, **limits: int) -> str | None:
    refusal = judge(text, (SEEN, ABSENT), Acceptance(**limits))
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
    assert judge("Mara Quist: visible. Mara Quist: absent.", both, Acceptance()) is None


def test_undecided_only_where_asked() -> None:
    text = "Mara Quist and Port Zelka stand in the text."
    assert judge(text, (SEEN, ABSENT), Acceptance()) is None
    refusal = judge(text, (SEEN, ABSENT), Acceptance(), must_decide=True)
    assert refusal is not None and str(refusal).startswith("undecided: ")


def test_detail_names_the_place() -> None:
    refusal = judge("Mara Quist at [12, 30]. Port Zelka", (SEEN, ABSENT), Acceptance())
    assert str(refusal) == "coordinates: '[12, 30'"


def test_case_tells_mentions_apart_and_is_forgiven_where_it_does_not() -> None:
    league, word = Entity(0, 1, "NFL", "ORG"), Entity(3, 4, "nfl", "ORG", boxes=((0.0, 0.0, 9.0, 9.0),))
    limits = Acceptance()
    assert judge("NFL: absent. nfl: visible.", (league, word), limits, must_decide=True) is None
    refusal = judge("NFL: visible. nfl: visible.", (league, word), limits)
    assert refusal is not None and refusal.code == "contradiction_visible"
    both_absent = (league, Entity(3, 4, "nfl", "ORG"))
    assert judge("The NFL plays. NFL: absent.", both_absent, limits, must_decide=True) is None
    group = (Entity(0, 1, "IS", "ORG"), Entity(2, 3, "Iraqi", "LOC"))
    assert judge("IS is absent: no. Iraqi is absent: no.", group, limits, must_decide=True) is None


@pytest.mark.slow
def test_the_template_is_accepted_for_every_real_tweet(shared_dir: Path, tmp_path: Path) -> None:
    from gmner.config.data import TwitterDataset
    from gmner.datasets.oddities import Problems
    from gmner.datasets.twitter import read_twitter

    with zipfile.ZipFile(next((shared_dir / "data").glob("GMNER-*.zip"))) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if "/Twitter10000_v2.0/" in name])
    (root,) = (path for path in tmp_path.iterdir())
    drafts = read_twitter(TwitterDataset(kind="twitter"), root, None, Problems())
    assert len(drafts) == 10_000
    limits = Acceptance(max_words=150)
    for number, draft in enumerate(drafts):
        sample = make_sample(caption=None, entities=draft.entities)
        for style in STYLES if number % 5 == 0 else STYLES[:1]:
            refusal = judge(write_rationale(sample, style), draft.entities, limits, must_decide=True)
            assert refusal is None, (draft.image_id, style, str(refusal))
