"""How sure a model was of each record of its answer: the mean log-probability of the record's tokens."""

from collections.abc import Callable, Sequence

from gmner.core.answer import parse_output, render_answer

_OPEN, _CLOSE = "<answer>", "</answer>"
Decode = Callable[[Sequence[int]], str]


def record_spans(text: str) -> list[tuple[int, int] | None]:
    """Return where each record of `parse_output(text)` stands in the text, in its order.

    None for a record that is not written as the grammar writes it: its place is not sure.
    """
    spans: list[tuple[int, int] | None] = []
    position = max(text.rfind(_OPEN), 0)
    for record in parse_output(text).records:
        written = render_answer([record], None)
        written = written[written.index(_OPEN) + len(_OPEN) : written.rindex(_CLOSE)]
        start = text.find(written, position)
        if start < 0:
            spans.append(None)
            continue
        position = start + len(written)
        spans.append((start, position))
    return spans


def record_confidences(text: str, ids: Sequence[int], logprobs: Sequence[float], decode: Decode) -> list[float | None]:
    """Return for each record of an answer the mean natural log-probability of its tokens, None if it cannot be told.

    `logprobs` are those of the tokens `ids`, whose text is `text`; a token counts for a record if it holds part of it.
    """
    spans = record_spans(text)
    known = [span for span in spans if span is not None]
    if not known:
        return [None] * len(spans)
    ends = _ends(ids, min(start for start, _ in known), decode)
    found: list[float | None] = []
    for span in spans:
        if span is None:
            found.append(None)
            continue
        inside = [logprobs[number] for number, (start, end) in ends.items() if start < span[1] and end > span[0]]
        found.append(round(sum(inside) / len(inside), 6) if inside else None)
    return found


def _ends(ids: Sequence[int], start: int, decode: Decode) -> dict[int, tuple[int, int]]:
    """Return the part of the text that each token from the character `start` on adds: token number -> (start, end)."""
    low, high = 0, len(ids)
    while low < high:  # the longest beginning that ends at or before `start`
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(decode(ids[:middle])) <= start else (low, middle - 1)
    ends, before = {}, len(decode(ids[:low]))
    for number in range(low, len(ids)):
        after = len(decode(ids[: number + 1]))
        ends[number] = (before, after)
        before = after
    return ends
