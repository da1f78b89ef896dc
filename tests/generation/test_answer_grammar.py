"""The grammar of a tweet's answer: it takes every target, and nothing that a reader would complain of."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.core.answer import parse_output, render_answer
from gmner.core.frame import Frame
from gmner.core.records import Record, Sample
from gmner.generation.answer_grammar import BoxOrder, answer_grammar, closed_answer

FRAME = Frame("absolute", 14000, 19600, 28)
TYPES = ("PER", "ORG", "LOC", "OTHER")
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6)
llguidance = pytest.importorskip("llguidance")


def sample_of(tokens: list[str]) -> Sample:
    return Sample("test/0", "d", "test", "0", "x.png", (140, 140), tuple(tokens), " ".join(tokens), ())


class Bytes:
    """A tokenizer whose tokens are the bytes: what any vocabulary can spell."""

    eos_token_id = bos_token_id = 256
    special_token_ids = (256,)
    tokens = (*(bytes([byte]) for byte in range(256)), b"\xff<eos>")

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@pytest.fixture(scope="module")
def tokenizer():
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def takes(tokenizer, grammar: str, text: str) -> bool:
    matcher = llguidance.LLMatcher(tokenizer, f"%llguidance {{}}\n{grammar}")
    assert not matcher.is_error(), matcher.get_error()
    return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) and matcher.is_accepting()


@given(tokens=st.lists(TEXT, min_size=1, max_size=8), data=st.data())
def test_what_is_rendered_is_taken(tokenizer, tokens: list[str], data) -> None:
    grammar = answer_grammar(sample_of(tokens), TYPES, True, FRAME, {}, 100)
    records = []
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(tokens) - 1))
        end = data.draw(st.integers(start + 1, len(tokens)))
        boxes = tuple(
            (float(x), float(y), float(x + w), float(y + h))
            for x, y, w, h in data.draw(
                st.lists(
                    st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(1, 40), st.integers(1, 40)),
                    max_size=3,
                )
            )
        )
        records.append(Record(" ".join(tokens[start:end]), data.draw(st.sampled_from(TYPES)), boxes))
    reasoning = data.draw(st.sampled_from(["", "a < b; [1,2", "Ann: visible.", "</think", "x <think> y"]))
    assert takes(tokenizer, grammar, render_answer(records, reasoning))


@pytest.mark.parametrize(
    "answer",
    [
        "Ann|PER|[0,0,141,10]",  # outside the image
        "Ann|PER|[00,0,10,10]",
        "Bob|PER|None",  # not in the tweet
        "Ann|DOG|None",  # not in the list
        "An|PER|None",  # part of a word
        "Ann|PER|[1,2,3]",
        "Ann|PER|None;",
        "",
        "Ann|PER",
    ],
)
def test_what_breaks_the_form_is_not_taken(tokenizer, answer: str) -> None:
    grammar = answer_grammar(sample_of(["Ann", "in", "Rome"]), TYPES, False, FRAME, {}, 100)
    assert takes(tokenizer, grammar, "<answer>Ann in|PER|[1,2,3,4]; Rome|LOC|None</answer>")
    assert not takes(tokenizer, grammar, f"<answer>{answer}</answer>")


def test_separators_of_a_tweet_stand_escaped(tokenizer) -> None:
    tokens = ["a;b", "|", "[x]", "None", "<answer>"]
    grammar = answer_grammar(sample_of(tokens), TYPES, False, FRAME, {}, 100)
    for token in tokens:
        text = render_answer([Record(token, "PER")], None)
        assert takes(tokenizer, grammar, text)
        assert [record.mention for record in parse_output(text).records] == [token]
    assert not takes(tokenizer, grammar, "<answer>a;b|PER|None</answer>")


@given(text=st.text("[],0123456789", max_size=12), width=st.integers(1, 120), height=st.integers(1, 120))
def test_boxes_stay_in_order_byte_by_byte(text: str, width: int, height: int) -> None:
    order = BoxOrder(lambda token: bytes([token]), width, height)
    for byte in b"<answer>A|PER|[":
        order.take(byte)
    written = b"["
    for byte in text.encode():
        step = written + bytes([byte])
        if not re.fullmatch(rb"\[(?:\d{1,3},){0,2}\d{0,3}|\[(?:\d{1,3},){3}(?:\d{1,3}\]?)?", step):
            continue
        if not order.keeps(byte):
            continue
        order.take(byte)
        written = step
        if written.endswith(b"]"):
            x1, y1, x2, y2 = (int(number) for number in written[1:-1].split(b","))
            assert x1 < x2 <= width and y1 < y2 <= height
            return


def test_reasoning_may_hold_numbers_in_brackets() -> None:
    order = BoxOrder(lambda token: bytes([token]), 100, 100)
    for byte in b"<think>[90,90,":
        order.take(byte)
    assert not order.inside


@given(cut=st.integers(0, 200), cot=st.booleans())
def test_an_output_that_was_cut_reads_without_a_problem(cut: int, cot: bool) -> None:
    records = [Record("A; b", "PER", ((1.0, 2.0, 30.0, 40.0),)), Record("Rome", "LOC"), Record("x|y", "ORG")]
    whole = render_answer(records, "They wave." if cot else None)
    if cut < len("<think>") and cot:
        return  # a constrained row begins with the whole tag or nothing
    text = whole[:cut]
    if cut and "<answer>" not in text and not cot:
        return
    for piece in ("</think>", "<answer>"):  # tags are written whole, being forced
        for end in range(1, len(piece)):
            if text.endswith(piece[:end]) and whole[cut - end :].startswith(piece):
                text = text[:-end]
                break
    parsed = parse_output(closed_answer(text, cot))
    assert not parsed.problems
    assert list(parsed.records) == records[: len(parsed.records)]
