"""Which rationales training may learn from: each refusal has a code and a detail.

The checks read the text only. A rationale decides a mention if a clause that names it says that it is,
or is not, to be seen; the vocabulary is small on purpose, since prompts and templates ask for
`<mention>: visible` and `<mention>: absent`.
"""

import re
from collections.abc import Sequence

from gmner.config.teachers import Acceptance
from gmner.core.records import Entity
from gmner.llm_client.chain import Refusal

CODES = {
    "empty": "it says nothing",
    "too_long": "it is longer than allowed",
    "cut": "it was cut at the token limit",
    "refused": "the provider would not answer",
    "tags": "it has tags or fields of the answer's format",
    "coordinates": "it has coordinates",
    "mention_missing": "it does not name every annotated mention",
    "undecided": "it does not say of every mention whether it is visible",
    "contradiction_visible": "it calls a mention visible that is not in the picture",
    "contradiction_absent": "it calls a mention absent that is in the picture",
    "disagrees": "its own answer differs from the annotation",
    "unreadable": "it is not in the form that was asked for",
}

_FIRST_MARK = 0xE000  # private-use characters stand for mentions, so that no word of the text looks like one
_MOST_MENTIONS = 0x1900
_PLACE = re.compile("[\ue000-\uf8ff]")
_TAG = re.compile(r"</?[A-Za-z|][^<>]{0,40}>|\|[A-Z_]+\||\|(?:None|\[)")
_FORMAT = re.compile(r"</?\s*(?:think|answer)\s*>", re.IGNORECASE)  # refused even inside a mention
_NUMBER = r"-?\d+(?:\.\d+)?"
_COORDINATES = re.compile(
    rf"[\[(]\s*{_NUMBER}(?:\s*[,;]\s*|\s+){_NUMBER}"  # [12, 34 … or (12, 34 …
    rf"|{_NUMBER}(?:\s*,\s*{_NUMBER}){{3,}}"  # 12, 34, 56, 78
    rf"|\b[xy]\s?[12]?\s*[=:]\s*{_NUMBER}"  # x1=12
    r"|\b(?:bounding box(?:es)?|bbox(?:es)?|coordinates|pixels?)\b",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"\babsent\b|\binvisible\b|\bunseen\b"
    r"|\b(?:not|never|cannot|nowhere|neither|\w+n['’]t)\s+(?:\w+\s+){0,2}?"
    r"(?:visible|seen|shown|depicted|pictured|present|appear|found)\b"
    r"|\b(?:cannot|can not) be (?:\w+ )?(?:seen|found|located|grounded)\b"
    r"|\bno (?:visible )?(?:region|sign|trace)\b",
    re.IGNORECASE,
)
_VISIBLE = re.compile(
    r"\bvisible\b|\b(?:is|are|can be) (?:clearly |actually )?(?:seen|shown|depicted|pictured)\b"
    r"|\bappears? in the (?:picture|image|photo)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.!?;\n]+(?=\s|$)|,?\s+(?:but|while|whereas|although|though|however)\s+", re.IGNORECASE)
_JOINED = re.compile(r"\s*(?:,|,?\s*\b(?:and|or|nor)\b|&)\s*")
_PRONOUN = re.compile(r"\s*(?:he|she|it|they|this one)\b", re.IGNORECASE)


def judge(
    text: str, entities: Sequence[Entity], acceptance: Acceptance, *, must_decide: bool = False
) -> Refusal | None:
    """Return why a rationale of a sample with these entities is refused, or None if it is accepted.

    How much is checked is `acceptance.check`; a rationale that says nothing is never accepted. `must_decide` also asks
    that each mention is called visible or absent somewhere.
    """
    if not text.strip():
        return Refusal("empty", "no text")
    if acceptance.check == "none":
        return None
    words = len(text.split())
    if words > acceptance.max_words:
        return Refusal("too_long", f"{words} words, at most {acceptance.max_words} are allowed")
    if len(text) > acceptance.max_characters:
        return Refusal("too_long", f"{len(text)} characters, at most {acceptance.max_characters} are allowed")
    mentions = sorted({entity.mention for entity in entities}, key=lambda mention: (-len(mention), mention))[
        :_MOST_MENTIONS
    ]
    marked = _mark(text, mentions)
    if found := _FORMAT.search(text) or _TAG.search(marked):
        return Refusal("tags", f"'{_unmark(found.group(), mentions)}'")
    if found := _COORDINATES.search(marked):
        return Refusal("coordinates", f"'{_unmark(found.group(), mentions)}'")
    if acceptance.check == "format":
        return None
    named = {mentions[ord(place) - _FIRST_MARK].casefold() for place in _PLACE.findall(marked)}
    if missing := [mention for mention in mentions if mention.casefold() not in named]:
        return Refusal("mention_missing", f"'{missing[-1]}'")
    return _judge_decisions(marked, mentions, entities, must_decide)


