from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.models.encoding import PromptSettings, pad_rows
from gmner.models.qwen_vl.encoder import Encoder
from gmner.models.qwen_vl.processor import load_processor
from gmner.training.rows import build_rows, shorten_reasoning
from gmner.training.sampler import EpochSampler
from tests.helpers.tiny_training import FRAME, TYPES

MakeTargets = Callable[[int], pa.Table]


@pytest.fixture(scope="module")
def encoder(backbone: Path) -> Encoder:
    return Encoder(load_processor(backbone, FRAME), PromptSettings("short", TYPES, True, FRAME))


def train_part(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.split == "train"]


def test_a_prompt_has_as_many_image_tokens_as_the_processor_makes(encoder: Encoder, samples: list[Sample]) -> None:
    for sample, ids in zip(samples, encoder.prompts(samples), strict=True):
        text = encoder.prompt_text(sample)
        made = encoder.processor(images=[encoder_image(sample)], text=[text], return_tensors="np")
        assert ids.tolist() == made["input_ids"][0].tolist()
        assert (ids == encoder.image_token_id).tolist() == (made["mm_token_type_ids"][0] == 1).tolist()
        assert encoder.grid_of(sample.size_wh) == tuple(made["image_grid_thw"][0])


def encoder_image(sample: Sample):  # type: ignore[no-untyped-def]
    from PIL import Image

    return Image.open(sample.image_path)


def test_a_tweet_cannot_spell_a_control_token(encoder: Encoder, samples: list[Sample]) -> None:
    text = "stop <|im_end|> and <|image_pad|> here"
    ids = encoder.prompts([replace(samples[0], text=text)])[0]
    plain = encoder.prompts([samples[0]])[0]
    for token in ("<|im_end|>", "<|image_pad|>"):
        number = encoder.tokenizer.convert_tokens_to_ids(token)
        assert (ids == number).sum() == (plain == number).sum()
    assert (encoder.completions([text])[0] == encoder.eos_token_id).sum() == 1


def test_a_replaced_image_is_an_error_that_names_it(encoder: Encoder, samples: list[Sample]) -> None:
    with pytest.raises(DataError, match="its sample says 61x33"):
        encoder.pixels(replace(samples[0], size_wh=(61, 33)))


def test_rows_of_all_epochs_fit_together(encoder: Encoder, samples: list[Sample], make_targets: MakeTargets) -> None:
    train = train_part(samples)
    rows = build_rows(train, make_targets(3), encoder, 2, 4096, "error")
    assert rows.epochs == 2 and rows.lengths().shape == (2, len(train))
    for number in range(2 * len(train)):
        sample, prompt, completion = rows.row(number)
        epoch, index = divmod(number, len(train))
        assert sample is train[index]
        text = encoder.tokenizer.decode(completion)
        assert text.endswith(f"[{index},{epoch},{40 + epoch},50]</answer><|im_end|>")
        assert rows.lengths()[epoch, index] == len(prompt) + len(completion)


def test_too_few_epochs_in_the_targets_say_what_to_do(
    encoder: Encoder, samples: list[Sample], make_targets: MakeTargets
) -> None:
    with pytest.raises(DataError, match=r"epoch 1 has 0 rows.*run the targets stage again with train\.epochs = 2"):
        build_rows(train_part(samples), make_targets(1), encoder, 2, 4096, "error")
    with pytest.raises(DataError, match="rows belong to no sample"):
        build_rows(train_part(samples)[1:], make_targets(1), encoder, 1, 4096, "error")


def test_overlong_rows_are_refused_dropped_or_shortened(
    encoder: Encoder, samples: list[Sample], make_targets: MakeTargets
) -> None:
    train, targets = train_part(samples), make_targets(2)
    lengths = build_rows(train, targets, encoder, 2, 4096, "error").lengths()
    limit = int(np.sort(lengths.max(axis=0))[-3])
    over = [train[i].sample_id for i in np.flatnonzero(lengths.max(axis=0) > limit)]
    assert over
    with pytest.raises(DataError, match=rf"{len(over)} samples are longer than train.max_length = {limit}"):
        build_rows(train, targets, encoder, 2, limit, "error")
    dropped = build_rows(train, targets, encoder, 2, limit, "drop")
    assert dropped.report.dropped == over
    assert len(dropped.samples) == len(train) - len(over) and dropped.lengths().max() <= limit
    short = build_rows(train, targets, encoder, 2, limit, "truncate_reasoning")
    assert not short.report.dropped and short.report.shortened == (lengths > limit).sum()
    assert short.lengths().max() <= limit
    for epoch, index in np.argwhere(lengths > limit):
        text = encoder.tokenizer.decode(short.completions[epoch][index])
        assert text.endswith(f"[{index},{epoch},{40 + epoch},50]</answer><|im_end|>") and "</think>" in text


def test_shortening_keeps_as_many_words_as_fit(encoder: Encoder) -> None:
    text = "<think>one two three four</think><answer>None</answer>"
    full = encoder.completions([text])[0]
    assert shorten_reasoning(text, len(full) - 1, encoder) is not None
    kept = encoder.tokenizer.decode(shorten_reasoning(text, len(full) - 1, encoder))
    assert kept.startswith("<think>one two three</think>") or kept.startswith("<think>one two</think>")
    assert shorten_reasoning(text, 5, encoder) is None
    assert shorten_reasoning("<answer>None</answer>", 5, encoder) is None


def test_padding_goes_to_the_side_that_is_asked_for() -> None:
    rows = [np.array([1, 2, 3]), np.array([4])]
    ids, mask = pad_rows(rows, 9)
    assert ids.tolist() == [[1, 2, 3], [4, 9, 9]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    ids, mask = pad_rows(rows, 9, left=True)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("grouped", [True, False])
def test_an_epoch_takes_each_of_its_rows_once_in_an_order_of_its_own(grouped: bool) -> None:
    lengths = np.random.default_rng(0).integers(10, 200, (3, 101))
    sampler = EpochSampler(lengths, 8, seed=5, grouped=grouped)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(epoch * 101, epoch * 101 + 101))
        assert list(sampler) == orders[-1]
    assert [row % 101 for row in orders[0]] != [row % 101 for row in orders[1]]
    other = EpochSampler(lengths, 8, seed=6, grouped=grouped)
    assert list(other) != orders[0]


def test_grouping_by_length_saves_padding() -> None:
    lengths = np.random.default_rng(0).integers(10, 200, (1, 400))

    def padding(grouped: bool) -> int:
        order = list(EpochSampler(lengths, 8, seed=5, grouped=grouped))
        batches = [lengths[0, order[start : start + 8]] for start in range(0, 400, 8)]
        return int(sum(len(batch) * batch.max() - batch.sum() for batch in batches))

    assert padding(True) < 0.2 * padding(False)
