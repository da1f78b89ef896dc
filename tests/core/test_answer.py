import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmner.core.answer import MOST_PROBLEMS, PROBLEMS, UNREADABLE_BOX, ParsedOutput, parse_output, render_answer
from gmner.core.records import Record

A = Record("Ada", "PER", ((1.0, 2.0, 3.0, 4.0),))
B = Record("Rome", "LOC")
SPECIAL = "\\;|[]<>；｜［］，\n\r \t{}(),.\"'nN-0é\u2028\u00a0&/"
name = st.text(min_size=1, max_size=12) | st.text(SPECIAL, min_size=1, max_size=12) | st.sampled_from(
    ["None", "null", "AT &amp ; T", "</answer>", "<answer>", "</think>", "a|PER|None; b", "[1,2,3,4]",
     "\\", "\\\\;", " ",
     "\n", " x ", "\\n", "；", "x\\ ", "|", "None; x|PER|[1,2,3,4]"]
)  # fmt: skip
corner = st.integers(-50, 5000)


@st.composite
def box(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x, y = draw(corner), draw(corner)
    return float(x), float(y), float(x + draw(st.integers(1, 900))), float(y + draw(st.integers(1, 900)))


record = st.builds(Record, name, name, st.lists(box(), max_size=3).map(tuple))


@settings(max_examples=300)
@given(st.lists(record, max_size=4), st.none() | st.text(max_size=30).map(str.strip))
def test_what_is_written_is_read(records: list[Record], reasoning: str | None) -> None:
    parsed = parse_output(render_answer(records, reasoning))
    assert parsed.records == tuple(records)
    assert parsed.problems == ()
    assert (parsed.reasoning is None) == (reasoning is None)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "< ", "<", ">", "answer", " x ", "/"]))
)
def test_tags_inside_a_reasoning_do_no_harm(parts: list[str]) -> None:
    parsed = parse_output(render_answer([A, B], "".join(parts)))
    assert (parsed.records, parsed.problems) == ((A, B), ())


@settings(max_examples=200)
@given(
    st.text(SPECIAL + "AB123")
    | st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<answer>", "</answer>", "|", ";", "[1,2,3,4]", "[", "]", "None", "\n", "a"]
        )
    ).map("".join)
)
def test_nothing_raises(text: str) -> None:
    parsed = parse_output(text)
    assert all(problem.code in PROBLEMS and problem.detail for problem in parsed.problems)
    assert all(x1 <= x2 and y1 <= y2 for found in parsed.records for x1, y1, x2, y2 in found.boxes)


def test_the_paper_s_form() -> None:
    assert render_answer([A, B], "why") == "<think>why</think><answer>Ada|PER|[1,2,3,4]; Rome|LOC|None</answer>"
    assert render_answer([], None) == "<answer>None</answer>"
    two = Record("Ada", "PER", ((1.4, 2.6, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)))
    assert render_answer([two], None) == "<answer>Ada|PER|[[1,3,3,4],[5,6,7,8]]</answer>"


def read(text: str) -> tuple[tuple[Record, ...], list[str]]:
    parsed: ParsedOutput = parse_output(text)
    return parsed.records, [problem.code for problem in parsed.problems]


WRONG = Record("Ada", "PER", (UNREADABLE_BOX,))  # neither None nor right
TWO = Record("Ada", "PER", ((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)))


