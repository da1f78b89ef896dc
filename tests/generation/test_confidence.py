"""Confidence: each record's mean log-probability, told where a record stands as the grammar writes it."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gmner.config.run import GenerateSettings
from gmner.core.answer import parse_output, render_answer
from gmner.core.records import Record, Sample
from gmner.generation.confidence import record_confidences, record_spans
from gmner.generation.load import load_decoder
from gmner.models.encoding import PromptSettings
from gmner.storage.tables import OUTPUTS
from tests.helpers.tiny_training import FRAME, TYPES

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())
records = st.lists(
    st.builds(Record, names, st.sampled_from(["PER", "LOC"]), st.sampled_from([(), ((1.0, 2.0, 30.0, 40.0),)])),
    max_size=5,
)


@given(records, st.none() | st.just("Anna; Bert|PER|None, they say"))
def test_every_record_of_a_rendered_answer_is_found_where_it_stands(found: list[Record], reasoning: str | None) -> None:
    text = render_answer(found, reasoning)
    parsed = parse_output(text).records
    spans = record_spans(text)
    assert len(spans) == len(parsed)
    known = [span for span in spans if span is not None]
    assert known == sorted(known) and all(first[1] <= second[0] for first, second in itertools.pairwise(known))
    if not parse_output(text).problems and [r.mention for r in parsed] == [r.mention for r in found]:
        assert len(known) == len(parsed)


def letters(ids: list[int]) -> str:
    return "".join(map(chr, ids))


def test_a_record_is_as_sure_as_its_tokens() -> None:
    text = "<think>A|PER|None</think><answer>A|PER|None; A|PER|None; B|LOC|[1,2,3,4]</answer>"
    ids = [ord(letter) for letter in text]
    spans = record_spans(text)
    assert [text[start:end] for start, end in filter(None, spans)] == ["A|PER|None", "A|PER|None", "B|LOC|[1,2,3,4]"]
    logprobs = [-9.0] * len(ids)
    for number, span in enumerate(spans):
        assert span is not None
        for place in range(*span):
            logprobs[place] = -float(number + 1)
    assert record_confidences(text, ids, logprobs, letters) == [-1.0, -2.0, -3.0]
    assert record_confidences("<answer>None</answer>", ids, logprobs, letters) == []


@given(st.text(max_size=60))
def test_any_text_has_one_number_or_none_per_record(text: str) -> None:
    ids = [ord(letter) for letter in text]
    found = record_confidences(text, ids, [-1.0] * len(ids), letters)
    assert len(found) == len(parse_output(text).records) and set(found) <= {None, -1.0}


def test_the_decoder_tells_each_tokens_log_probability(backbone: Path, samples: list[Sample]) -> None:
    generate = GenerateSettings(batch_size=4, max_new_tokens=12, precision="fp32")
    decoder = load_decoder(backbone, None, PromptSettings("short", TYPES, True, FRAME), generate)
    from gmner.generation.decode import write_rows

    batch = samples[:3]
    prompts = decoder.encoder.prompts(batch)
    logprobs: list[list[float]] = [[] for _ in batch]
    written = write_rows(decoder.model, decoder._inputs(batch, prompts, None), decoder.stop, 12, logprobs=logprobs)
    assert [len(row) for row in logprobs] == [len(row) for row in written]
    prompt, ids = prompts[0], written[0]
    whole = torch.tensor([[*prompt.tolist(), *ids]])
    scores = decoder.model(
        input_ids=whole,
        mm_token_type_ids=(whole == decoder.encoder.image_token_id).long(),
        pixel_values=decoder.encoder.pixels(batch[0]),
        image_grid_thw=torch.tensor([decoder.encoder.grid_of(batch[0].size_wh)]),
    ).logits[0, len(prompt) - 1 : -1]
    expected = scores.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    np.testing.assert_allclose(logprobs[0], expected.detach().numpy(), atol=1e-4)


def test_the_column_of_outputs_may_be_empty() -> None:
    row = {"sample_id": "a", "output": "", "prompt_tokens": 1, "output_tokens": 1, "finish_reason": "stop"}
    table = pa.Table.from_pylist([row, {**row, "confidence": [None, -0.5]}], schema=OUTPUTS)
    assert table.column("confidence").to_pylist() == [None, [None, -0.5]]
    with pytest.raises(KeyError):
        table.column("confidences")
