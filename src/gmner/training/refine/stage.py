"""The stage `refine`: from a trained run's folder to a refined one of the same form."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gmner.config.refine import RefineSettings
from gmner.config.run import TrainSettings
from gmner.core.records import Sample
from gmner.errors import ConfigError, DataError
from gmner.generation.decode import Decoder
from gmner.generation.load import prompt_of_run
from gmner.models.adapter_folder import MANIFEST_FILE, RunInfo, read_run, write_manifest
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.loading import device_of, dtype_of, load_backbone, set_threads, trainable_adapter
from gmner.models.seam import Encoder
from gmner.runtime.system_errors import at
from gmner.storage.files import read_json, sha256_of_file, write_json
from gmner.storage.tables import TARGETS, read_samples, read_table
from gmner.training.best_epoch import rename_base, save_adapter
from gmner.training.callbacks import StopRequest
from gmner.training.checkpoints import last_checkpoint
from gmner.training.refine.curves import policy_rows, write_policy_curves
from gmner.training.refine.grpo import PolicyCallback, PolicyJob, policy_trainer
from gmner.training.refine.pool import Pooled, draw_pool
from gmner.training.refine.rejection import next_targets
from gmner.training.refine.rollouts import Sampler
from gmner.training.stage import CHECKPOINT_SECONDS, TrainJob, prepare_work, train_adapter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefineJob:
    """What is refined: the train tweets, the adapter it starts from, and how.

    `targets` is the table that the adapter was trained on; rejection sampling takes from it what the model never gets
    right by itself. `identity` is what decides the result besides (digests of samples, adapter and targets).
    """

    samples: list[Sample]
    backbone: Path
    adapter: Path
    targets: Path | None
    fine: bool
    refine: RefineSettings
    train: TrainSettings
    seed: int
    identity: dict[str, Any]


def refine_job(
    refine: RefineSettings,
    train: TrainSettings,
    fine: bool,
    samples_path: Path,
    backbone: Path,
    adapter: Path,
    targets: Path | None,
    seed: int,
) -> RefineJob:
    """Read what a refinement needs. Raises DataError if there is no train tweet, or no targets for rejection."""
    set_threads()
    samples = read_samples(samples_path, "train")
    if not samples:
        raise DataError(f"{samples_path}: no sample of split 'train'; run the samples stage again")
    if refine.method == "rejection" and targets is None:
        raise DataError("refine.method is rejection, which needs the table of targets of the run it starts from")
    if train.launch.world > 1:
        raise ConfigError("refine runs in one process; set train.launch: {strategy: none} for this run")
    identity = {
        "refine": refine.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "seed": seed,
        "samples": sha256_of_file(samples_path),
        "adapter": sha256_of_file(adapter / MANIFEST_FILE),
        "targets": sha256_of_file(targets) if targets is not None else None,
    }
    return RefineJob(samples, backbone, adapter, targets, fine, refine, train, seed, identity)


def refine_adapter(
    job: RefineJob, work_dir: Path, out_dir: Path, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> None:
    """Refine, resuming what `work_dir` holds of it, and write the run's folder `out_dir`.

    Raises KeyboardInterrupt after Ctrl-C with a checkpoint kept, and TrainingDiverged if a loss is no number.
    """
    prepare_work(work_dir, job.identity, "refine")
    run = read_run(job.adapter)
    prompt = prompt_of_run(job.adapter, job.backbone)
    if job.refine.method == "rejection":
        _by_rejection(job, run, prompt, work_dir, out_dir, checkpoint_seconds)
    else:
        _by_policy(job, run, prompt, work_dir, out_dir, checkpoint_seconds)


def _model_of(job: RefineJob, prompt: PromptSettings) -> tuple[Any, Encoder, Any]:
    """Return the backbone with the trainable adapter, its encoder, and the dtype of the backbone."""
    device = device_of()
    dtype = dtype_of(job.train.precision, device)
    base = load_backbone(job.backbone, dtype, device, job.train.attention, job.train.quantization, job.train.liger)
    model = trainable_adapter(base, job.adapter)
    seam = seam_of_folder(job.backbone)
    seam.freeze_vision(model.get_base_model())
    return model, seam.encoder(job.backbone, prompt), dtype


def _pool(job: RefineJob, sampler: Sampler, work_dir: Path) -> list[Pooled]:
    pool = draw_pool(sampler, job.samples, job.refine, work_dir / "pool", job.identity)
    counts = {name: sum(one.difficulty == name for one in pool) for name in ("easy", "hard", "hopeless")}
    log.info("refine: of %d tweets %s", len(pool), ", ".join(f"{count} {name}" for name, count in counts.items()))
    write_json(work_dir / "difficulty.json", counts)
    return pool


def _by_rejection(
    job: RefineJob, run: RunInfo, prompt: PromptSettings, work_dir: Path, out_dir: Path, checkpoint_seconds: float
) -> None:
    """Draw answers, take the right ones for targets, and train on from the adapter by the run's own trainer."""
    assert job.targets is not None
    table = work_dir / "targets.json"
    if not table.exists():
        model, encoder, _ = _model_of(job, prompt)
        bank = seam_of_folder(job.backbone).bank_features(model, encoder, job.samples)
        decoder = Decoder(model, encoder, job.refine.batch_size, job.refine.max_new_tokens)
        pool = _pool(job, Sampler(decoder, job.refine, job.fine, job.seed, bank), work_dir)
        before = {
            row["sample_id"]: row["completion"]
            for row in read_table(job.targets, TARGETS, ["sample_id", "epoch", "completion"]).to_pylist()
            if row["epoch"] == 0
        }
        known = [pooled for pooled in pool if pooled.sample.sample_id in before]  # the others were left out before
        rows = next_targets(known, before, job.refine, prompt.frame, job.fine, job.seed)
        if not rows:
            raise DataError("refine: no tweet is left to train on; raise refine.easy")
        write_json(table, rows)
        del model, decoder, bank
    settings = job.train.model_copy(
        update={"epochs": job.refine.epochs, "learning_rate": job.refine.learning_rate, "select": "last"}
    )
    again = TrainJob(
        samples=job.samples,
        dev=[],
        targets=pa.Table.from_pylist(read_json(table)),
        backbone_dir=job.backbone,
        backbone=run.backbone,
        prompt=prompt,
        train=settings,
        generate=None,
        seed=job.seed,
        scorer=None,
        identity={**job.identity, "rows": sha256_of_file(table)},
        start=job.adapter,
    )
    train_adapter(again, work_dir / "train", out_dir, checkpoint_seconds)


