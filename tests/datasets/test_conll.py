"""The text of the data sets: tagged tweets, html escapes, boxes files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.core.mentions import decode_name, decode_tokens, has_escape
from gmner.datasets.conll import Span, read_conll, spans_of
from gmner.datasets.malformed import Malformed
from gmner.errors import DataError


def write(tmp_path, text):
    path = tmp_path / "train.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_reads_tweets_with_their_lines(tmp_path):
    tweets = read_conll(write(tmp_path, "IMGID:7\nAnn\tB-PER\nLee\tI-PER\n\nIMGID:O_8\nRome\tB-LOC\n"))
    assert [(tweet.image_id, tweet.tokens, tweet.line) for tweet in tweets] == [
        ("7", ("Ann", "Lee"), 1),
        ("O_8", ("Rome",), 5),
    ]
    assert tweets[0].tags == (("B-PER", "I-PER"),)


def test_reads_three_columns_crlf_a_byte_order_mark_and_no_last_newline(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfIMGID:7\r\nKew\tB-location\tB-park\r\nnow\tO\tO")
    (tweet,) = read_conll(path, tag_columns=2)
    assert tweet.tokens == ("Kew", "now")
    assert tweet.tags == (("B-location", "O"), ("B-park", "O"))


def test_line_separators_inside_a_token_do_not_end_a_line(tmp_path):
    (tweet,) = read_conll(write(tmp_path, "IMGID:7\na\u200bb\tO\n"))
    assert tweet.tokens == ("a\u200bb",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ann\tB-PER\n", "train.txt:1: expected a line 'IMGID:<id>' before the tokens, found 'Ann\\tB-PER'"),
        ("IMGID:7\nAnn\tO\n\nLee\tO\n", "train.txt:4: expected a line 'IMGID:<id>'"),
        ("IMGID:7\nAnn B-PER\n", "train.txt:2: expected token<TAB>tag, found 'Ann B-PER'"),
        ("IMGID:7\nAnn\tB-PER\tB-actor\n", "train.txt:2: expected token<TAB>tag, found"),
        ("IMGID:7\n\tO\n", "train.txt:2: expected token<TAB>tag, found"),
        ("IMGID:7\nAnn Lee\tO\n", "train.txt:2: expected token<TAB>tag, found"),
        ("IMGID:7\nAnn\tPER\n", "train.txt:2: expected a tag O, B-<type> or I-<type>, found 'PER'"),
        ("IMGID:7\nAnn\tB-\n", "train.txt:2: expected a tag O, B-<type> or I-<type>, found 'B-'"),
        ("IMGID:\nAnn\tO\n", "train.txt:1: expected 'IMGID:<id>' where the id is an image's file name"),
        ("IMGID:../../etc/passwd\nAnn\tO\n", "train.txt:1: expected 'IMGID:<id>' where the id is"),
        ("IMGID:7\n\nIMGID:8\nAnn\tO\n", "train.txt:1: tweet 7 has no tokens"),
        ("", "train.txt: no tweet in it"),
        (b"IMGID:7\nAnn\tO\n\xff\tO\n", "train.txt:3: not UTF-8 (byte 0xff)"),
    ],
)
def test_malformed_text_names_file_and_line(tmp_path, text, message):
    with pytest.raises(DataError) as error:
        read_conll(write(tmp_path, text))
    assert message in str(error.value)


def test_reading_goes_on_behind_a_malformed_line_and_lists_the_first_twenty(tmp_path):
    path = write(tmp_path, "".join(f"IMGID:{n}\nAnn\tX\nBob\tY\n\nIMGID:g{n}\nok\tO\n\n" for n in range(30)))
    with pytest.raises(DataError) as error:
        read_conll(path)
    told = str(error.value).splitlines()
    assert told[0] == "30 problems in the annotations:" and told[-1] == "… and 10 more" and len(told) == 22
    assert [line.split(":")[1] for line in told[1:-1]] == [str(2 + 7 * n) for n in range(20)]
    malformed = Malformed()
    assert len(read_conll(path, malformed=malformed)) == malformed.count == 30


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.txt: the file is missing"):
        read_conll(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["O", "B-PER", "I-PER", "O"], [Span(1, 3, "PER")]),
        (["B-PER", "B-PER", "I-PER"], [Span(0, 1, "PER"), Span(1, 3, "PER")]),
        (["O", "I-LOC", "I-LOC"], [Span(1, 3, "LOC", orphan=True)]),
        (["B-PER", "I-LOC"], [Span(0, 1, "PER"), Span(1, 2, "LOC", orphan=True)]),
        (["B-PER", "O", "I-PER"], [Span(0, 1, "PER"), Span(2, 3, "PER", orphan=True)]),
        ([], []),
    ],
)
def test_spans_and_orphan_tags(tags, spans):
    assert spans_of(tags) == spans


tag_lists = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12)


@given(tag_lists)
def test_spans_cover_exactly_the_tagged_tokens(tags):
    spans = spans_of(tags)
    covered = [index for span in spans for index in range(span.start, span.end)]
    assert covered == [index for index, tag in enumerate(tags) if tag != "O"]
    for span in spans:
        assert {tags[index][2:] for index in range(span.start, span.end)} == {span.type}
        assert span.orphan == tags[span.start].startswith("I")
        assert all(tags[index][0] == "I" for index in range(span.start + 1, span.end))


@pytest.mark.parametrize(
    ("tokens", "tags", "decoded", "decoded_tags"),
    [
        (["A", "&amp", ";", "B"], ["B-X", "I-X", "I-X", "I-X"], ("A", "&", "B"), ("B-X", "I-X", "I-X")),
        (["--&gt", ";", "x"], ["O", "O", "O"], ("-->", "x"), ("O", "O")),
        (["m&amp", ";", "s"], ["B-X", "I-X", "I-X"], ("m&", "s"), ("B-X", "I-X")),
        (["B&amp;N:", "&lt"], ["O", "O"], ("B&N:", "<"), ("O", "O")),
        (["&amp", ";"], ["O", "B-X"], ("&",), ("B-X",)),
        (["&amp;", ";"], ["O", "O"], ("&", ";"), ("O", "O")),
        (["&amp;lt;"], ["O"], ("&lt;",), ("O",)),
        (["AT&T", ";", "&", ";"], ["O"] * 4, ("AT&T", ";", "&", ";"), ("O",) * 4),
        (["&amp", ";", ";"], ["O"] * 3, ("&", ";"), ("O",) * 2),
    ],
)
def test_escapes_are_decoded_once(tokens, tags, decoded, decoded_tags):
    assert decode_tokens(tokens, [tags]) == (decoded, (decoded_tags,))


@pytest.mark.parametrize(
    ("name", "decoded"),
    [
        ("Fox &amp ; Fin", "Fox & Fin"),
        ("Fox &amp; Fin", "Fox & Fin"),
        (" Lauren\nHill ", "Lauren Hill"),
        ("AT&T", "AT&T"),
        ("a ; b", "a ; b"),
    ],
)
def test_names_are_decoded_as_mentions_are(name, decoded):
    assert decode_name(name) == decoded


words = st.lists(
    st.sampled_from(["Fox", "&amp", ";", "&lt", "m&gt", "&amp;", "&", "x;", "T&amp;J"]), min_size=1, max_size=8
)


@given(words)
def test_the_name_and_the_tokens_of_a_mention_decode_to_the_same_text(tokens):
    decoded, tags = decode_tokens(tokens, [["O"] * len(tokens)])
    assert len(decoded) == len(tags[0])
    if "&amp; ;" not in " ".join(tokens) and "; ;" not in " ".join(tokens):
        assert decode_name(" ".join(tokens)) == " ".join(decoded)


def test_escape_count_is_by_token():
    assert [has_escape(token) for token in ("&amp", "&", "AT&T", "x&lt;y")] == [True, False, False, True]
