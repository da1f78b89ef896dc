"""The stage `train`: from samples, targets and a backbone to an adapter that says how it must be used."""

import contextlib
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import PrinterCallback
from transformers.trainer_callback import ProgressCallback

from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.generation.decode import Decoder
from gmner.models.adapter_folder import MANIFEST_FILE, RunInfo, write_manifest
from gmner.models.encoding import FeatureBank, PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.loading import device_of, dtype_of, load_backbone, trainable_adapter
from gmner.models.quantization import prepare_for_training
from gmner.models.seam import Encoder
from gmner.prompts.model import prompt_version
from gmner.runtime.system_errors import at
from gmner.storage.files import read_json, write_json
from gmner.training.best_epoch import (
    EpochJudge,
    Scorer,
    adapter_folder,
    best_epoch,
    can_go_on,
    read_scores,
    rename_base,
    save_adapter,
)
from gmner.training.callbacks import RunCallback, StopRequest
from gmner.training.checkpoints import checkpoints, last_checkpoint
from gmner.training.curves import curve_rows, write_curves
from gmner.training.distributed import barrier, is_main, join, leave, trained_weights
from gmner.training.memory_probe import make_room
from gmner.training.rows import TrainingRows, build_rows
from gmner.training.sampler import EpochSampler
from gmner.training.trainer import RowCollator, RowTrainer, check_logger, lora_config, trainer_config

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 600.0
_READING_THREADS = 4


@dataclass(frozen=True)
class TrainJob:
    """What one training is made of.

    `train` and `generate` are the run's settings of those names; `identity` is what decides the result beside
    them (digests of samples, targets and backbone): a work folder of another identity is not resumed.
    """

    samples: Sequence[Sample]
    dev: Sequence[Sample]
    targets: pa.Table
    backbone_dir: Path
    backbone: dict[str, Any]
    prompt: PromptSettings
    train: Any
    generate: Any
    seed: int
    scorer: Scorer | None
    identity: dict[str, Any]
    start: Path | None = None  # folder of the run whose adapter is trained further; None: a new adapter


def train_adapter(job: TrainJob, work_dir: Path, out_dir: Path, checkpoint_seconds: float = CHECKPOINT_SECONDS) -> None:
    """Train, go on from the last checkpoint in `work_dir` if there is one, and write the run's folder `out_dir`.

    Raises KeyboardInterrupt after Ctrl-C, with a checkpoint kept; TrainingDiverged where the loss is no number.
    """
    check_logger(job.train.log_to)
    join()
    spread = job.train.launch.strategy == "fsdp"
    if is_main():
        prepare_work(work_dir, {**job.identity, "checkpoints": "spread"} if spread else job.identity)
    barrier()
    seam = seam_of_folder(job.backbone_dir)
    encoder = seam.encoder(job.backbone_dir, job.prompt)
    train = job.train
    rows = build_rows(job.samples, job.targets, encoder, train.epochs, train.max_length, train.overlong)
    _report(rows)
    device = device_of()
    dtype = dtype_of(train.precision, device)
    model = load_backbone(job.backbone_dir, dtype, device, train.attention, train.quantization, train.liger)
    model = prepare_for_training(model, dtype)
    if job.start is not None:
        model = trainable_adapter(model, job.start)
    dev = share_of_dev(job.dev, train.eval_samples) if train.select == "best" else []
    if train.select == "best" and (not dev or job.scorer is None):
        raise ConfigError("train.select is 'best', but there are no dev samples; set train.select: last")
    bank = seam.bank_features(model, encoder, [*rows.samples, *dev])
    trainer, sampler = _trainer(job, model, encoder, rows, bank, work_dir, dtype)
    make_room(trainer, train, work_dir, device)
    steps = math.ceil(math.ceil(len(sampler) / train.batch_size) / train.accumulation)
    if is_main():
        checkpoint_of(job, work_dir, steps)  # removes those that cannot be used, before the others look
    barrier()
    judge = _judge(job, trainer, encoder, dev, bank, work_dir)
    stop = StopRequest()
    trainer.add_callback(RunCallback(sampler, steps, stop, judge, checkpoint_seconds))
    checkpoint = checkpoint_of(job, work_dir, steps)
    if checkpoint is not None:
        log.info("train: resuming from %s", checkpoint.name)
    with stop.listening(), at(work_dir):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        leave()
        raise KeyboardInterrupt
    weights = trained_weights(trainer.model) if spread else None
    if is_main():
        with at(out_dir):
            _write_run(job, rows, trainer, steps, work_dir, out_dir, weights)
    leave()


