r"""The grammar in which a model writes its answer: one function that writes it, one that reads it.

`<think>reasoning</think><answer>mention|type|[x1,y1,x2,y2]; mention|type|None</answer>` (paper, equation 3). Several
boxes of one entity are `[[x1,y1,x2,y2],[x1,y1,x2,y2]]`; where the text names no entity the answer is `None`; without
chain of thought the answer stands alone. Boxes are whole numbers of the model's frame.

A backslash stands before each of `\ ; | [ ] < >`, their full-width forms, a line break, and a blank at either end,
where they belong to a mention or a type, so that every name survives. The reader takes what models write in their
stead: it never raises, it needs time in proportion to the text, and it gives a reason for all that it could not
take at its word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gmner.core.records import Box, Record

PROBLEMS = {
    "no_answer": "no answer was found",
    "no_answer_tag": "the answer does not stand inside <answer></answer>",
    "unclosed_answer": "the answer is not closed",
    "several_answers": "there are several answers; the last one counts",
    "empty_answer": "the answer is empty; it should be None",
    "unclosed_think": "the reasoning is not closed",
    "no_think_tag": "the reasoning is not opened",
    "extra_text": "text outside reasoning and answer",
    "not_a_record": "a part of the answer is no mention|type|region; left out",
    "unfinished_record": "the last record is cut off; left out",
    "unescaped": "a separator inside a mention has no backslash",
    "missing_region": "a record has no region; it counts as a wrong one",
    "bad_box": "a region is neither None nor boxes of four numbers; where nothing can be read it counts as a wrong one",
    "loose_box": "boxes are not bracketed one by one",
    "inverted_box": "a box's corners are in the wrong order; swapped",
    "flat_box": "a box has no area",
    "empty_mention": "a record has no mention; left out",
    "empty_type": "a record has no type",
}
"""What `parse_output` reports: code to meaning."""

UNREADABLE_BOX: Box = (0.0, 0.0, 0.0, 0.0)
"""Stands for a region that cannot be read: it is not None, and it overlaps with no box. Were it read as None, a model
would be rewarded for garbage wherever the entity is not visible."""

MOST_PROBLEMS = 50
"""An answer's problems beyond this many are not listed."""

_NONE_WORDS = frozenset({"none", "null", "n/a", "[]", "no entity", "no entities"})
_ESCAPED = re.compile(r"[\\;|\[\]<>\n\r；｜［］]")
_ESCAPE = re.compile(r"\\([\\;|\[\]<>；｜［］]|\s)")
_TAG = re.compile(r"<\s{0,2}(/?)\s{0,2}(think|answer)\s{0,2}>", re.IGNORECASE)
_CUT_TAG = re.compile(r"(?<!\\)<\s?/?[a-z]{0,6}\s*\Z", re.IGNORECASE)
_MARK = re.compile(r"\\.|[;；|｜\n\r]", re.DOTALL)
_ASCII = str.maketrans("；｜［］，（）｛｝", ";|[],(){}")
_BRACKETED = re.compile(r"\[([^\[\]]*)\]")
_USUAL_BOX = re.compile(r"\[(\d{1,9}), ?(\d{1,9}), ?(\d{1,9}), ?(\d{1,9})\]", re.ASCII)
_NUMBER = re.compile(r"(?<![A-Za-z_\d.])[-+]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_REGION_MARKS = re.compile(r"[\[\](){},;.\d\s+-]+", re.ASCII)
_LONGEST_NUMBER = 24  # characters; anything longer is no coordinate


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in an output that is not as the grammar has it: a key of PROBLEMS, and the place in words."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ParsedOutput:
    """What an output says. `reasoning` is None where there is none; boxes are in the model's frame."""

    reasoning: str | None
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]


