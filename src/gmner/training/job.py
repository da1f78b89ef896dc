"""A training put together from the stage's settings and files."""

from pathlib import Path

from gmner.config.stages import TrainStage
from gmner.core.frame import Frame
from gmner.errors import DataError
from gmner.models.encoding import PromptSettings
from gmner.models.loading import identity_of, set_threads
from gmner.prompts.model import prompt_version
from gmner.storage.files import sha256_of_file
from gmner.storage.tables import TARGETS, read_samples, read_table
from gmner.training.best_epoch import Scorer
from gmner.training.stage import TrainJob


def job_of(settings: TrainStage, samples_path: Path, targets_path: Path, backbone: Path, seed: int) -> TrainJob:
    """Read what a training needs. Raises DataError if there are no training samples."""
    set_threads()
    samples = read_samples(samples_path)
    train = [sample for sample in samples if sample.split == "train"]
    if not train:
        raise DataError(f"{samples_path}: no sample of split 'train'; run the samples stage again")
    question = settings.question
    frame = Frame(**settings.backbone.frame.model_dump())
    known = identity_of(backbone)
    return TrainJob(
        samples=train,
        dev=[sample for sample in samples if sample.split == "dev"],
        targets=read_table(targets_path, TARGETS, ["sample_id", "epoch", "completion"]),
        backbone_dir=backbone,
        backbone={**known, "folder": str(backbone)},
        prompt=PromptSettings(question.prompt, question.types, question.cot, frame),
        train=settings.train,
        generate=settings.generate,
        seed=seed,
        scorer=_scorer(settings, frame),
        identity={
            "settings": settings.decisive(),
            "seed": seed,
            "prompt": prompt_version(question.prompt),
            "samples": sha256_of_file(samples_path),
            "targets": sha256_of_file(targets_path),
            "backbone": known["manifest_sha256"],
        },
    )


def _scorer(settings: TrainStage, frame: Frame) -> Scorer | None:
    if settings.score is None:
        return None
    from gmner.training.devscore import dev_scorer

    question = settings.question
    return dev_scorer(settings.score, question.fine, question.types, frame)
