import random
from pathlib import Path
from typing import Any

import pytest
import torch

from gmner.config.run import GenerateSettings
from gmner.core.answer import parse_output, render_answer
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.generation.decode import Decoder
from gmner.generation.load import load_decoder
from gmner.generation.run import generate_outputs
from gmner.models.encoding import PromptSettings
from gmner.models.loading import load_backbone
from gmner.models.qwen_vl.vision_features import bank_features, vision_model
from tests.helpers.tiny_training import FRAME, TYPES

PROMPT = PromptSettings("short", TYPES, True, FRAME)


def decoder_of(backbone: Path, batch_size: int = 4, max_new_tokens: int = 12) -> Decoder:
    generate = GenerateSettings(batch_size=batch_size, max_new_tokens=max_new_tokens, precision="fp32")
    return load_decoder(backbone, None, PROMPT, generate)


def outputs_of(decoder: Decoder, samples: list[Sample]) -> dict[str, Any]:
    return {output.sample_id: output for batch in decoder.decode(samples) for output in batch}


def test_batches_of_one_and_of_eight_answer_alike(backbone: Path, samples: list[Sample]) -> None:
    one, eight = (outputs_of(decoder_of(backbone, size), samples) for size in (1, 8))
    assert one == eight and set(one) == {sample.sample_id for sample in samples}
    assert len({output.output for output in one.values()}) > 1


def test_the_order_of_the_samples_changes_nothing(backbone: Path, samples: list[Sample], tmp_path: Path) -> None:
    decoder = decoder_of(backbone)
    shuffled = samples[:]
    random.Random(1).shuffle(shuffled)
    first = generate_outputs(decoder, samples, tmp_path / "a", {})
    second = generate_outputs(decoder, shuffled, tmp_path / "b", {})
    assert [output.sample_id for output in first] == [sample.sample_id for sample in samples]
    assert {output.sample_id: output for output in first} == {output.sample_id: output for output in second}


def test_the_answers_are_those_of_transformers_own_generate(backbone: Path, samples: list[Sample]) -> None:
    decoder = decoder_of(backbone)
    found = outputs_of(decoder, samples[:3])
    for sample in samples[:3]:
        ids = torch.tensor(decoder.encoder.prompts([sample])[0], dtype=torch.long)[None]
        written = decoder.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == decoder.encoder.image_token_id).long(),
            pixel_values=decoder.encoder.pixels(sample),
            image_grid_thw=torch.tensor([decoder.encoder.grid_of(sample.size_wh)]),
            max_new_tokens=12,
            do_sample=False,
        )[0, ids.shape[1] :].tolist()
        assert decoder.stop.text(written) == found[sample.sample_id].output


def test_decoding_reads_positions_of_time_height_and_width(backbone: Path, samples: list[Sample]) -> None:
    decoder = decoder_of(backbone, max_new_tokens=3)
    inner = vision_model(decoder.model)
    seen: list[torch.Tensor] = []
    inner.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["position_ids"].clone()), with_kwargs=True
    )
    batch = samples[:3]
    inputs = decoder._inputs(batch, decoder.encoder.prompts(batch), None)
    decoder.decode_batch(batch)
    expected, _ = inner.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"],
        attention_mask=inputs["attention_mask"],
    )
    assert torch.equal(seen[0], expected)
    # The next token counts on from the largest position of its row, which a wide image makes smaller than its place.
    assert torch.equal(seen[1][:, :, 0], (expected.amax(dim=(0, 2)) + 1).expand(3, -1))
    assert (seen[1][0, :, 0] < inputs["attention_mask"].sum(1)).all()


class Script:
    """A model that writes a given text for each row, whatever it is asked."""

    def __init__(self, inner: Any, rows: list[list[int]], vocabulary: int) -> None:
        self.inner, self.rows, self.vocabulary = inner, rows, vocabulary
        self.model, self.config, self.generation_config = inner.model, inner.config, inner.generation_config
        self.device, self.training = torch.device("cpu"), False
        self.step, self.sizes = 0, list[int]()

    def eval(self) -> None: ...
    def train(self, mode: bool) -> None: ...

    def __call__(self, input_ids: torch.Tensor, past_key_values: Any, **kwargs: Any) -> Any:
        states = torch.arange(len(input_ids)).view(-1, 1, 1, 1).float()
        if self.step == 0:
            self.alive = states
        else:
            self.alive = past_key_values.layers[0].keys[:, :, :1]
        past_key_values.update(states if self.step == 0 else self.alive, self.alive, 0)
        scores = torch.zeros(len(input_ids), 1, self.vocabulary)
        for place, row in enumerate(self.alive.flatten().long().tolist()):
            scores[place, 0, self.rows[row][min(self.step, len(self.rows[row]) - 1)]] = 1
        self.sizes.append(len(input_ids))
        self.step += 1
        return type("Out", (), {"logits": scores})


