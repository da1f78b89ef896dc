"""The vLLM engine against a stand-in that speaks its interface and answers with another engine's tokens."""

import json
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from gmner.config.run import GenerateSettings
from gmner.core.records import Sample
from gmner.errors import ConfigError, DataError
from gmner.generation.decode import END_OF_ANSWER, Output
from gmner.generation.load import load_decoder
from gmner.generation.run import generate_outputs
from gmner.generation.vllm import VllmDecoder, end_tokens, load_vllm, rank_slot, remove_served
from gmner.models.encoding import PromptSettings
from tests.helpers.tiny_training import FRAME, TYPES

PROMPT = PromptSettings("short", TYPES, True, FRAME)


@dataclass
class Stand:
    """What the stand-in was asked, and the tokens it answers with for each prompt."""

    answers: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    image_tokens: dict[tuple[int, ...], int] = field(default_factory=dict)
    engines: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[int, dict[str, Any], Any]] = field(default_factory=list)
    images: list[tuple[int, int]] = field(default_factory=list)

    def logprobs(self, ids: tuple[int, ...]) -> list[dict[int, Any]]:
        """Return, as vLLM does, a log-probability for each token that is answered."""
        return [{token: types.SimpleNamespace(logprob=-0.25)} for token in self.answers[ids]]


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    made = Stand()

    class LLM:
        def __init__(self, **options: Any) -> None:
            made.engines.append(options)

        def generate(self, prompts: list[Any], params: Any, *, lora_request: Any, use_tqdm: bool) -> list[Any]:
            made.calls.append((len(prompts), params, lora_request))
            answers = []
            for prompt in prompts:
                made.images.append(prompt["multi_modal_data"]["image"].size)
                ids = tuple(prompt["prompt_token_ids"])
                expanded = [0] * (len(ids) - 1 + made.image_tokens[ids])
                completion = types.SimpleNamespace(token_ids=made.answers[ids], logprobs=made.logprobs(ids))
                answers.append(types.SimpleNamespace(prompt_token_ids=expanded, outputs=[completion]))
            return answers

    package = types.ModuleType("vllm")
    package.LLM, package.SamplingParams = LLM, dict  # type: ignore[attr-defined]
    sampling = types.ModuleType("vllm.sampling_params")
    sampling.StructuredOutputsParams = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, sampling.__name__, sampling)
    request = types.ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *parts: parts  # type: ignore[attr-defined]
    for name, module in (("vllm", package), ("vllm.lora", types.ModuleType("vllm.lora")), (request.__name__, request)):
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture(scope="module")
def expected(backbone: Path, samples: list[Sample]) -> dict[str, Output]:
    """The other engine's answers."""
    decoder = load_decoder(backbone, None, PROMPT, GenerateSettings(max_new_tokens=12, precision="fp32"))
    return {output.sample_id: output for batch in decoder.decode(samples) for output in batch}


