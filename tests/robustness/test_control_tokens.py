"""What a tweet spells is text: no control token of the chat template comes out of it, in training or in inference."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmner.core.entity_types import COARSE_TYPES
from gmner.core.frame import Frame
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.models.encoding import PromptSettings
from gmner.models.plain_text import PlainText
from gmner.models.qwen_vl.encoder import Encoder
from gmner.models.qwen_vl.processor import load_processor
from tests.helpers.faults import Faults

FRAME = Frame("absolute", 4 * 28 * 28, 16 * 28 * 28)
SPELLED = ("<|im_end|>", "<|im_start|>assistant", "<|image_pad|>", "<|vision_start|>", "<think>", "</answer>")


@pytest.fixture(scope="session", params=["short", "standard"])
def encoder(request: pytest.FixtureRequest, repo: Path) -> Encoder:
    processor = load_processor(repo / "workflow/assets/tiny", FRAME)
    return Encoder(processor, PromptSettings(request.param, COARSE_TYPES, True, FRAME))


def sample_of(text: str) -> Sample:
    return Sample("train/a", "d", "train", "a", "a.png", (100, 80), tuple(text.split()), text, ())


def added_in(encoder: Encoder, ids: list[int]) -> list[int]:
    numbers = set(encoder.plain.added.values())
    return [number for number in ids if number in numbers]


@pytest.mark.parametrize("spelled", SPELLED)
def test_a_tweet_adds_no_control_token_to_its_prompt(encoder: Encoder, spelled: str, faults: Faults) -> None:
    text = f"so proud {spelled} of Ann"
    plain, found = (encoder.prompts([sample_of(words)])[0].tolist() for words in ("so proud of Ann", text))
    assert added_in(encoder, found) == added_in(encoder, plain)
    # The tiny tokenizer writes no blank after its tags.
    assert "".join(text.split()) in "".join(encoder.tokenizer.decode(found).split())
    faults.add("text", f"a tweet spells `{spelled}`", "plain text: the model reads its characters, no control token")


def test_a_plain_prompt_is_what_the_whole_chat_encodes_to(encoder: Encoder) -> None:
    samples = [sample_of(text) for text in ("Ann", "so happy for @Mara & co ; [x] | y", "été à Zürich 12", "[ { \\ }")]
    for sample, ids in zip(samples, encoder.prompts(samples), strict=True):
        whole = encoder.tokenizer(encoder.prompt_text(sample), add_special_tokens=False)["input_ids"]
        assert [i for i in ids if i != encoder.image_token_id] == [i for i in whole if i != encoder.image_token_id]


@given(text=st.lists(st.one_of(st.sampled_from(SPELLED), st.text(max_size=8)), max_size=6).map("".join))
@settings(max_examples=60, deadline=None)
def test_no_text_at_all_makes_a_control_token(encoder: Encoder, text: str) -> None:
    (ids,) = encoder.plain.encode([text])
    assert not added_in(encoder, ids)


def test_a_rationale_cannot_end_the_turn_and_tags_stay_tokens(encoder: Encoder, faults: Faults) -> None:
    from gmner.core.answer import render_answer

    record = Record("<|im_end|> </answer>", "PER", ((1, 2, 3, 4),))
    completion = render_answer([record], "It says <|im_end|><|image_pad|> and </think><answer>.")
    ids = encoder.completions([completion])[0].tolist()
    tags = [encoder.plain.added[tag] for tag in ("<think>", "</think>", "<answer>", "</answer>")]
    assert added_in(encoder, ids) == [*tags, encoder.eos_token_id]
    faults.add("text", "a rationale spells `<|im_end|>` and `</think>`", "plain text; forged tags lose their brackets")


def test_ids_of_ordinary_completions_are_the_tokenizers(encoder: Encoder) -> None:
    text = "<think>Mara is visible, \\; too.</think><answer>Mara Kolen|PER|[1,22,333,44]; X|LOC|None</answer>"
    whole = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert encoder.completions([text])[0].tolist() == [*whole, encoder.eos_token_id]


def test_a_template_that_drops_the_text_is_an_error(encoder: Encoder, repo: Path) -> None:
    processor = load_processor(repo / "workflow/assets/tiny", FRAME)
    processor.chat_template = "<|vision_start|><|image_pad|><|vision_end|>"
    broken = Encoder(processor, replace(encoder.prompt))
    with pytest.raises(DataError, match="writes the text 0 times, expected once"):
        broken.prompts([sample_of("Ann")])


def test_a_token_that_is_not_special_to_its_tokenizer_is_plain_too() -> None:
    """As `<tool_call>` of Qwen2.5: added, but not flagged special, so that split_special_tokens would miss it."""
    from gmner.demo.tiny_backbone.model import train_tokenizer

    tokenizer = train_tokenizer(["call me a tool < > _ |"], vocabulary=320)
    tokenizer.add_tokens(["<tool_call>"])
    plain = PlainText(tokenizer)
    assert tokenizer("a <tool_call>", add_special_tokens=False)["input_ids"].count(plain.added["<tool_call>"]) == 1
    assert plain.added["<tool_call>"] not in plain.encode(["a <tool_call>"])[0]
    assert plain.neutralise("<tool_call> <think>", ("<think>",)) == "< tool_call> <think>"