def test_a_row_ends_at_its_closing_tag_and_leaves_the_batch(backbone: Path, samples: list[Sample]) -> None:
    decoder = decoder_of(backbone, max_new_tokens=40)
    tokenizer = decoder.encoder.tokenizer
    texts = ["<answer>None</answer> and more", "<answer>A|PER|[1,2,3,4]</answer>", "x" * 60, "<think>a<|im_end|>b"]
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    script = Script(decoder.model, rows, len(tokenizer))
    outputs = Decoder(script, decoder.encoder, 4, 40).decode_batch(samples[:4])
    assert [output.output for output in outputs[:2]] == ["<answer>None</answer>", "<answer>A|PER|[1,2,3,4]</answer>"]
    assert outputs[3].output == "<think>a" and outputs[3].finish_reason == "stop"
    assert [output.finish_reason for output in outputs] == ["stop", "stop", "length", "stop"]
    assert outputs[2].output_tokens == 40
    assert script.sizes[0] == 4 and script.sizes[-1] == 1


def test_a_closing_tag_is_found_across_token_borders(backbone: Path) -> None:
    stop = decoder_of(backbone).stop
    ids = stop.tokenizer.convert_tokens_to_ids(list("]</answer>"))
    assert stop.tokenizer.decode(ids) == "]</answer>"
    assert stop.is_done(ids) and not stop.is_done(ids[:-1])


def test_an_interrupted_decoding_goes_on_and_equals_an_uninterrupted_one(
    backbone: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = decoder_of(backbone, 3)
    whole = generate_outputs(decoder, samples, tmp_path / "whole", {"adapter": 1})
    decode_batch, calls = Decoder.decode_batch, list[int]()

    def counting(self: Decoder, batch: list[Sample], bank: Any = None) -> Any:
        calls.append(len(batch))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode_batch(self, batch, bank)

    monkeypatch.setattr(Decoder, "decode_batch", counting)
    with pytest.raises(KeyboardInterrupt):
        generate_outputs(decoder, samples, tmp_path / "work", {"adapter": 1})
    assert generate_outputs(decoder, samples, tmp_path / "work", {"adapter": 1}) == whole
    assert len(calls) == 3 + 2
    assert generate_outputs(decoder, samples, tmp_path / "work", {"adapter": 2}) == whole
    assert len(calls) == 5 + 4


def test_a_sample_that_stands_twice_is_refused(backbone: Path, samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'train/0' stands twice"):
        generate_outputs(decoder_of(backbone), [samples[0], samples[0]], tmp_path, {})


def test_features_of_the_bank_answer_as_pixels_do(backbone: Path, samples: list[Sample]) -> None:
    decoder = decoder_of(backbone)
    bank = bank_features(decoder.model, decoder.encoder, samples)
    assert bank is not None
    assert [o for batch in decoder.decode(samples, bank) for o in batch] == [
        o for batch in decoder.decode(samples) for o in batch
    ]
    assert bank_features(decoder.model, decoder.encoder, samples, budget_bytes=100) is None


def test_weights_that_are_no_numbers_stop_with_a_remedy(backbone: Path, samples: list[Sample]) -> None:
    decoder = decoder_of(backbone)
    decoder.model.lm_head.weight.data[0] = float("nan")
    with pytest.raises(Exception, match=r"set generate\.precision to fp32"):
        decoder.decode_batch(samples[:1])


def test_a_folder_that_is_no_backbone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no config\.json; expected a backbone's folder"):
        load_backbone(tmp_path, torch.float32, torch.device("cpu"))


def test_a_constrained_answer_is_always_readable(backbone: Path, samples: list[Sample]) -> None:
    generate = GenerateSettings(batch_size=3, max_new_tokens=60, precision="fp32", constrained=True)
    for cot in (True, False):
        prompt = PromptSettings("short", TYPES, cot, FRAME)
        found = outputs_of(load_decoder(backbone, None, prompt, generate), samples)
        assert len({output.output for output in found.values()}) > 1
        for sample in samples:
            parsed = parse_output(found[sample.sample_id].output)
            assert not parsed.problems, found[sample.sample_id].output
            for record in parsed.records:
                assert record.type in TYPES and f" {record.mention} " in f" {' '.join(sample.tokens)} "


def test_constraints_leave_an_answer_that_keeps_the_form_as_it_is(backbone: Path, samples: list[Sample]) -> None:
    decoder = load_decoder(backbone, None, PROMPT, GenerateSettings(precision="fp32", constrained=True))
    for sample in samples:
        text = render_answer([Record(sample.tokens[0], TYPES[0], ((1.0, 2.0, 30.0, 40.0),))], "Anna waves: visible.")
        ids = decoder.encoder.completions([text])[0].tolist()
        masks = decoder.grammars.masks([sample])
        for token in ids[:-1]:
            scores = torch.zeros(1, len(decoder.encoder.tokenizer))
            assert masks.apply(scores, [0])[0, token] == 0
            masks.take(0, token)
