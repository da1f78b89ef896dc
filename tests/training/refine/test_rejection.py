"""The targets that come of sampled answers."""

from gmner.config.refine import RefineSettings
from gmner.core.answer import render_answer
from gmner.core.frame import Frame
from gmner.core.records import Entity, Record, Sample
from gmner.training.refine.pool import Pooled, PooledAnswer
from gmner.training.refine.rejection import next_targets

FRAME = Frame("absolute", 14000, 19600, 28)
GOLD = Record("Ann", "PER", ((10.0, 10.0, 50.0, 60.0),))


def pooled(name: str, right: list[bool], reasons: list[str]) -> Pooled:
    entity = Entity(0, 1, "Ann", "PER", boxes=((10.0, 10.0, 50.0, 60.0),))
    sample = Sample(name, "d", "train", name, "x.png", (140, 140), ("Ann",), "Ann", (entity,))
    said = [
        render_answer([GOLD if ok else Record("Ann", "ORG")], reason) for ok, reason in zip(right, reasons, strict=True)
    ]
    answers = (
        PooledAnswer(name, text, ok, float(ok) - n / 100) for n, (text, ok) in enumerate(zip(said, right, strict=True))
    )
    return Pooled(sample, tuple(answers))


def test_right_reasoning_is_kept_and_the_annotation_answers() -> None:
    hard = pooled("a", [True, False, True], ["one", "two", "three"])
    hopeless = pooled("b", [False, False, False], ["x", "y", "z"])
    easy = pooled("c", [True, True, True], ["p", "p", "q"])
    settings = RefineSettings(method="rejection", epochs=3, most_kept=2, easy=0.0)
    rows = next_targets([hard, hopeless, easy], {"a": "A", "b": "B", "c": "C"}, settings, FRAME, False, 1)
    by_sample = {name: [row["completion"] for row in rows if row["sample_id"] == name] for name in "abc"}
    assert by_sample["a"] == [render_answer([GOLD], reason) for reason in ("one", "three", "one")]
    assert by_sample["b"] == ["B"] * 3 and by_sample["c"] == []
    everything = settings.model_copy(update={"easy": 1.0})
    rows = next_targets([hard, hopeless, easy], {"a": "A", "b": "B", "c": "C"}, everything, FRAME, False, 1)
    assert [row["completion"] for row in rows if row["sample_id"] == "c"] == [
        render_answer([GOLD], reason) for reason in ("p", "q", "p")
    ]
    assert [one.difficulty for one in (hard, hopeless, easy)] == ["hard", "hopeless", "easy"]
