"""Decoding by vLLM: the same prompts, images and stops as `gmner.generation.decode`, on an engine made for speed.

vLLM pins torch and transformers of its own, so it lives in an environment of its own (envs/vllm.yaml) and is imported
here alone. Answers equal those of the other engine up to the rounding of another order of additions.
"""

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from gmner.core.records import Sample
from gmner.errors import ConfigError, DataError
from gmner.generation.confidence import record_confidences
from gmner.generation.constrained import AnswerGrammars
from gmner.generation.decode import END_OF_ANSWER, Output, StopRule
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.loading import add_adapter, device_of, dtype_of, load_backbone
from gmner.models.seam import Encoder
from gmner.storage.files import write_json
from gmner.storage.images import open_image

log = logging.getLogger(__name__)

CHUNK = 256
"""Samples that are decoded, and kept, at a time: the engine fills its own batches from them."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM has room for."""
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "manifest.json")
_PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


class VllmDecoder:
    """Decodes samples with a vLLM engine; has the interface that `generate_outputs` asks for."""

    def __init__(
        self,
        engine: Any,
        encoder: Encoder,
        stop: StopRule,
        max_new_tokens: int,
        lora: Any = None,
        chunk: int = CHUNK,
        grammars: AnswerGrammars | None = None,
    ) -> None:
        self.engine, self.encoder, self.stop, self.grammars = engine, encoder, stop, grammars
        self.max_new_tokens, self.lora, self.chunk = max_new_tokens, lora, chunk

    def batches(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Return the sample numbers of each chunk, in their order, each number exactly once."""
        numbers = list(range(len(samples)))
        return [numbers[start : start + self.chunk] for start in range(0, len(numbers), self.chunk)]

    def decode_batch(self, samples: Sequence[Sample]) -> list[Output]:
        """Return the outputs of one chunk, in the order of `samples`.

        Raises DataError if vLLM saw another number of image tokens than the frame gives: its image would lie
        in other coordinates.
        """
        import vllm

        wanted: Any = {
            "temperature": 0.0,
            "max_tokens": self.max_new_tokens,
            "stop": [END_OF_ANSWER],
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "logprobs": 0,  # of the chosen tokens alone
        }
        if self.grammars is None:
            wanted = vllm.SamplingParams(**wanted)
        else:
            from vllm.sampling_params import StructuredOutputsParams

            texts = [self.grammars.text_of(sample) for sample in samples]
            wanted = [
                vllm.SamplingParams(**wanted, structured_outputs=StructuredOutputsParams(grammar=text))
                for text in texts
            ]
        asked = [self._request(sample) for sample in samples]
        answers = self.engine.generate(asked, wanted, lora_request=self.lora, use_tqdm=False)
        prompts = self.encoder.prompts(samples)
        return [
            self._output(sample, answer, len(prompt))
            for sample, answer, prompt in zip(samples, answers, prompts, strict=True)
        ]

    def _request(self, sample: Sample) -> dict[str, Any]:
        encoder = self.encoder
        ids = encoder.chats([sample])[0]
        width, height = (int(side) for side in encoder.prompt.frame.model_size(sample.size_wh))
        # Resized as the other engine does it, so that vLLM's own resizing has nothing left to do.
        image = open_image(sample.image_path, sample.size_wh)
        image = image.resize((width, height), Image.Resampling(int(encoder.processor.image_processor.resample)))
        return {"prompt_token_ids": ids, "multi_modal_data": {"image": image}}

    def _output(self, sample: Sample, answer: Any, prompt_tokens: int) -> Output:
        if len(answer.prompt_token_ids) != prompt_tokens:
            raise DataError(
                f"sample {sample.sample_id}: vLLM read {len(answer.prompt_token_ids)} prompt tokens, expected "
                f"{prompt_tokens}: it resized the image into another frame; set generate.engine: transformers"
            )
        ids = list(answer.outputs[0].token_ids)
        done, text = bool(ids) and self.stop.is_done(ids), self.stop.text(ids)
        if self.grammars is not None and not done:
            text = self.grammars.closed(text)
        told = answer.outputs[0].logprobs
        confidence = None
        if told is not None:
            logprobs = [float(step[token].logprob) for token, step in zip(ids, told, strict=True)]
            confidence = record_confidences(text, ids, logprobs, self.stop.text)
        return Output(sample.sample_id, text, prompt_tokens, len(ids), "stop" if done else "length", confidence)


def load_vllm(
    backbone: Path,
    adapter: Path | None,
    prompt: PromptSettings,
    generate: Any,
    samples: Sequence[Sample],
    work_dir: Path,
) -> VllmDecoder:
    """Return a decoder on vLLM for `samples`; `generate` is GenerateSettings.

    The adapter is loaded beside the backbone, or with `generate.merge` folded into a copy of it in `work_dir`
    (`remove_served` deletes it). Raises ConfigError if vLLM is not installed or the adapter's rank is too large.
    """
    vllm = import_vllm()
    encoder = seam_of_folder(backbone).encoder(backbone, prompt)
    longest = max(len(ids) for ids in encoder.prompts(samples))
    folder = served_folder(backbone, encoder, adapter if generate.merge else None, work_dir)
    options: dict[str, Any] = {}
    lora = None
    if adapter is not None and not generate.merge:
        from vllm.lora.request import LoRARequest

        options = {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank_slot(adapter)}
        lora = LoRARequest("run", 1, str(adapter.resolve()))
    if generate.quantization == "nf4":
        options["quantization"] = "bitsandbytes"
    grammars = None
    if generate.constrained:
        options["structured_outputs_config"] = {"backend": "guidance"}  # the one that reads Lark
        grammars = AnswerGrammars(encoder, len(encoder.tokenizer), generate.max_new_tokens)
    device = device_of()
    engine = vllm.LLM(
        model=str(folder),
        dtype=str(dtype_of(generate.precision, device)).removeprefix("torch."),
        seed=0,
        max_model_len=longest + generate.max_new_tokens,
        gpu_memory_utilization=generate.gpu_memory,
        limit_mm_per_prompt={"image": 1, "video": 0},
        mm_processor_kwargs={"size": limits_of(encoder)},
        trust_remote_code=False,
        disable_log_stats=True,
        **options,
    )
    stop = StopRule(encoder.tokenizer, [*end_tokens(backbone), encoder.eos_token_id])
    return VllmDecoder(engine, encoder, stop, generate.max_new_tokens, lora, grammars=grammars)


def import_vllm() -> Any:
    """Return the module vllm, set to be quiet; raises ConfigError where it is not installed."""
    for name, value in (("VLLM_NO_USAGE_STATS", "1"), ("VLLM_LOGGING_LEVEL", "WARNING")):
        os.environ.setdefault(name, value)
    # The engine's own process must not inherit a GPU that this one has already looked at.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    try:
        import vllm
    except ImportError as error:
        raise ConfigError(
            f"generate.engine is vllm, but the package vllm cannot be imported here ({error}); run Snakemake with "
            "--sdm conda (envs/vllm.yaml has it), install it as docs/gpu.md says, or set generate.engine: transformers"
        ) from error
    return vllm


def rank_slot(adapter: Path) -> int:
    """Return the smallest rank vLLM has room for that holds the adapter's; raises ConfigError where there is none."""
    rank = int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])
    for slot in RANKS:
        if rank <= slot:
            return slot
    raise ConfigError(f"{adapter}: its rank is {rank}, vLLM takes at most {RANKS[-1]}; set generate.merge: true")