def render_answer(records: Sequence[Record], reasoning: str | None) -> str:
    """Return the completion that says `records` (boxes in the model's frame, rounded) after `reasoning`.

    None as the reasoning leaves the `<think>` part out. Tags inside the reasoning lose their angle brackets.
    """
    answer = "; ".join(_render_record(record) for record in records) or "None"
    think = "" if reasoning is None else f"<think>{clean_reasoning(reasoning)}</think>"
    return f"{think}<answer>{answer}</answer>"


def clean_reasoning(reasoning: str) -> str:
    """Return a reasoning without blanks around it and with the grammar's tags in it made harmless."""
    return _TAG.sub(r"(\1\2)", reasoning.strip())


def _render_record(record: Record) -> str:
    boxes = [f"[{','.join(str(round(value)) for value in box)}]" for box in record.boxes]
    region = "None" if not boxes else boxes[0] if len(boxes) == 1 else f"[{','.join(boxes)}]"
    return f"{escape_name(record.mention)}|{escape_name(record.type)}|{region}"


def escape_name(name: str) -> str:
    """Return a mention or type as it stands in an answer: a backslash before each separator, and at blank ends."""
    escaped = _ESCAPED.sub(r"\\\g<0>", name)
    if escaped[-1:].isspace() and not escaped.endswith(("\\\n", "\\\r")):
        escaped = f"{escaped[:-1]}\\{escaped[-1]}"
    return f"\\{escaped}" if escaped[:1].isspace() else escaped


def _unescape(name: str) -> str:
    return _ESCAPE.sub(r"\1", name) if "\\" in name else name


class _Notes:
    """The problems found so far, each with the words around it."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, code: str, detail: str = "") -> None:
        if len(self.found) < MOST_PROBLEMS:
            self.found.append(Problem(code, " ".join(detail[:80].split()) or PROBLEMS[code]))


@dataclass(slots=True)
class _Piece:
    """A part of the answer between two separators: what its bars divide; the last field in pieces."""

    separator: str  # before it
    fields: list[str]
    region: list[str] = field(default_factory=list)
    depth: int = 0  # of brackets left open in the region

    def extend_region(self, text: str) -> None:
        """Add to the region; appending to a list keeps this linear in the length of the answer."""
        self.region.append(text)
        self.depth += text.count("[") + text.count("［") - text.count("]") - text.count("］")

    def whole(self) -> list[str]:
        """Return the stripped fields, the region last."""
        return [_strip(part) for part in (*self.fields, "".join(self.region))]


def parse_output(text: str) -> ParsedOutput:
    """Return what a model's output says, with a problem for each departure from the grammar. Never raises.

    A record whose region is missing or unreadable is kept, its mention and type being said, with UNREADABLE_BOX; one
    that the end of the text cuts off is left out.
    """
    notes = _Notes()
    reasoning, answer, closed = _split_output(text, notes)
    records = [] if answer is None else _read_answer(answer, closed, notes)
    return ParsedOutput(reasoning, tuple(records), tuple(notes.found))


# Reasoning and answer ----------------------------------------------------------------------------------------------


def _split_output(text: str, notes: _Notes) -> tuple[str | None, str | None, bool]:
    """Return the reasoning, the answer's text (None where there is none), and whether the answer is closed."""
    tags = [(f"{tag[1]}{tag[2].lower()}", tag.start(), tag.end()) for tag in _TAG.finditer(text)]
    opened = [(start, end) for name, start, end in tags if name == "answer"]
    body = opened[-1][1] if opened else 0
    closing = next(((start, end) for name, start, end in tags if name == "/answer" and start >= body), None)
    if not opened:
        return _split_untagged(text, closing, notes)
    reasoning, rest = _split_reasoning(text[: opened[-1][0]], notes)
    if len(opened) > 1:
        notes.add("several_answers", rest)
    elif rest.strip():
        notes.add("extra_text", rest)
    if closing is None:
        notes.add("unclosed_answer", text[-80:])
        return reasoning, _CUT_TAG.sub("", text[body:]), False
    if text[closing[1] :].strip():
        notes.add("extra_text", text[closing[1] :])
    return reasoning, text[body : closing[0]], True


