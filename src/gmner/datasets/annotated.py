"""A tweet with its entities and boxes, before its image is looked for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gmner.core.mentions import decode_name
from gmner.core.records import Box, Entity
from gmner.datasets.oddities import Problems
from gmner.datasets.voc import VocFile

SPLITS = ("train", "dev", "test")


class Draft(NamedTuple):
    """One annotated tweet. `annotated_wh` is the image's size as its boxes count it, None if nothing says.

    `where` names the file and line it came from; `image` is the image's own path if the data gives one;
    `raw_escapes` counts the tokens that held an html escape, `box_objects` the boxes in the image's file,
    `mended` the boxes of each entity that its mention got only because blanks in their name were fixed.
    """

    split: str
    image_id: str
    tokens: tuple[str, ...]
    entities: tuple[Entity, ...]
    where: str
    annotated_wh: tuple[int, int] | None = None
    image: str | None = None
    raw_escapes: int = 0
    box_objects: int = 0
    mended: tuple[int, ...] = ()


def attach_boxes(draft: Draft, voc: VocFile, voc_path: Path, problems: Problems) -> Draft:
    """Give each entity the boxes under its mention's text.

    A box belongs to a mention string, so two entities with the same text get the same boxes, each box once.
    Names are compared after blanks are made single and html escapes are decoded; a name that needed its blanks
    mended is noted, and so is one that matches no mention.
    """
    mentions = {entity.mention for entity in draft.entities}
    boxes: dict[str, list[Box]] = {}
    mended: dict[str, int] = {}
    for found in voc.boxes:
        name = decode_name(found.name)
        if name not in mentions:
            problems.add("unmatched_name", draft.split, f"{voc_path.name}:{found.line}: {found.name!r}")
            continue
        if " ".join(found.name.split()) != found.name:
            problems.add("repaired_name", draft.split, f"{voc_path.name}:{found.line}: {found.name!r}")
            mended[name] = mended.get(name, 0) + 1
        boxes.setdefault(name, []).append(found.box)
    said, stem = voc.file_name, voc_path.stem
    if said is not None and said != f"{stem}.jpg" and Path(said).stem != stem:
        problems.add("file_name_differs", draft.split, f"{voc_path.name} says {said!r}")
    return Draft(
        split=draft.split,
        image_id=draft.image_id,
        tokens=draft.tokens,
        entities=tuple(_with_boxes(entity, boxes) for entity in draft.entities),
        where=draft.where,
        annotated_wh=voc.size_wh,
        image=draft.image,
        raw_escapes=draft.raw_escapes,
        box_objects=len(voc.boxes),
        mended=tuple(mended.get(entity.mention, 0) for entity in draft.entities),
    )


def _with_boxes(entity: Entity, boxes: Mapping[str, Sequence[Box]]) -> Entity:
    if entity.mention not in boxes and not entity.boxes:
        return entity
    found = tuple(boxes.get(entity.mention, ()))
    return Entity(entity.start, entity.end, entity.mention, entity.type, entity.fine_type, found, entity.description)


def clip_boxes(draft: Draft, size_wh: tuple[int, int], problems: Problems) -> Draft:
    """Cut boxes at the image's edge and leave out those thinner than a pixel in it, noting both."""
    if all(_inside(box, size_wh) for entity in draft.entities for box in entity.boxes):
        return draft
    return draft._replace(entities=tuple(_clipped(draft, entity, size_wh, problems) for entity in draft.entities))


def _inside(box: Box, size_wh: tuple[int, int]) -> bool:
    return 0 <= box[0] < box[2] <= size_wh[0] and 0 <= box[1] < box[3] <= size_wh[1]


def _clipped(draft: Draft, entity: Entity, size_wh: tuple[int, int], problems: Problems) -> Entity:
    kept: list[Box] = []
    for box in entity.boxes:
        if _inside(box, size_wh):
            kept.append(box)
            continue
        x1, x2 = (min(max(x, 0.0), float(size_wh[0])) for x in box[0::2])
        y1, y2 = (min(max(y, 0.0), float(size_wh[1])) for y in box[1::2])
        text = f"{draft.image_id} '{entity.mention}' {list(box)} in {size_wh[0]}x{size_wh[1]}"
        if x2 - x1 >= 1 and y2 - y1 >= 1:
            problems.add("box_outside", draft.split, text)
            kept.append((x1, y1, x2, y2))
        else:
            problems.add("box_dropped", draft.split, text)
    return replace(entity, boxes=tuple(kept))


def sample_ids(drafts: Iterable[Draft]) -> list[str]:
    """Return `<split>/<image id>` for each draft, with `#2`, `#3` … where an id comes again."""
    seen: dict[str, int] = defaultdict(int)
    ids = []
    for draft in drafts:
        name = f"{draft.split}/{draft.image_id}"
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return ids


def entity_of(tokens: Sequence[str], start: int, end: int, kind: str, fine: bool) -> Entity:
    """Return an entity without boxes; `kind` is the type that is scored, kept as the fine type too if `fine`."""
    return Entity(start, end, " ".join(tokens[start:end]), kind, kind if fine else None)