def share_of_dev(dev: Sequence[Sample], count: int | None) -> list[Sample]:
    """Return `count` samples of dev spread evenly over it, always the same; all of them if there are no more."""
    if count is None or count >= len(dev):
        return list(dev)
    return [dev[place * len(dev) // count] for place in range(count)]


def checkpoint_of(job: TrainJob, work_dir: Path, steps_per_epoch: int) -> Path | None:
    """Return the checkpoint to resume from, None to start over; those that cannot be used are removed."""
    judged = work_dir / "epochs"

    def usable(step: int) -> bool:
        return job.train.select != "best" or can_go_on(judged, step // steps_per_epoch)

    return last_checkpoint(work_dir, usable)


def prepare_work(work_dir: Path, identity: dict[str, Any], stage: str = "train") -> None:
    """Make `work_dir` the folder of `identity`: what another one left there, or under a damaged mark, is removed."""
    mark = work_dir / "identity.json"
    known = None
    with contextlib.suppress(FileNotFoundError, ValueError):
        known = read_json(mark)
    if known != identity and work_dir.exists():
        if mark.exists():
            log.warning("%s: %s belongs to other data or settings, or is damaged: starting over", stage, work_dir)
        shutil.rmtree(work_dir)
    if not mark.exists():
        write_json(mark, identity)


def _report(rows: TrainingRows) -> None:
    report = rows.report
    log.info("train: %d samples, longest row %d tokens", len(rows.samples), report.longest)
    if report.dropped or report.shortened:
        log.warning(
            "train: over %d tokens: %d samples left out, %d rationales shortened (train.overlong: %s)",
            report.max_length,
            len(report.dropped),
            report.shortened,
            report.policy,
        )


def _trainer(
    job: TrainJob,
    model: Any,
    encoder: Encoder,
    rows: TrainingRows,
    bank: FeatureBank | None,
    work_dir: Path,
    dtype: torch.dtype,
) -> tuple[RowTrainer, EpochSampler]:
    train = job.train
    sampler = EpochSampler(rows.lengths(), train.batch_size, job.seed, train.length_grouping)
    threads = _READING_THREADS if bank is None and torch.cuda.is_available() else 0
    trainer = RowTrainer(
        rows,
        sampler,
        train.loss,
        model=model,
        args=trainer_config(train, job.seed, str(work_dir), dtype),
        data_collator=RowCollator(rows, encoder, bank, threads),
        processing_class=encoder.tokenizer,
        peft_config=None if job.start else lora_config(train.lora, str(job.backbone_dir)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer, sampler


def _judge(
    job: TrainJob, trainer: RowTrainer, encoder: Encoder, dev: list[Sample], bank: FeatureBank | None, work_dir: Path
) -> EpochJudge | None:
    if not dev or job.scorer is None:
        return None
    decoder = Decoder(trainer.model, encoder, job.train.eval_batch_size, job.generate.max_new_tokens)
    spread = job.train.launch.strategy == "fsdp"
    steps = math.ceil(math.ceil(len(trainer.sampler) / job.train.batch_size) / job.train.accumulation)

    def finished() -> list[int]:
        return [step // steps for step, _ in checkpoints(work_dir)]

    return EpochJudge(work_dir / "epochs", decoder, dev, bank, job.scorer, spread, finished)


def _write_run(
    job: TrainJob,
    rows: TrainingRows,
    trainer: RowTrainer,
    steps: int,
    work_dir: Path,
    out_dir: Path,
    weights: dict[str, torch.Tensor] | None,
) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / MANIFEST_FILE).unlink(missing_ok=True)
    dev_scores = read_scores(work_dir / "epochs")
    if job.train.select == "best":
        chosen = best_epoch(work_dir / "epochs")
        kept = adapter_folder(work_dir / "epochs", chosen)
        shutil.copytree(kept, out_dir, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST_FILE))
    else:
        chosen = job.train.epochs - 1
        save_adapter(trainer.model, out_dir, weights=weights)
    rename_base(out_dir, job.backbone.get("id") or job.backbone_dir.name)
    write_curves(out_dir, curve_rows(trainer.state.log_history, dev_scores, steps))
    prompt = job.prompt
    RunInfo(
        frame=prompt.frame,
        prompt=prompt.version,
        prompt_version=prompt_version(prompt.version),
        types=prompt.types,
        cot=prompt.cot,
        backbone=job.backbone,
        details={
            "seed": job.seed,
            "train": job.train.model_dump(mode="json", exclude={"launch"}),
            "samples": len(rows.samples),
            "rows": rows.report.to_json(),
            "steps": trainer.state.global_step,
            "epoch": chosen,
            "selected_by": job.train.select,
            "dev": {str(epoch): scores for epoch, scores in sorted(dev_scores.items())},
        },
    ).write(out_dir)
    write_manifest(out_dir)