def end_tokens(folder: Path) -> list[int]:
    """Return the tokens that end a turn, as the backbone's generation_config.json has them."""
    path = folder / "generation_config.json"
    found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.exists() else None
    return found if isinstance(found, list) else [] if found is None else [found]


def served_folder(backbone: Path, encoder: Encoder, merged: Path | None, work_dir: Path) -> Path:
    """Make `work_dir`/served, what vLLM loads: the backbone's files, and an image processor with the frame's limits.

    The files are links; with an adapter in `merged` the weights are written again with it folded in, in the
    backbone's own numbers.
    """
    folder = work_dir / "served"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    weights = {path for pattern in _WEIGHTS for path in backbone.glob(pattern)} if merged else set()
    for path in backbone.iterdir():
        if path.name not in _PROCESSORS and path not in weights:
            (folder / path.name).symlink_to(path.resolve())
    write_json(folder / _PROCESSORS[0], _image_settings(backbone, encoder))
    if merged is not None:
        log.info("generate: folding the adapter into a copy of the backbone")
        model = load_backbone(backbone, dtype_of("auto", device_of()), torch.device("cpu"))
        add_adapter(model, merged, merge=True).save_pretrained(folder, safe_serialization=True)
    return folder


def _image_settings(backbone: Path, encoder: Encoder) -> dict[str, Any]:
    own = backbone / _PROCESSORS[0]
    known = json.loads(own.read_text(encoding="utf-8")) if own.exists() else {}
    return seam_of_folder(backbone).image_settings(encoder, known)


def limits_of(encoder: Encoder) -> dict[str, int]:
    """Return the frame's pixel limits as image processors name them."""
    return {"shortest_edge": encoder.prompt.frame.min_pixels, "longest_edge": encoder.prompt.frame.max_pixels}


def remove_served(work_dir: Path) -> None:
    """Delete what was made for vLLM; nothing happens where there is none."""
    shutil.rmtree(work_dir / "served", ignore_errors=True)
