"""The offline teacher: a rationale written from the gold annotation by rule.

The order inside a rationale decides what a small model can learn from it: first what the image holds, then
what each entity is, in the same words, then the decision whether it is visible. `evidence` has that order;
`terse` has the decisions alone; `decide_first` has the same words in the other order.
"""

from gmner.core.records import Entity, Sample
from gmner.errors import DataError
from gmner.llm_client.types import Answer, Request

VERSION = "v3"
STYLES = ("evidence", "terse", "decide_first")
_KINDS = {
    "PER": "a person",
    "ORG": "an organisation",
    "LOC": "a place",
    "OTHER": "another kind of name, such as a work, an event or a product",
}


class TemplateProvider:
    """Answers from the annotation, at once and for nothing."""

    def __init__(self, style: str) -> None:
        if style not in STYLES:
            raise DataError(f"template style '{style}' is unknown; expected one of {', '.join(STYLES)}")
        self._style = style

    async def answer(self, request: Request) -> Answer:
        """Answer with the rationale of the request's sample."""
        return Answer(write_rationale(request.sample, self._style))

    async def close(self) -> None:
        """Hold nothing, release nothing."""


def write_rationale(sample: Sample, style: str) -> str:
    """Return the rationale of a sample in one of `STYLES`; the same sample gives the same text."""
    entities = _distinct(sample.entities)
    if style == "terse":
        return " ".join(f"{entity.mention}: {_decision(entity)}." for entity in entities) or "No entity."
    image, looks = _image(sample), sample.caption is not None
    if style == "decide_first":
        lines = [_decide_first(entity, looks) for entity in entities] or ["No entity."]
        return " ".join([*lines, image])
    lines = [_evidence(entity, looks) for entity in entities] or ["No entity."]
    return " ".join([image, *lines])


def _distinct(entities: tuple[Entity, ...]) -> list[Entity]:
    """Leave out an entity that would only repeat a sentence: same name, look, type and visibility."""
    seen: dict[tuple[str, str | None, str, bool], Entity] = {}
    for entity in entities:
        seen.setdefault((entity.mention, entity.description, entity.type, bool(entity.boxes)), entity)
    return list(seen.values())


def _decision(entity: Entity) -> str:
    return "visible" if entity.boxes else "absent"


def _image(sample: Sample) -> str:
    """Say what the image holds: what its caption lists, or by the annotation how many of the names it shows.

    The word of the decision follows each thing, as it will follow the same words where a name is decided: a small
    model that has learned to copy what came after the same words before then decides rightly.
    """
    if sample.caption is not None:
        things = [thing for thing in sample.caption.split(", ") if thing.strip()]
        return f"Picture: {', '.join(f'{thing} visible' for thing in things)}." if things else "Picture: empty."
    visible = list(dict.fromkeys(entity.mention for entity in sample.entities if entity.boxes))
    if not visible:
        return "Picture: nothing that the text names."
    return f"Picture: {len(visible)} of the names in the text."


def _evidence(entity: Entity, looks: bool) -> str:
    if not looks:
        return f"{_text_evidence(entity)}, {_need(entity)}: {_decision(entity)}."
    return f"{entity.mention} is {_look(entity)} {_decision(entity)}."


def _decide_first(entity: Entity, looks: bool) -> str:
    if not looks:
        return f"{entity.mention} is {_decision(entity)}: {_need(entity)}. {_text_evidence(entity)}."
    return f"{entity.mention} is {_decision(entity)}: {_look(entity)}."


def _look(entity: Entity) -> str:
    """Say how the entity looks, after its fine type where types are fine: only the text tells that one."""
    kind = f"{entity.fine_type} " if entity.fine_type else ""
    return kind + (entity.description or "not described")


def _text_evidence(entity: Entity) -> str:
    return f"{entity.mention} reads in the text as {_kind(entity)}"


def _need(entity: Entity) -> str:
    """Say which evidence decides: the image where it shows the entity, else background knowledge."""
    if entity.boxes:
        count = len(entity.boxes)
        return "the picture shows it" + (f" in {count} places" if count > 1 else "")
    return "only background knowledge helps"


def _kind(entity: Entity) -> str:
    known = _KINDS.get(entity.type)
    return known or f"a name of the kind {(entity.fine_type or entity.type).replace('_', ' ').lower()}"