@pytest.fixture(scope="module")
def adapter(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import get_peft_model

    from gmner.config.run import LoraSettings
    from gmner.models.loading import load_backbone
    from gmner.training.best_epoch import save_adapter
    from gmner.training.trainer import lora_config

    folder = tmp_path_factory.mktemp("adapter")
    model = load_backbone(backbone, torch.float32, torch.device("cpu"))
    save_adapter(get_peft_model(model, lora_config(LoraSettings(r=20), str(backbone))), folder)
    return folder


def load(stand: Stand, backbone: Path, samples: list[Sample], work: Path, **options: Any) -> VllmDecoder:
    adapter = options.pop("adapter", None)
    generate = GenerateSettings(engine="vllm", max_new_tokens=12, precision="fp32", **options)
    decoder = load_vllm(backbone, adapter, PROMPT, generate, samples, work)
    encoder, cells = decoder.encoder, decoder.encoder.merge_size**2
    for sample, chat in zip(samples, encoder.chats(samples), strict=True):
        _, height, width = encoder.grid_of(sample.size_wh)
        stand.image_tokens[tuple(chat)] = height * width // cells
    return decoder


def answer_with(stand: Stand, decoder: VllmDecoder, samples: list[Sample], found: dict[str, Output]) -> None:
    for sample, chat in zip(samples, decoder.encoder.chats(samples), strict=True):
        ids = decoder.encoder.tokenizer(found[sample.sample_id].output, add_special_tokens=False)["input_ids"]
        stand.answers[tuple(chat)] = ids


def test_the_engine_is_asked_for_what_the_other_one_does(
    stand: Stand, backbone: Path, samples: list[Sample], expected: dict[str, Output], tmp_path: Path
) -> None:
    decoder = load(stand, backbone, samples, tmp_path / "work")
    text = "<answer>Anna|PER|None</answer>"
    answer_with(stand, decoder, samples, {name: Output(name, text, 0, 0, "") for name in expected})
    outputs = decoder.decode_batch(samples)
    for sample, output in zip(samples, outputs, strict=True):
        assert output.output == text and output.finish_reason == "stop"
        assert output.prompt_tokens == expected[sample.sample_id].prompt_tokens
    (options,), ((count, params, lora),) = stand.engines, stand.calls
    assert count == len(samples) and lora is None
    assert params["temperature"] == 0.0 and params["max_tokens"] == 12
    assert params["stop"] == [END_OF_ANSWER] and params["include_stop_str_in_output"] is True
    assert options["mm_processor_kwargs"]["size"] == {
        "shortest_edge": FRAME.min_pixels,
        "longest_edge": FRAME.max_pixels,
    }
    longest = max(output.prompt_tokens for output in outputs)
    assert options["max_model_len"] == longest + 12 and options["dtype"] == "float32"
    assert stand.images == [tuple(int(side) for side in FRAME.model_size(sample.size_wh)) for sample in samples]


def test_the_images_it_gets_are_those_of_the_other_engine(
    stand: Stand, backbone: Path, samples: list[Sample], tmp_path: Path
) -> None:
    decoder = load(stand, backbone, samples, tmp_path)
    for sample in samples[:4]:
        image = decoder._request(sample)["multi_modal_data"]["image"]
        patches = decoder.encoder.processor.image_processor(images=[image], return_tensors="pt")["pixel_values"]
        assert torch.equal(patches, decoder.encoder.pixels(sample))


def test_answers_cut_by_the_limit_and_ended_turns_read_alike(
    stand: Stand, backbone: Path, samples: list[Sample], tmp_path: Path
) -> None:
    decoder = load(stand, backbone, samples[:2], tmp_path)
    first, second = (tuple(chat) for chat in decoder.encoder.chats(samples[:2]))
    words = decoder.encoder.tokenizer("happy day", add_special_tokens=False)["input_ids"]
    stand.answers = {first: words, second: [*words, decoder.encoder.eos_token_id]}
    cut, ended = decoder.decode_batch(samples[:2])
    assert (cut.finish_reason, cut.output_tokens) == ("length", len(words))
    assert ended.finish_reason == "stop" and ended.output == cut.output
    assert end_tokens(backbone) == [decoder.encoder.eos_token_id]


def test_an_interrupted_decoding_goes_on_with_the_next_chunk(
    stand: Stand, backbone: Path, samples: list[Sample], expected: dict[str, Output], tmp_path: Path
) -> None:
    decoder = load(stand, backbone, samples, tmp_path)
    answer_with(stand, decoder, samples, expected)
    decoder.chunk = 5
    last = tuple(decoder.encoder.chats(samples[-1:])[0])
    kept = stand.answers.pop(last)
    with pytest.raises(KeyError):
        generate_outputs(decoder, samples, tmp_path, {})
    stand.answers[last] = kept
    stand.calls.clear()
    outputs = generate_outputs(decoder, samples, tmp_path, {})
    assert [count for count, *_ in stand.calls] == [2]
    assert [output.sample_id for output in outputs] == [sample.sample_id for sample in samples]


def test_another_number_of_image_tokens_is_refused(
    stand: Stand, backbone: Path, samples: list[Sample], expected: dict[str, Output], tmp_path: Path
) -> None:
    decoder = load(stand, backbone, samples, tmp_path)
    answer_with(stand, decoder, samples, expected)
    stand.image_tokens = {ids: count + 1 for ids, count in stand.image_tokens.items()}
    with pytest.raises(DataError, match=r"vLLM read \d+ prompt tokens, expected \d+: it resized the image"):
        decoder.decode_batch(samples[:1])


def test_the_adapter_is_loaded_beside_or_folded_in(
    stand: Stand, backbone: Path, adapter: Path, samples: list[Sample], tmp_path: Path
) -> None:
    beside = load(stand, backbone, samples, tmp_path / "a", adapter=adapter, quantization="nf4")
    assert beside.lora == ("run", 1, str(adapter))
    options = stand.engines[-1]
    assert options["enable_lora"] and options["max_lora_rank"] == 32 and options["quantization"] == "bitsandbytes"
    served = Path(options["model"])
    assert (served / "model.safetensors").samefile(backbone / "model.safetensors")
    told = json.loads((served / "preprocessor_config.json").read_text())
    assert told["size"]["longest_edge"] == FRAME.max_pixels and told["patch_size"] == 14
    assert (
        told["image_processor_type"] == "Qwen2VLImageProcessor" and not (backbone / "preprocessor_config.json").exists()
    )
    folded = load(stand, backbone, samples, tmp_path / "b", adapter=adapter, merge=True)
    served = Path(stand.engines[-1]["model"])
    assert folded.lora is None and "enable_lora" not in stand.engines[-1]
    assert not (served / "model.safetensors").is_symlink() and (served / "tokenizer.json").is_symlink()
    remove_served(tmp_path / "b")
    assert not served.exists() and (backbone / "tokenizer.json").exists()


def test_a_rank_that_vllm_has_no_room_for(tmp_path: Path) -> None:
    for rank, slot in ((1, 8), (32, 32), (33, 64), (512, 512)):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
        assert rank_slot(tmp_path) == slot
    (tmp_path / "adapter_config.json").write_text('{"r": 513}')
    with pytest.raises(ConfigError, match=r"its rank is 513, vLLM takes at most 512; set generate\.merge: true"):
        rank_slot(tmp_path)


def test_without_vllm_the_error_says_where_it_is(
    backbone: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"vllm cannot be imported here .*envs/vllm\.yaml.*engine: transformers"):
        load_vllm(backbone, None, PROMPT, GenerateSettings(engine="vllm"), samples, tmp_path)


def test_each_tweet_has_its_grammar_if_answers_are_constrained(
    stand: Stand, backbone: Path, samples: list[Sample], expected: dict[str, Output], tmp_path: Path
) -> None:
    decoder = load(stand, backbone, samples, tmp_path / "work", constrained=True)
    cut = "<think>x</think><answer>Anna|PER|None; An"
    answer_with(stand, decoder, samples, {name: Output(name, cut, 0, 0, "") for name in expected})
    outputs = decoder.decode_batch(samples)
    assert stand.engines[0]["structured_outputs_config"] == {"backend": "guidance"}
    grammars = [params["structured_outputs"]["grammar"] for params in stand.calls[0][1]]
    assert len(set(grammars)) > 1 and all("MENTION: RUN0" in grammar for grammar in grammars)
    assert {output.output for output in outputs} == {"<think>x</think><answer>Anna|PER|None</answer>"}
    assert {output.finish_reason for output in outputs} == {"length"}