def _by_policy(
    job: RefineJob, run: RunInfo, prompt: PromptSettings, work_dir: Path, out_dir: Path, checkpoint_seconds: float
) -> None:
    """Optimise the policy by GRPO on the tweets that can teach it something."""
    model, encoder, dtype = _model_of(job, prompt)
    bank = seam_of_folder(job.backbone).bank_features(model, encoder, job.samples)
    decoder = Decoder(model, encoder, job.refine.batch_size, job.refine.max_new_tokens)
    sampler = Sampler(decoder, job.refine, job.fine, job.seed, bank)
    samples = job.samples
    if job.refine.curriculum:
        samples = [one.sample for one in _pool(job, sampler, work_dir) if one.difficulty == "hard"]
        if len(samples) < job.refine.prompts:
            raise DataError(
                f"refine: {len(samples)} tweets are sometimes right and sometimes wrong, fewer than the "
                f"{job.refine.prompts} of an update; raise refine.temperature, or set refine.curriculum: false"
            )
    stop = StopRequest()
    policy = PolicyJob(model, encoder, samples, sampler, job.refine, job.seed, job.train.weight_decay, dtype)
    trainer = policy_trainer(policy, work_dir, [PolicyCallback(stop, checkpoint_seconds)])
    checkpoint = last_checkpoint(work_dir)
    if checkpoint is not None:
        log.info("refine: resuming from %s", checkpoint.name)
    with stop.listening(), at(work_dir):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        raise KeyboardInterrupt
    with at(out_dir):
        _write(job, run, trainer, out_dir, len(samples))


def _write(job: RefineJob, run: RunInfo, trainer: Any, out_dir: Path, tweets: int) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / MANIFEST_FILE).unlink(missing_ok=True)
    save_adapter(trainer.model, out_dir)
    rename_base(out_dir, run.backbone.get("id") or job.backbone.name)
    write_policy_curves(out_dir, policy_rows(trainer.state.log_history))
    details = {
        "seed": job.seed,
        "refine": job.refine.model_dump(mode="json"),
        "start": job.identity["adapter"],
        "tweets": tweets,
        "steps": trainer.state.global_step,
        "before": run.details,
    }
    RunInfo(run.frame, run.prompt, run.prompt_version, run.types, run.cot, run.backbone, details).write(out_dir)
    write_manifest(out_dir)
