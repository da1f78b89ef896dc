"""Collation: training batches of the demo, images and all, in samples per second; prints JSON.

    python benchmarks/collation.py [--quick]

Ours: batches of like length from rows tokenised once, each image opened and processed once a batch. The baseline:
two rows a batch, both calls of the processor on the images (one for the whole text, one for the prompt's length),
padded to the longer of the two. Both give the same tokens, labels and pixels: that is asserted, row by row.
`with_features`: ours where the frozen vision tower's features are kept, as in every training that has room for them.
"""

import measure  # noqa: I001
import tempfile
from pathlib import Path
from typing import Any

import torch

import workload
from baselines import model as plain
from gmner.models.encoding import FeatureBank
from gmner.training.read_ahead import finish
from gmner.training.rows import TrainingRows, build_rows
from gmner.training.sampler import EpochSampler
from gmner.training.trainer import RowCollator

TARGET = 2


def our_batches(collator: RowCollator, sampler: EpochSampler, size: int) -> list[dict[str, Any]]:
    """Return the batches of one epoch, images as patches in float32."""
    order = list(sampler)
    made = [finish(collator([{"row": row} for row in order[at : at + size]])) for at in range(0, len(order), size)]
    for batch in made:
        if "pixel_bytes" in batch:
            batch["pixel_values"] = collator.encoder.from_bytes(batch.pop("pixel_bytes"))
    return made


def plain_batches(work: workload.Workload, encoder: Any, rows: TrainingRows, order: list[int]) -> list[plain.Batch]:
    """Return the same rows two at a time."""
    texts = dict(zip(*(work.targets.column(name).to_pylist() for name in ("sample_id", "completion")), strict=True))
    made = []
    for start in range(0, len(order), 2):
        samples = [rows.row(row)[0] for row in order[start : start + 2]]
        prompts = [encoder.prompt_text(sample) for sample in samples]
        completions = [texts[sample.sample_id] for sample in samples]
        paths = [sample.image_path for sample in samples]
        made.append(plain.collate(encoder.processor, prompts, completions, paths, work.settings.train.max_length))
    return made


def rows_of(batches: list[Any]) -> list[tuple[list[int], list[int]]]:
    """Return each row's tokens and labels without padding."""
    return [
        (ids[mask.bool()].tolist(), labels[mask.bool()].tolist())
        for batch in batches
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
    ]


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    """Compare tokens and labels of every row, and all pixels."""
    assert rows_of(ours) == rows_of(theirs), "tokens or labels differ"
    pixels, others = (torch.cat([batch["pixel_values"] for batch in batches]) for batches in (ours, theirs))
    assert torch.equal(pixels, others), "pixels differ"


def main() -> None:
    """Measure and print."""
    args = measure.parser(__doc__).parse_args()
    count = 8 if args.quick else 192
    with tempfile.TemporaryDirectory() as name:
        work = workload.demo_work(Path(name), count, 0, 1)
        encoder, train = work.encoder(), work.settings.train
        rows = build_rows(work.train, work.targets, encoder, 1, train.max_length, train.overlong)
        sampler = EpochSampler(rows.lengths(), train.batch_size, workload.SEED, train.length_grouping)
        collator = RowCollator(rows, encoder, None)
        order = list(sampler)
        ours, baseline = measure.timed_together(
            [
                lambda: our_batches(collator, sampler, train.batch_size),
                lambda: plain_batches(work, encoder, rows, order),
            ],
            repeats=1 if args.quick else 5,
        )
        assert_same(ours.result, baseline.result)
        bank = FeatureBank({sample.sample_id: torch.zeros(25, 192) for sample in work.train})
        kept = RowCollator(rows, encoder, bank)
        features = measure.timed(lambda: our_batches(kept, sampler, train.batch_size), 1 if args.quick else 5)
    way = "two rows a batch, images processed twice, padded to the longer of the two"
    found = measure.against_baseline("samples", count, ours, baseline, way, TARGET)
    measure.emit(measure.document("collation", args.quick, **found, with_features=features.to_json(count)))


if __name__ == "__main__":
    main()