def _split_untagged(text: str, closing: tuple[int, int] | None, notes: _Notes) -> tuple[str | None, str | None, bool]:
    reasoning, rest = _split_reasoning(text[: closing[0]] if closing else text, notes)
    if "|" not in rest and "｜" not in rest and not _is_none(rest):
        notes.add("no_answer", rest)
        return reasoning, None, False
    notes.add("no_answer_tag", rest)
    return reasoning, rest, closing is not None


def _split_reasoning(text: str, notes: _Notes) -> tuple[str | None, str]:
    """Return the reasoning in the text before an answer, and what else stands there."""
    tags = [(tag[1], tag.start(), tag.end()) for tag in _TAG.finditer(text) if tag[2].lower() == "think"]
    opening = next(((start, end) for slash, start, end in tags if not slash), None)
    closing = next(((start, end) for slash, start, end in reversed(tags) if slash), None)
    if closing is None:
        if opening is None:
            return None, text
        notes.add("unclosed_think", text[-80:])
        return text[opening[1] :].strip(), text[: opening[0]]
    if opening is None or opening[1] > closing[0]:
        notes.add("no_think_tag", text)
        return text[: closing[0]].strip(), text[closing[1] :]
    return text[opening[1] : closing[0]].strip(), text[: opening[0]] + text[closing[1] :]


# Records -----------------------------------------------------------------------------------------------------------


def _read_answer(answer: str, closed: bool, notes: _Notes) -> list[Record]:
    if not answer.strip():
        notes.add("empty_answer")
        return []
    if _is_none(answer):
        return []
    pieces = _join_pieces(answer, notes)
    last = len(pieces) - 1
    records = []
    for number, piece in enumerate(pieces):
        fields = piece.whole()
        if number == last and not closed and not _is_finished(fields):
            notes.add("unfinished_record", "|".join(fields))
            continue
        record = _read_record(fields, notes)
        if record is not None:
            records.append(record)
    return records


def _split_pieces(answer: str) -> Iterator[_Piece]:
    """Yield what unescaped semicolons and line breaks divide, and in each what unescaped bars divide."""
    separator, fields, position = "", [], 0
    for mark in _MARK.finditer(answer):
        if mark[0][0] == "\\":
            continue
        fields.append(answer[position : mark.start()])
        position = mark.end()
        if mark[0] not in "|｜":
            yield _Piece(separator, fields)
            separator, fields = mark[0], []
    yield _Piece(separator, [*fields, answer[position:]])


def _join_pieces(answer: str, notes: _Notes) -> list[_Piece]:
    """Return the pieces that are records, each with what stray separators had cut off from it.

    A piece without a bar is no record of its own. It goes on with the region before it, where that has a bracket
    open or the piece is a box; else it begins the mention after it, whose semicolon was not escaped.
    """
    found: list[_Piece] = []
    waiting: list[str] = []  # the beginning of a mention
    for piece in _split_pieces(answer):
        text = piece.fields[0]
        if len(piece.fields) > 1:
            if waiting and piece.separator not in "\r\n":
                piece.fields[0] = "".join([*waiting, piece.separator, text])
                notes.add("unescaped", piece.fields[0])
            elif waiting:
                notes.add("not_a_record", "".join(waiting))
            waiting = []
            piece.extend_region(piece.fields.pop())
            found.append(piece)
        elif found and not waiting and _is_box_list(text, goes_on=found[-1].depth > 0):
            found[-1].extend_region(piece.separator + text)
        elif text.strip() and not _is_none(text):
            if waiting and piece.separator not in "\r\n":
                waiting += [piece.separator, text]
            else:
                if waiting:
                    notes.add("not_a_record", "".join(waiting))
                waiting = [text]
        elif text.strip():
            notes.add("not_a_record", text)
    if waiting:
        notes.add("not_a_record", "".join(waiting))
    return found


