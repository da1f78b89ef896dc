"""The grammar of one tweet's answer, for constrained decoding.

A Lark grammar in the dialect of llguidance: free reasoning, then records whose mention is a run of the tweet's tokens,
whose type is one of the list, and whose region is None or boxes inside the image, in whole numbers of the model's
frame. Every separator inside a mention or a type stands escaped, as `core.answer` writes it. An answer that follows the
grammar is read without a problem, but for a box whose corners are in the wrong order: that a number is larger than one
before it is more than a grammar of this kind can say, so `BoxOrder` says it token by token.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

from gmner.core.answer import escape_name, parse_output
from gmner.core.frame import Frame
from gmner.core.records import Sample

# Any text without a tag of the grammar, in whatever way a reader would still take it for one (see core.answer).
_NO_TAG = (
    r"/(?s:.*)/ & ~/(?s:.*)<[ \t\r\n]{0,2}\/?[ \t\r\n]{0,2}"
    r"([tT][hH][iI][nN][kK]|[aA][nN][sS][wW][eE][rR])[ \t\r\n]{0,2}>(?s:.*)/"
)
_BOX_BEGUN = re.compile(rb"\[(\d+),(\d+),(\d*)(?:,(\d*))?")
_BOX_TAIL = re.compile(rb"(?<!\\)\[[\d,]*\Z")
_RECORD_END = re.compile(r"(?<!\\)(?:\\\\)*; ")


def answer_grammar(
    sample: Sample, types: Sequence[str], cot: bool, frame: Frame, tags: Mapping[str, int], most_reasoning: int
) -> str:
    """Return the Lark grammar of one sample's completion.

    `tags` maps those tags of the grammar that are single tokens of the tokenizer to their ids: llguidance never
    reads an added token as text. The reasoning has at most `most_reasoning` tokens.
    """

    def tag(text: str) -> str:
        return f"<[{tags[text]}]>" if text in tags else _literal(text)

    width, height = frame.coordinate_size(sample.size_wh)
    rules = ["start: think answer" if cot else "start: answer"]
    if cot and "</think>" in tags:
        rules += [
            f"think: {tag('<think>')} reasoning {tag('</think>')}",
            f"reasoning[max_tokens={most_reasoning}]: TEXT?",
        ]
    elif cot:
        rules.append(f"think: {tag('<think>')} reasoning")
        rules.append(f'reasoning[suffix="</think>", max_tokens={most_reasoning}]: TEXT')
    if cot:
        rules.append(f"TEXT: {_NO_TAG}")
    # A tokenizer may put a blank before the first word after a tag; readers strip it.
    rules.append(f'answer: {tag("<answer>")} " "? ("None" | record ("; " record)*) {tag("</answer>")}')
    rules.append('record: MENTION "|" TYPE "|" region')
    rules.append('region: "None" | box | "[" box ("," box)+ "]"')
    rules.append('box: "[" left "," top "," right "," bottom "]"')
    for name, low, high in (
        ("left", 0, width - 1),
        ("top", 0, height - 1),
        ("right", 1, width),
        ("bottom", 1, height),
    ):
        rules.append(f'{name}: %json {{"type": "integer", "minimum": {low}, "maximum": {int(high)}}}')
    rules.append("TYPE: " + " | ".join(_literal(escape_name(name)) for name in types))
    tokens = [token for token in sample.tokens if token.strip()]
    for place, token in enumerate(tokens):
        # From each token a run may go on to the next one: of the order of the tokens, not of all their runs.
        following = f' (" " RUN{place + 1})?' if place + 1 < len(tokens) else ""
        rules.append(f"RUN{place}: {_literal(escape_name(token))}{following}")
    rules.append("MENTION: " + " | ".join(f"RUN{place}" for place in range(len(tokens))))
    return "\n".join(rules)


class BoxOrder:
    """Follows the bytes of an answer and says which of some tokens keep each box's corners in order."""

    def __init__(self, bytes_of: Callable[[int], bytes], width: int, height: int) -> None:
        self._bytes_of, self._limits = bytes_of, (width, height)
        self._tail, self._answering = b"", False

    def take(self, token: int) -> None:
        """Follow one token."""
        self._tail = self._tail[-64:] + self._bytes_of(token)
        self._answering = self._answering or b"<answer>" in self._tail

    @property
    def inside(self) -> bool:
        """Whether a box of the answer is open: a reasoning may hold any numbers in brackets."""
        return self._answering and _BOX_TAIL.search(self._tail) is not None

    def keeps(self, token: int) -> bool:
        """Return whether the open box is in order, or can still be, after `token`."""
        begun = _BOX_TAIL.search(self._tail)
        if begun is None:
            return True
        text = begun[0] + self._bytes_of(token)
        found = _BOX_BEGUN.match(text)
        if found is None:
            return True
        ended = text[found.end() :] != b""
        for axis in (0, 1):
            low, written = found[axis + 1], found[axis + 3]
            if written is None:
                return True
            complete = ended or (axis == 0 and found[4] is not None)
            if not _above(int(low), written, self._limits[axis], complete):
                return False
        return True


def _above(low: int, written: bytes, high: int, complete: bool) -> bool:
    """Return whether the digits `written` are, or can go on to be, a number above `low` and at most `high`."""
    if complete:
        return bool(written) and low < int(written) <= high
    if not written:
        return low < high
    first = last = int(written)
    while first <= high:
        if last > low:
            return True
        if first == 0:
            return False  # no number goes on after a zero in front
        first, last = first * 10, last * 10 + 9
    return False


def closed_answer(text: str, cot: bool) -> str:
    """Return an output that the token limit cut, closed: what is no whole record at its end is left out."""
    head, tag, body = text.rpartition("<answer>")
    if not tag:
        opened, closed = "<think>" in text, "</think>" in text
        start = text if opened or not cot else "<think>"
        return f"{start}{'</think>' if cot and not closed else ''}<answer>None</answer>"
    ends = [0, *(found.end() for found in _RECORD_END.finditer(body))]
    candidates = [body, *(body[: end - 2] for end in reversed(ends[1:]))]
    for records in candidates:
        answer = f"<answer>{records}</answer>"
        if records.strip() and not parse_output(answer).problems:
            return head + answer
    return f"{head}<answer>None</answer>"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
