import pytest

from gmner.config.teachers import Acceptance
from gmner.core.records import Entity
from gmner.errors import DataError
from gmner.rationales.acceptance import judge
from gmner.rationales.template import STYLES, write_rationale
from tests.helpers.teacher_samples import VISIBLE, make_sample


def test_evidence_says_image_then_look_then_decision() -> None:
    assert write_rationale(make_sample(), "evidence") == (
        "Picture: red person visible, blue house visible. Mara Quist is red person visible. "
        "Port Zelka is green house absent. Tavin is not described absent."
    )


def test_other_styles() -> None:
    assert write_rationale(make_sample(), "terse") == "Mara Quist: visible. Port Zelka: absent. Tavin: absent."
    assert write_rationale(make_sample(), "decide_first") == (
        "Mara Quist is visible: red person. Port Zelka is absent: green house. "
        "Tavin is absent: not described. Picture: red person visible, blue house visible."
    )


def test_fine_types_are_said_before_the_look() -> None:
    entities = (Entity(0, 2, "Mara Quist", "musician", "musician", boxes=VISIBLE, description="red person"),)
    sample = make_sample(caption="red person", entities=entities)
    assert write_rationale(sample, "evidence").endswith("Mara Quist is musician red person visible.")
    assert write_rationale(sample, "decide_first").startswith("Mara Quist is visible: musician red person.")
    assert write_rationale(sample, "terse") == "Mara Quist: visible."


def test_no_entity_and_empty_image() -> None:
    sample = make_sample(caption="", entities=())
    assert write_rationale(sample, "evidence") == "Picture: empty. No entity."
    assert write_rationale(sample, "terse") == "No entity."
    assert write_rationale(sample, "decide_first") == "No entity. Picture: empty."


def test_without_caption_the_annotation_is_said_in_the_same_order() -> None:
    entities = (
        Entity(0, 2, "Mara Quist", "PER", boxes=VISIBLE * 2),
        Entity(3, 5, "Port Zelka", "location", fine_type="city"),
    )
    assert write_rationale(make_sample(caption=None, entities=entities), "evidence") == (
        "Picture: 1 of the names in the text. "
        "Mara Quist reads in the text as a person, the picture shows it in 2 places: visible. "
        "Port Zelka reads in the text as a name of the kind city, only background knowledge helps: absent."
    )


def test_a_repeated_mention_is_said_once() -> None:
    twice = (
        Entity(0, 2, "Mara Quist", "PER", boxes=VISIBLE),
        Entity(5, 7, "Mara Quist", "PER", boxes=VISIBLE),
    )
    assert write_rationale(make_sample(entities=twice), "terse") == "Mara Quist: visible."


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("caption", [None, "", "red person, blue house"])
@pytest.mark.parametrize("mention", ["Mara Quist", "St. Louis ; B|C", "[12, 34]", "7", "not visible", "<3"])
def test_every_style_is_accepted_whatever_the_mention(style: str, caption: str | None, mention: str) -> None:
    entities = (
        Entity(0, 2, mention, "PER", boxes=VISIBLE, description="red person"),
        Entity(3, 5, "Port Zelka", "LOC"),
    )
    sample = make_sample(caption=caption, entities=entities)
    assert judge(write_rationale(sample, style), entities, Acceptance(), must_decide=True) is None


def test_unknown_style() -> None:
    from gmner.rationales.template import TemplateProvider

    with pytest.raises(DataError, match="template style 'long' is unknown; expected one of evidence, terse"):
        TemplateProvider("long")