@pytest.mark.parametrize(
    ("text", "records", "codes"),
    [
        # nothing there
        ("", (), ["no_answer"]),
        ("I see a dog.", (), ["no_answer"]),
        ("<answer>None</answer>", (), []),
        ("<answer> null. </answer>", (), []),
        ("<answer>NONE</answer>", (), []),
        ("<answer></answer>", (), ["empty_answer"]),
        ("None", (), ["no_answer_tag"]),
        # tags
        ("Ada|PER|[1,2,3,4]; Rome|LOC|None", (A, B), ["no_answer_tag"]),
        ("Ada|PER|[1,2,3,4]</answer>", (A,), ["no_answer_tag"]),
        ("<ANSWER>Ada|PER|[1,2,3,4]</ Answer >", (A,), []),
        ("<think>w</think>Ada|PER|[1,2,3,4]", (A,), ["no_answer_tag"]),
        ("w</think><answer>Ada|PER|[1,2,3,4]</answer>", (A,), ["no_think_tag"]),
        ("<think>w<answer>Ada|PER|[1,2,3,4]</answer>", (A,), ["unclosed_think"]),
        ("Sure! <answer>Ada|PER|[1,2,3,4]</answer>", (A,), ["extra_text"]),
        ("<answer>Ada|PER|[1,2,3,4]</answer> Bye", (A,), ["extra_text"]),
        ("<answer>x|Y|None</answer><answer>Ada|PER|[1,2,3,4]</answer>", (A,), ["several_answers"]),
        # cut off
        ("<think>and then", (), ["unclosed_think", "no_answer"]),
        ("<answer>Ada|PER|[1,2,3,4]; Ro", (A,), ["unclosed_answer", "not_a_record"]),
        ("<answer>Ada|PER|[1,2,3,4]; Rome|LO", (A,), ["unclosed_answer", "unfinished_record"]),
        ("<answer>Ada|PER|[1,2,3,4]; Rome|LOC|No", (A,), ["unclosed_answer", "unfinished_record"]),
        ("<answer>Rome|LOC|None; Ada|PER|[1,2,3", (B,), ["unclosed_answer", "unfinished_record"]),
        ("<answer>Rome|LOC|None; Ada|PER|[[1,2,3,4],", (B,), ["unclosed_answer", "unfinished_record"]),
        ("<answer>Ada|PER|[1,2,3,4]; Rome|LOC|None", (A, B), ["unclosed_answer"]),
        ("<answer>Rome|LOC|None; Ada|PER|[1,2,3,4]</ans", (B, A), ["unclosed_answer"]),
        # separators
        ("<answer>Ada｜PER｜［1，2，3，4］；Rome｜LOC｜none</answer>", (A, B), []),
        ("<answer>Ada|PER|[1,2,3,4]\nRome|LOC|None\n</answer>", (A, B), []),
        ("<answer>Ada | PER | [ 1, 2, 3, 4 ] ;; Rome|LOC|None;</answer>", (A, B), []),
        ("<answer>AT &amp ; T|ORG|None</answer>", (Record("AT &amp ; T", "ORG"),), ["unescaped"]),
        ("<answer>a|b|ORG|None</answer>", (Record("a|b", "ORG"),), ["unescaped"]),
        ("<answer>Here they are:\nAda|PER|[1,2,3,4]</answer>", (A,), ["not_a_record"]),
        ("<answer>None; Ada|PER|[1,2,3,4]</answer>", (A,), ["not_a_record"]),
        # boxes
        ("<answer>Ada|PER|[1.0,2.0,3.00,4.]</answer>", (A,), []),
        ("<answer>Ada|PER|[3,4,1,2]</answer>", (A,), ["inverted_box"]),
        ("<answer>Ada|PER|(1,2),(3,4)</answer>", (A,), ["loose_box"]),
        ("<answer>Ada|PER|[[1,2],[3,4]]</answer>", (A,), ["loose_box"]),
        ("<answer>Ada|PER|[1,2,3,4</answer>", (A,), ["loose_box"]),
        ("<answer>Ada|PER|[1,2,3,4,5,6,7,8]</answer>", (TWO,), ["loose_box"]),
        ("<answer>Ada|PER|[1,2,3,4],[5,6,7,8]</answer>", (TWO,), []),
        ("<answer>Ada|PER|[1,2,3,4];[5,6,7,8]</answer>", (TWO,), []),
        ("<answer>Ada|PER|[1,2,3,4]|[5,6,7,8]</answer>", (TWO,), []),
        ("<answer>Ada|PER|[[1,2,3,4],\n [5,6,7,8]]</answer>", (TWO,), []),
        ("<answer>Ada|PER|[[1,2,3,4],[5,6]]</answer>", (A,), ["bad_box"]),
        ("<answer>Ada|PER|[1,2,3]</answer>", (WRONG,), ["bad_box"]),
        ("<answer>Ada|PER|somewhere</answer>", (WRONG,), ["loose_box", "bad_box"]),
        (f"<answer>Ada|PER|[1,2,3,{'9' * 400}]</answer>", (WRONG,), ["bad_box"]),
        ("<answer>Ada|PER|[1,2,1,4]</answer>", (Record("Ada", "PER", ((1.0, 2.0, 1.0, 4.0),)),), ["flat_box"]),
        # parts left out
        ("<answer>Ada|PER; Rome|LOC|None</answer>", (WRONG, B), ["missing_region"]),
        ("<answer>Ada|PER|; Rome|LOC|None</answer>", (WRONG, B), ["missing_region"]),
        ("<answer>Ada|[1,2,3,4]</answer>", (Record("Ada", "", A.boxes),), ["empty_type"]),
        ("<answer>|PER|None; Rome|LOC|None</answer>", (B,), ["empty_mention"]),
        ("<answer>Ada||[1,2,3,4]</answer>", (Record("Ada", "", A.boxes),), ["empty_type"]),
    ],
)
def test_what_models_write_instead(text: str, records: tuple[Record, ...], codes: list[str]) -> None:
    assert read(text) == (records, codes)


def test_reasoning_is_found() -> None:
    assert parse_output("<think> a\nb </think><answer>None</answer>").reasoning == "a\nb"
    assert parse_output("<answer>None</answer>").reasoning is None
    assert parse_output("<think>cut o").reasoning == "cut o"


@pytest.mark.parametrize(
    "unit", ["|", ";", "[", "[1]|", "<", "\\", "A|B|[;1", "1;", "\n|", "<think>", "[1,2,3,4],", "x "]
)
@pytest.mark.parametrize("start", ["", "<answer>A|B|["])
def test_time_grows_no_faster_than_the_text(unit: str, start: str) -> None:
    def seconds(size: int) -> float:
        text = start + unit * (size // len(unit))
        begun = time.process_time()
        parsed = parse_output(text)
        assert len(parsed.problems) <= MOST_PROBLEMS
        return time.process_time() - begun

    seconds(1000)
    # A quadratic reader would need sixteen times as long, and minutes for the longer text.
    assert seconds(200_000) < 8 * seconds(50_000) + 0.5
