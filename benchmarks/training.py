"""Training: the demo's run on the tiny backbone, in samples and tokens per second; prints JSON.

    python benchmarks/training.py [--quick]

Both sides do the whole job: load the backbone, encode, train LoRA for two epochs, 16 samples an update. Ours is the
stage `train`: 16 rows of like length at once, images through the frozen vision tower once, only the positions that
are learnt are scored. The baseline: two rows at a time, eight times an update, padded to the longer of the two, both
calls of the processor on the images and the tower in every batch, every position scored. The updates hold the same
rows in the same order, so the two losses follow the same course: that is asserted.
"""

import measure  # noqa: I001
import csv
import tempfile
from pathlib import Path
from typing import Any

import torch

import workload
from baselines import model as plain
from gmner.models.loading import load_backbone, set_threads
from gmner.training.rows import TrainingRows, build_rows
from gmner.training.stage import TrainJob, train_adapter
from gmner.training.sampler import EpochSampler
from gmner.training.trainer import lora_config

TARGET, EPOCHS, TOLERANCE = 1.5, 2, 0.02


def job_of(work: workload.Workload) -> TrainJob:
    """Return the training of the demo's run."""
    return TrainJob(
        samples=work.train, dev=[], targets=work.targets, backbone_dir=workload.BACKBONE, backbone={"id": "tiny"},
        prompt=work.prompt, train=work.settings.train, generate=None, seed=workload.SEED, scorer=None, identity={},
    )  # fmt: skip


def ours(work: workload.Workload, folder: Path) -> list[float]:
    """Train as the stage does, in a folder that has no checkpoint; return the loss of each update."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        train_adapter(job_of(work), Path(name, "work"), Path(name, "out"))
        with Path(name, "out", "curves.csv").open() as stream:
            return [float(row["loss"]) for row in csv.DictReader(stream)]


def updates(rows: TrainingRows, train: Any) -> list[list[int]]:
    """Return the rows of each update, as our sampler has them."""
    sampler = EpochSampler(rows.lengths(), train.batch_size, workload.SEED, train.length_grouping)
    size = train.batch_size * train.accumulation
    found = []
    for epoch in range(train.epochs):
        sampler.set_epoch(epoch)
        order = list(sampler)
        found += [order[start : start + size] for start in range(0, len(order), size)]
    return found


def baseline(work: workload.Workload) -> list[float]:
    """Train the authors' way; return the loss of each update."""
    from peft import get_peft_model
    from transformers import set_seed

    set_threads()
    encoder, train = work.encoder(), work.settings.train
    rows = build_rows(work.train, work.targets, encoder, train.epochs, train.max_length, train.overlong)
    columns = [work.targets.column(name).to_pylist() for name in ("epoch", "sample_id", "completion")]
    texts = {(epoch, name): text for epoch, name, text in zip(*columns, strict=True)}
    model = load_backbone(workload.BACKBONE, torch.float32, torch.device("cpu"))
    set_seed(workload.SEED)
    model = get_peft_model(model, lora_config(train.lora, str(workload.BACKBONE)))

    def batch(numbers: list[int]) -> plain.Batch:
        samples = [rows.row(number)[0] for number in numbers]
        completions = [
            texts[number // len(rows.samples), sample.sample_id]
            for number, sample in zip(numbers, samples, strict=True)
        ]
        prompts = [encoder.prompt_text(sample) for sample in samples]
        paths = [sample.image_path for sample in samples]
        return plain.collate(encoder.processor, prompts, completions, paths, train.max_length)

    return plain.train(model, batch, updates(rows, train), train)


def assert_same(found: list[float], expected: list[float]) -> float:
    """Compare the two courses of the loss; return the largest relative difference."""
    assert len(found) == len(expected)
    differences = [abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True)]
    assert differences[0] < 1e-3 and max(differences) < TOLERANCE, list(zip(found, expected, strict=True))
    return max(differences)


def main() -> None:
    """Measure and print."""
    args = measure.parser(__doc__).parse_args()
    count = 16 if args.quick else 96
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = workload.demo_work(folder, count, 0, EPOCHS)
        train = work.settings.train
        rows = build_rows(work.train, work.targets, work.encoder(), EPOCHS, train.max_length, train.overlong)
        tokens = int(rows.lengths().sum())
        seen = count * EPOCHS
        if not args.quick:
            ours(work, folder)  # imports and first calls
        mine, theirs = measure.timed_together([lambda: ours(work, folder), lambda: baseline(work)], repeats=1)
    difference = assert_same(mine.result, theirs.result)
    way = "two rows at a time, eight an update, padded to the longer of the two, images processed twice"
    found = measure.against_baseline("samples", seen, mine, theirs, way, TARGET)
    measure.emit(
        measure.document(
            "training",
            args.quick,
            **found,
            tokens=tokens,
            tokens_per_second=round(tokens / mine.seconds, 1),
            updates=len(mine.result),
            first_loss=mine.result[0],
            last_loss=mine.result[-1],
            largest_difference_of_losses=round(difference, 6),
        )
    )


if __name__ == "__main__":
    main()
