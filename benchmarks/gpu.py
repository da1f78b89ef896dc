"""Qwen2.5-VL-7B on one GPU at the true shapes: the authors' settings against ours, training and decoding.

    python benchmarks/gpu.py                      all phases, a minute each, JSON on standard output
    python benchmarks/gpu.py --phases train_ours --seconds 30 --micro 4
    python benchmarks/gpu.py --tiny               the same code on the CPU in seconds

Needs torch, transformers, peft, numpy and pillow, and this repository's `src` beside it; no network, no weights: the
model is built from its configuration with random numbers, which take as long as trained ones. flash-attn, trl and
liger-kernel are used where they are installed, as in training, and the output says so.

MFU is the share of the device's dense bfloat16 peak that useful arithmetic makes up: no padding, no recomputation.
With T tokens of a row, P patches of its image and C scored positions, a training sample takes
    language model   4 N T + 6 L T^2 D        frozen weights: forward 2 N T, gradients of the activations 2 N T
    adapter          6 n T                    trained weights: forward, activations, weights
    head             4 V D C                  forward and gradients of the activations
    vision tower     2 M P + 4 Dv (F P^2 + W P 64)     frozen and first in line: forward only
N, n, M: weights of the linear layers, a quarter of those of the tower's merger, which runs once a token; L layers of
width D; F full and W windowed layers of width Dv; causal attention counts half the square. HFU counts what is run:
padding too, and with checkpointing the forward pass twice.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import torch
from gpu_shapes import (
    COMPLETION_TOKENS,
    SEVEN_B,
    TINY_TEXT,
    TINY_TOKENS,
    TINY_VISION,
    TOKENS,
    UPDATE_ROWS,
    Counter,
    Machine,
    Sample,
    collate,
    draw_samples,
)
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from gmner.errors import GmnerError
from gmner.generation.decode import write_rows
from gmner.models.kernels import apply_liger, attention_of, uses_liger
from gmner.models.qwen_vl.vision_attention import join_windows, run_tower_forward_only
from gmner.training.micro_batches import PART_TOKENS, InParts, find_room, is_out_of_memory, measure_peak, memory_limit

TARGETS = r".*\blanguage_model\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
ADAPTER = {"r": 32, "lora_alpha": 64, "lora_dropout": 0.05}
WARM_UPS = 4  # updates, as many as there are different ones


@dataclass(frozen=True)
class Way:
    """How a phase trains; the authors' rows have the length that the limit of theirs, 2048, gives them."""

    micro: int | None  # rows at once; None: as many as fit
    checkpointing: bool | None  # None: where memory needs it
    pad_to: int | None = None  # tokens; None: the longest row of the part
    ours: bool = True  # fused head on the scored positions, joined windows, fused optimizer, Liger
    compiled: bool = False


WAYS = {
    "train_authors": Way(micro=2, checkpointing=True, pad_to=2048, ours=False),
    "train_authors_unpadded": Way(micro=2, checkpointing=True, ours=False),
    "train_ours": Way(micro=None, checkpointing=None),
    "train_compiled": Way(micro=None, checkpointing=None, compiled=True),
}
DECODING = {"decode_authors": 2, "decode_ours": None}
PHASES = ("train_authors", "train_ours", "decode_authors", "decode_ours")


def build_model(machine: Machine, tiny: bool, ours: bool) -> Any:
    """Return the model with random weights on the device, set up as the authors' or our training does it."""
    values = (
        {"text_config": TINY_TEXT, "vision_config": {**SEVEN_B["vision_config"], **TINY_VISION}} if tiny else SEVEN_B
    )
    config = Qwen2_5_VLConfig(**values, **(TINY_TOKENS if tiny else TOKENS))
    attention = attention_of("auto", machine.device, machine.dtype) if ours else "sdpa"
    torch.manual_seed(0)
    with machine.device:
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            config, attn_implementation=attention, dtype=machine.dtype
        )
    if ours and uses_liger("auto", machine.device):
        apply_liger(model)
    if ours and attention == "sdpa":
        join_windows(model)
    return model.eval()


def with_adapter(model: Any) -> Any:
    """Return the model with a fresh adapter on the language model, all else frozen."""
    from peft import LoraConfig, get_peft_model

    run_tower_forward_only(model)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=TARGETS, **ADAPTER))