def _read_record(fields: list[str], notes: _Notes) -> Record | None:
    """Return the record that two or more fields say, or None without a mention."""
    names, regions = fields[:-1], fields[-1:]
    while len(names) > 2 and _is_box_list(names[-1]):
        regions.append(names.pop())
    region = ",".join(reversed(regions))
    if len(names) == 1:  # one of the three is missing: the shape of what is there says which
        names = [*names, ""] if _is_box_list(region) or _is_none(region) else [*names, region]
        region = region if not names[1] else ""
    if len(names) > 2:
        notes.add("unescaped", "|".join(fields))
    mention, kind, where = "|".join(names[:-1]), names[-1], "|".join(fields)
    if not mention:
        notes.add("empty_mention", where)
        return None
    if not kind:
        notes.add("empty_type", where)
    return Record(_unescape(mention), _unescape(kind), _read_region(region, where, notes))


def _strip(text: str) -> str:
    """Return text without the blanks around it, but with one at its end that a backslash protects."""
    if "\\" not in text:
        return text.strip()
    kept = text.rstrip()
    backslashes = len(kept) - len(kept.rstrip("\\"))
    if backslashes % 2 and len(kept) < len(text):
        kept += text[len(kept)]
    return kept.lstrip()


def _is_none(text: str) -> bool:
    return len(text) < 200 and text.strip(" \t\r\n.`'\"").lower() in _NONE_WORDS


def _is_box_list(text: str, goes_on: bool = False) -> bool:
    """Say whether text is nothing but boxes; one that goes on with an open bracket need not begin with its own."""
    plain = text.translate(_ASCII).strip()
    return (goes_on or plain.startswith(("[", "("))) and _REGION_MARKS.fullmatch(plain) is not None


def _is_finished(fields: list[str]) -> bool:
    """Say whether a record at the end of an answer that was cut off has all of its parts."""
    region = fields[-1].translate(_ASCII)
    closed = region.endswith("]") and region.count("[") == region.count("]")
    return len(fields) > 2 and (_is_none(region) or closed)


# Regions -----------------------------------------------------------------------------------------------------------


def _read_region(region: str, where: str, notes: _Notes) -> tuple[Box, ...]:
    if usual := _USUAL_BOX.fullmatch(region):  # what most answers hold: half the time for long ones
        return (_upright([float(number) for number in usual.groups()], where, notes),)
    plain = region.translate(_ASCII)
    if not plain:
        notes.add("missing_region", where)
        return (UNREADABLE_BOX,)
    if _is_none(plain):
        return ()
    groups = [_NUMBER.findall(group) for group in _BRACKETED.findall(plain)]
    if not groups:
        groups = [_NUMBER.findall(plain)]
        notes.add("loose_box", where)
    elif _NUMBER.search(_BRACKETED.sub(" ", plain)):
        notes.add("bad_box", where)
    if len(groups) % 2 == 0 and all(len(group) == 2 for group in groups):  # [[x1,y1],[x2,y2]]
        groups = [[*first, *second] for first, second in zip(groups[::2], groups[1::2], strict=True)]
        notes.add("loose_box", where)
    boxes: list[Box] = []
    for group in groups:
        if not group or len(group) % 4 or any(len(number) > _LONGEST_NUMBER for number in group):
            notes.add("bad_box", where)
            continue
        if len(group) > 4:
            notes.add("loose_box", where)
        values = [float(number) for number in group]
        boxes += [_upright(values[i : i + 4], where, notes) for i in range(0, len(values), 4)]
    return tuple(boxes) or (UNREADABLE_BOX,)


def _upright(values: list[float], where: str, notes: _Notes) -> Box:
    x1, y1, x2, y2 = values
    if x1 > x2 or y1 > y2:
        notes.add("inverted_box", where)
    if x1 == x2 or y1 == y2:
        notes.add("flat_box", where)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
