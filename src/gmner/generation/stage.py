"""The stage `generate` from files to a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gmner.config.stages import GenerateStage
from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.errors import ConfigError, DataError
from gmner.generation.load import load_decoder, prompt_of_run
from gmner.generation.run import BatchDecoder, generate_outputs
from gmner.generation.shares import WHOLE, Shard
from gmner.models.adapter_folder import MANIFEST_FILE
from gmner.models.encoding import PromptSettings
from gmner.models.loading import identity_of
from gmner.prompts.model import prompt_version
from gmner.storage.files import sha256_of_file
from gmner.storage.tables import OUTPUTS, read_samples, write_table


def generate_table(
    settings: GenerateStage,
    samples_path: Path,
    split: str,
    backbone: Path,
    adapter: Path | None,
    work_dir: Path,
    out: Path,
    shard: Shard = WHOLE,
) -> None:
    """Answer every sample of a shard of `split` once and write the table of outputs, in the order of the samples.

    Raises DataError if the split is empty or the adapter was trained on another backbone, and ConfigError
    where an untuned run says no question.
    """
    samples = read_samples(samples_path, split)
    if not samples:
        raise DataError(f"{samples_path}: no sample of split '{split}'; run the samples stage again")
    prompt = _prompt(settings, backbone, adapter)
    decoder = _decoder(settings, prompt, samples, backbone, adapter, work_dir)
    identity = _identity(settings, prompt, samples_path, backbone, adapter)
    outputs = generate_outputs(decoder, samples, work_dir, identity, shard)
    about = {
        "prompt_version": prompt_version(prompt.version),
        "split": split,
        "tuned": str(adapter is not None),
        "frame": json.dumps(prompt.frame.to_json(), sort_keys=True),
    }
    write_table(out, [asdict(output) for output in outputs], OUTPUTS, about)
    if settings.generate.engine == "vllm":
        from gmner.generation.vllm import remove_served

        remove_served(work_dir)


def _decoder(
    settings: GenerateStage,
    prompt: PromptSettings,
    samples: Sequence[Sample],
    backbone: Path,
    adapter: Path | None,
    work_dir: Path,
) -> BatchDecoder:
    if settings.generate.engine == "vllm":
        from gmner.generation.vllm import load_vllm

        return load_vllm(backbone, adapter, prompt, settings.generate, samples, work_dir)
    return load_decoder(backbone, adapter, prompt, settings.generate)


def _prompt(settings: GenerateStage, backbone: Path, adapter: Path | None) -> PromptSettings:
    if adapter is not None:
        return prompt_of_run(adapter, backbone)
    question = settings.question
    if question is None:
        raise ConfigError("generate: neither --adapter nor a question in --settings; an untuned run needs 'question'")
    frame = Frame(**settings.backbone.frame.model_dump())
    return PromptSettings(question.prompt, question.types, question.cot, frame)


def _identity(
    settings: GenerateStage, prompt: PromptSettings, samples_path: Path, backbone: Path, adapter: Path | None
) -> dict[str, Any]:
    return {
        "generate": settings.generate.model_dump(mode="json"),
        "prompt": [prompt_version(prompt.version), list(prompt.types), prompt.cot, prompt.frame.to_json()],
        "samples": sha256_of_file(samples_path),
        "backbone": identity_of(backbone)["manifest_sha256"],
        "adapter": sha256_of_file(adapter / MANIFEST_FILE) if adapter else None,
    }