def loss_of(model: Any, part: dict[str, Any], scored: int, ours: bool, fused: bool) -> torch.Tensor:
    """Return a part's share of the loss of an update with `scored` tokens."""
    inputs = {name: value for name, value in part.items() if name not in ("labels", "rows")}
    labels = part["labels"][:, 1:]
    if fused:
        return -model(**inputs, labels=part["labels"], fused_lm_head=True).log_probs.sum() / scored
    network = model.get_base_model()
    if not ours:
        scores = model(**inputs, use_cache=False).logits[:, :-1].float()
        return torch.nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="sum") / scored
    wanted = labels != -100
    hidden = network.model(**inputs, use_cache=False).last_hidden_state[:, :-1][wanted]
    scores = network.lm_head(hidden).float()
    return torch.nn.functional.cross_entropy(scores, labels[wanted], reduction="sum") / scored


class Training:
    """One way of training, set up and ready to run updates."""

    def __init__(self, machine: Machine, way: Way, tiny: bool, micro: int | None) -> None:
        self.machine, self.way = machine, way
        network = build_model(machine, tiny, way.ours)
        self.counter, self.config = Counter(network), network.config
        self.pad_to = way.pad_to and (64 if tiny else way.pad_to)
        self.attention = network.config._attn_implementation
        self.fused = way.ours and machine.cuda and importlib.util.find_spec("trl") is not None
        if self.fused:
            from trl.trainer.utils import add_fused_lm_head

            add_fused_lm_head(network, outputs=("log_probs", "is_top1"))
        self.model = with_adapter(network).train()
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.counter.adapter = sum(weight.numel() for weight in self.weights)
        if way.compiled:
            for layer in network.model.language_model.layers:
                layer.compile(dynamic=True)
        self.samples = draw_samples(4 * UPDATE_ROWS, tiny)
        self.generator = torch.Generator().manual_seed(0)
        self.scored = 1
        self.batches: dict[int, dict[str, Any]] = {}
        self.rows, self.checkpointing = self._room(micro)
        self._checkpoint(self.checkpointing)
        self.parts = InParts(self.rows, 4, guarded=machine.cuda)
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=5e-4, weight_decay=0.1, **({"fused": True} if machine.cuda and way.ours else {})
        )

    def _room(self, micro: int | None) -> tuple[int, bool]:
        rows, checkpointing = micro or self.way.micro, self.way.checkpointing
        if not self.machine.cuda:
            return rows or 4, bool(checkpointing)
        if rows is not None and checkpointing is not None:
            return rows, checkpointing
        longest = sorted(self.samples, key=lambda sample: -sample.tokens)

        def measure(count: int, again: bool) -> int | None:
            self._checkpoint(again)
            batch = collate(longest[:count], self.config, self.generator, self.pad_to)
            return measure_peak(lambda: self._step(batch), self.weights)  # type: ignore[arg-type, return-value]

        most = max(1, min(UPDATE_ROWS, PART_TOKENS // longest[0].tokens))
        room = find_room(measure, memory_limit(self.weights), most, rows, checkpointing)
        return room.rows, room.checkpointing

    def _checkpoint(self, on: bool) -> None:
        network = self.model.get_base_model()
        if on:
            network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        else:
            network.activation_checkpointing_disable()

    def _step(self, part: dict[str, Any]) -> torch.Tensor:
        on_device = {
            name: value.to(self.machine.device, non_blocking=True) if isinstance(value, torch.Tensor) else value
            for name, value in part.items()
        }
        with torch.autocast(self.machine.device.type, torch.bfloat16, enabled=self.machine.cuda):
            loss = loss_of(self.model, on_device, self.scored, self.way.ours, self.fused)
        loss.backward()
        return loss.detach()

    def _batch(self, samples: Sequence[Sample], pad_to: int | None) -> dict[str, Any]:
        """Return the samples' batch, drawn once: in training, workers make batches beside the GPU."""
        key = id(samples[0])
        if key not in self.batches:
            batch = collate(samples, self.config, self.generator, pad_to)
            self.batches[key] = {name: self.machine.pinned(value) for name, value in batch.items()}
        return self.batches[key]

    def updates(self) -> Iterator[tuple[list[Sample], list[int], float]]:
        """Run updates without end; yield each one's samples, the tokens their rows are padded to, and the loss."""
        number = 0
        while True:
            start = number * UPDATE_ROWS % len(self.samples)
            samples = self.samples[start : start + UPDATE_ROWS]
            self.scored = sum(sample.completion for sample in samples)
            if self.way.ours:
                batch = self._batch(samples, None)
                loss = self.parts.run(self._step, [batch], self.weights)
                lengths = sorted((sample.tokens for sample in samples), reverse=True)
                samples = sorted(samples, key=lambda sample: -sample.tokens)
                padded = [lengths[place // self.parts.rows * self.parts.rows] for place in range(len(lengths))]
            else:
                loss, padded = torch.zeros(()), []
                for first in range(0, len(samples), self.rows):
                    part = samples[first : first + self.rows]
                    batch = self._batch(part, self.pad_to)
                    loss = loss + self._step(batch).cpu()
                    padded += [batch["input_ids"].shape[1]] * len(part)
            torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            number += 1
            yield samples, padded, float(loss)


def run_training(machine: Machine, way: Way, tiny: bool, seconds: float, micro: int | None) -> dict[str, Any]:
    """Train for so many seconds and return what was done and how fast."""
    training = Training(machine, way, tiny, micro)
    updates = training.updates()
    for _ in range(1 if tiny else WARM_UPS):
        next(updates)
    machine.settle()
    machine.count_memory_anew()  # what was tried to find the room is no part of it
    done: list[tuple[list[Sample], list[int], float]] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or not done:
        done.append(next(updates))
        machine.settle()
    took = time.perf_counter() - started
    pairs = [pair for samples, padded, _ in done for pair in zip(samples, padded, strict=True)]
    useful = sum(training.counter.train(sample) for sample, _ in pairs)
    spent = sum(training.counter.run(sample, length, training.checkpointing, not way.ours) for sample, length in pairs)
    tokens = sum(sample.tokens for sample, _ in pairs)
    found = {
        "updates": len(done),
        "seconds": round(took, 2),
        "samples_per_s": round(len(pairs) / took, 3),
        "tokens_per_s": round(tokens / took, 1),
        "padding": round(1 - tokens / sum(length for _, length in pairs), 4),
        "tflop_per_sample": round(useful / len(pairs) / 1e12, 3),
        "tflops": round(useful / took / 1e12, 2),
        "mfu": machine.peak and round(useful / took / 1e12 / machine.peak, 4),
        "hfu": machine.peak and round(spent / took / 1e12 / machine.peak, 4),
        "peak_gib": machine.peak_memory(),
        "micro_batch": training.parts.rows if way.ours else training.rows,
        "accumulation": -(-UPDATE_ROWS // (training.parts.rows if way.ours else training.rows)),
        "gradient_checkpointing": training.checkpointing,
        "attention": training.attention,
        "head": "trl" if training.fused else "completion" if way.ours else "every position",
        "liger": way.ours and uses_liger("auto", machine.device),
        "loss": round(done[-1][2], 4),
    }
    return found


class Enough:
    """Ends a row after so many tokens."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def is_done(self, ids: Sequence[int]) -> bool:
        """Say whether the row is long enough."""
        return len(ids) >= self.tokens


def run_decoding(machine: Machine, rows: int, ours: bool, tiny: bool, seconds: float) -> dict[str, Any]:
    """Decode batches for so many seconds and return what was done and how fast."""
    model = build_model(machine, tiny, ours)
    if not ours:
        model = with_adapter(model).eval()  # not folded in
    length = 6 if tiny else COMPLETION_TOKENS
    samples = sorted(draw_samples(rows, tiny), key=lambda sample: -sample.tokens)
    inputs = collate(samples, model.config, torch.Generator().manual_seed(1), answer=False)
    inputs = {name: value.to(machine.device) for name, value in inputs.items()}
    inputs["pixel_values"] = inputs["pixel_values"].to(machine.dtype)

    def decode() -> int:
        if ours:
            return sum(len(ids) for ids in write_rows(model, inputs, Enough(length), length))  # type: ignore[arg-type]
        with torch.inference_mode():
            found = model.generate(**inputs, do_sample=False, max_new_tokens=length, min_new_tokens=length)
        return (found.shape[1] - inputs["input_ids"].shape[1]) * rows

    decode()
    machine.settle()
    written = batches = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or not batches:
        written += decode()
        machine.settle()
        batches += 1
    took = time.perf_counter() - started
    return {
        "batch_size": rows,
        "seconds": round(took, 2),
        "samples_per_s": round(batches * rows / took, 3),
        "tokens_per_s": round(written / took, 1),
        "prompt_tokens": int(inputs["attention_mask"].sum()) // rows,
        "new_tokens": length,
        "peak_gib": machine.peak_memory(),
    }


def run_phase(machine: Machine, name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run one phase; running out of memory is a result too, and what fails leaves the other phases' numbers alone."""
    machine.forget()
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
        if name in WAYS:
            return run_training(machine, WAYS[name], args.tiny, args.seconds, args.micro if WAYS[name].ours else None)
        ours = name == "decode_ours"
        return run_decoding(machine, DECODING[name] or args.decode_batch, ours, args.tiny, args.seconds)
    except Exception as error:  # a GPU is lent by the hour
        if is_out_of_memory(error) or isinstance(error, GmnerError):
            return {"error": f"out of memory: {error}", "peak_gib": machine.peak_memory()}
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    finally:
        with contextlib.suppress(AttributeError):
            torch._dynamo.reset()


def versions() -> dict[str, str | None]:
    """Return the versions of what decides the speed."""
    names = ("torch", "transformers", "peft", "trl", "liger-kernel", "flash-attn", "triton")
    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def ratios(phases: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return how many times faster ours are than the authors' settings, where both were run."""
    pairs = {"training": ("train_ours", "train_authors"), "decoding": ("decode_ours", "decode_authors")}

    def rate(name: str) -> float:
        return phases.get(name, {}).get("samples_per_s", 0.0)

    return {key: round(rate(a) / rate(b), 2) for key, (a, b) in pairs.items() if rate(a) and rate(b)}


def main(words: Sequence[str] | None = None) -> int:
    """Run the phases and print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU: does the script run?")
    parser.add_argument("--seconds", type=float, help="of each phase (default: 60; 0.5 with --tiny)")
    parser.add_argument("--phases", default=",".join(PHASES), help=f"of {', '.join([*WAYS, *DECODING])}")
    parser.add_argument("--micro", type=int, help="rows at once in our training (default: as many as fit)")
    parser.add_argument("--decode-batch", type=int, default=None, help="rows at once in our decoding (default: 64)")
    args = parser.parse_args(words)
    args.seconds = args.seconds if args.seconds is not None else 0.5 if args.tiny else 60.0
    args.decode_batch = args.decode_batch or (4 if args.tiny else 64)
    names = args.phases.split(",")
    if unknown := [name for name in names if name not in WAYS and name not in DECODING]:
        parser.error(f"no phase {', '.join(unknown)}; there are {', '.join([*WAYS, *DECODING])}")
    if not args.tiny and not torch.cuda.is_available():
        print(json.dumps({"benchmark": "gpu", "skipped": "no GPU; --tiny runs the same code on the CPU"}))
        return 0
    machine = Machine(args.tiny)
    samples = draw_samples(4 * UPDATE_ROWS, args.tiny)
    document: dict[str, Any] = {
        "benchmark": "gpu",
        "model": "tiny" if args.tiny else "Qwen2.5-VL-7B, random weights",
        "device": machine.name,
        "peak_tflops": machine.peak,
        "matmul_tflops": machine.matmul(0.05 if args.tiny else 2.0),
        "versions": versions(),
        "tokens_of_a_row": round(float(np.mean([sample.tokens for sample in samples])), 1),
        "image_tokens_of_a_row": round(float(np.mean([sample.patches // 4 for sample in samples])), 1),
        "phases": {name: run_phase(machine, name, args) for name in names},
    }
    document["times_faster"] = ratios(document["phases"])
    print(json.dumps(document, indent=1))
    return int(any("failed" in phase for phase in document["phases"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