def _judge_decisions(marked: str, mentions: list[str], entities: Sequence[Entity], must_decide: bool) -> Refusal | None:
    verdicts = _verdicts(marked)
    decided = {mentions[index].casefold() for index in verdicts}
    for index, mention in enumerate(mentions):
        gold = {bool(entity.boxes) for entity in entities if entity.mention == mention}
        said = verdicts.get(index, {})
        if gold == {False} and True in said:
            return Refusal("contradiction_visible", f"'{mention}' in: {_unmark(said[True], mentions)}")
        if gold == {True} and False in said:
            return Refusal("contradiction_absent", f"'{mention}' in: {_unmark(said[False], mentions)}")
        if must_decide and mention.casefold() not in decided:
            return Refusal("undecided", f"'{mention}'")
    return None


def _mark(text: str, mentions: Sequence[str]) -> str:
    """Put a mark in the place of each mention, the longest first; white space does not matter.

    Case matters only where the text has the mention as it is: tweets name both NFL and nfl, and IS is not 'is'.
    """
    text = _PLACE.sub("?", text)
    for index, mention in enumerate(mentions):
        words = r"\s+".join(re.escape(word) for word in mention.split())
        left = r"(?<!\w)" if mention[:1].isalnum() else ""
        right = r"(?!\w)" if mention[-1:].isalnum() else ""
        mark = chr(_FIRST_MARK + index)
        text, count = re.subn(left + words + right, mark, text)
        if not count:
            text = re.sub(left + words + right, mark, text, flags=re.IGNORECASE)
    return text


def _unmark(text: str, mentions: Sequence[str]) -> str:
    return _PLACE.sub(lambda found: mentions[ord(found.group()) - _FIRST_MARK], text).strip()


def _verdicts(marked: str) -> dict[int, dict[bool, str]]:
    """Return for each mention what is said of it: visible or not, and the clause that says so."""
    verdicts: dict[int, dict[bool, str]] = {}
    subject: int | None = None
    for clause in _CLAUSE.split(marked):
        places = [(found.start(), ord(found.group()) - _FIRST_MARK) for found in _PLACE.finditer(clause)]
        for position, visible in _claims(clause):
            before = [(start, index) for start, index in places if start < position]
            if before:
                about = _joined(clause, before)
            elif places:
                about = [places[0][1]]
            else:
                about = [subject] if subject is not None and _PRONOUN.match(clause) else []
            for index in about:
                verdicts.setdefault(index, {}).setdefault(visible, clause)
        if places:
            subject = places[-1][1]
    return verdicts


def _joined(clause: str, places: list[tuple[int, int]]) -> list[int]:
    """Return the last of these mentions and those joined to it, as in 'A, B and C are visible'."""
    about = [places[-1][1]]
    for (start, index), (following, _) in zip(reversed(places[:-1]), reversed(places[1:]), strict=True):
        between = clause[start + 1 : following]
        if not _JOINED.fullmatch(between):
            break
        about.append(index)
    return about


def _claims(clause: str) -> list[tuple[int, bool]]:
    """Return where a clause says that something is to be seen (True) or is not (False)."""
    absent = [found.span() for found in _ABSENT.finditer(clause)]
    claims = [(start, False) for start, _ in absent]
    for found in _VISIBLE.finditer(clause):
        if not any(start < found.end() and found.start() < end for start, end in absent):
            claims.append((found.start(), True))
    return sorted(claims)
