"""Group-relative policy optimisation (arXiv 2402.03300) of a trained adapter, by TRL's GRPOTrainer.

Of each tweet a group of answers is sampled by our own decoder; an answer's advantage is its reward less the group's
mean. Only the adapter learns, the vision tower is never run backward.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import datasets
import torch
from transformers import PrinterCallback
from transformers.trainer_callback import ProgressCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from gmner.config.refine import RefineSettings
from gmner.core.records import Sample
from gmner.models.seam import Encoder
from gmner.prompts.model import build_messages
from gmner.runtime.progress import Progress
from gmner.storage.images import open_image
from gmner.training.callbacks import StopRequest
from gmner.training.checkpoints import complete_checkpoint
from gmner.training.refine.rollouts import Rollout, Sampler
from gmner.training.trainer import TrainingDiverged

PARTS = ("mention", "mner", "gmner", "form")


@dataclass(frozen=True)
class PolicyJob:
    """What is refined: a model with a trainable adapter, the tweets it is asked about, and how."""

    model: Any
    encoder: Encoder
    samples: Sequence[Sample]
    sampler: Sampler
    settings: RefineSettings
    seed: int
    weight_decay: float
    dtype: torch.dtype


def policy_trainer(job: PolicyJob, work_dir: Path, callbacks: Sequence[TrainerCallback]) -> "PolicyTrainer":
    """Return the trainer, ready to train or to resume."""
    rewarded = _Rewarded(job)
    processor = job.encoder.processor
    processor.tokenizer.padding_side = "left"
    trainer = PolicyTrainer(
        model=job.model,
        reward_funcs=cast(Any, [rewarded]),
        args=policy_config(job, work_dir),
        train_dataset=_prompts(job),
        processing_class=processor,
        rollout_func=cast(Any, rewarded.roll_out),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    for callback in callbacks:
        trainer.add_callback(callback)
    return trainer


class PolicyTrainer(GRPOTrainer):
    """TRL's trainer; a loss that is no number stops it, and no model card is written beside a checkpoint."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch; raises TrainingDiverged if it is not finite."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise TrainingDiverged(
                f"refine: the loss is {loss.item()} at step {self.state.global_step}; lower refine.learning_rate, "
                "raise refine.kl, or set train.precision: fp32; then rerun"
            )
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card."""


class PolicyCallback(TrainerCallback):
    """Shows progress, asks for checkpoints by the clock and on a stop request, and marks those that are whole."""

    def __init__(self, stop: StopRequest, checkpoint_seconds: float) -> None:
        self.stop, self.checkpoint_seconds = stop, checkpoint_seconds
        self._last_save = time.monotonic()
        self._progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks."""
        self._last_save = time.monotonic()
        self._progress = Progress("refine", state.max_steps, "updates", state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint if one is due."""
        due = time.monotonic() - self._last_save >= self.checkpoint_seconds
        control.should_save = control.should_save or due or self.stop.asked
        control.should_training_stop = control.should_training_stop or self.stop.asked

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Count the update in the line of progress."""
        if self._progress is not None and logs and "reward" in logs:
            parts = ", ".join(f"{part} {float(logs[f'reward_{part}']):.3f}" for part in PARTS)
            self._progress.advance(1, f"reward {float(logs['reward']):.3f} ({parts})")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as complete."""
        self._last_save = time.monotonic()
        complete_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)


def policy_config(job: PolicyJob, work_dir: Path) -> GRPOConfig:
    """Return TRL's arguments for the settings `refine`."""
    settings = job.settings
    answers, on_gpu = settings.prompts * settings.group, torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(work_dir),
        seed=job.seed,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=answers // settings.micro_batch,
        num_generations=settings.group,
        max_completion_length=settings.max_new_tokens,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        weight_decay=job.weight_decay,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=settings.warmup_ratio,
        max_grad_norm=settings.clip,
        beta=settings.kl,
        epsilon=settings.epsilon,
        scale_rewards=settings.scale,
        loss_type="dapo",  # each token of an update weighs the same, as in supervised training
        optim="adamw_torch",
        bf16=job.dtype is torch.bfloat16,
        use_cpu=not on_gpu,
        gradient_checkpointing=on_gpu,
        disable_dropout=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        logging_steps=1,
        disable_tqdm=True,
        report_to=[],
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=2,
        log_level="error",
    )


class _Rewarded:
    """Draws the answers that TRL asks for, and remembers their rewards until TRL asks for these."""

    __name__ = "reward"

    def __init__(self, job: PolicyJob) -> None:
        self._job = job
        self._last: list[Rollout] = []

    def roll_out(self, prompts: list[list[dict[str, Any]]], trainer: GRPOTrainer) -> dict[str, Any]:
        """Return the prompts' and the answers' ids; `number` in a prompt's last message says whose it is."""
        job, seen = self._job, dict[int, int]()
        samples, numbers = [], []
        for prompt in prompts:
            place = int(prompt[-1]["number"])
            samples.append(job.samples[place])
            numbers.append(seen.setdefault(place, 0))
            seen[place] += 1
        self._last = job.sampler.answers(samples, numbers, int(trainer.state.global_step))
        # An answer of no token at all has no last token to look at.
        empty = [job.encoder.eos_token_id]
        return {
            "prompt_ids": [ids.tolist() for ids in job.encoder.prompts(samples)],
            "completion_ids": [rollout.ids or empty for rollout in self._last],
            "logprobs": None,
        }

    def __call__(self, prompts: Any, completions: Any, **about: Any) -> list[float]:
        """Return the rewards of the answers drawn last, and log their parts."""
        for part in PARTS:
            mean = sum(getattr(one.reward, part) for one in self._last) / len(self._last)
            about["log_metric"](f"reward_{part}", mean)
        return [rollout.reward.total for rollout in self._last]


def _prompts(job: PolicyJob) -> Any:
    """Return the dataset of prompts; images are opened when a row is taken."""

    def opened(rows: Mapping[str, list[int]]) -> dict[str, list[Any]]:
        chosen = [(number, job.samples[number]) for number in rows["number"]]
        return {
            "prompt": [_messages(job.encoder, sample, number) for number, sample in chosen],
            "image": [open_image(sample.image_path, sample.size_wh) for _, sample in chosen],
        }

    return datasets.Dataset.from_dict({"number": list(range(len(job.samples)))}).with_transform(opened)


def _messages(encoder: Encoder, sample: Sample, number: int) -> list[dict[str, Any]]:
    prompt = encoder.prompt
    # TRL goes through the processor's text, where a tweet could spell a token of the chat template.
    text = encoder.plain.neutralise(sample.text)
    messages = build_messages(prompt.version, prompt.types, text, prompt.cot, prompt.frame.coordinates)
    messages[-1]["number"] = number
    return messages
