"""Inference: 300 demo tweets answered by a fine-tuned tiny backbone, in samples per second; prints JSON.

    python benchmarks/inference.py [--quick] [--run DIR]

The adapter is that of a run's folder (`--run`), or one trained here for a few epochs, untimed. Ours is the stage's
decoder: large batches by length, finished rows leave, stop at `</answer>`, adapter folded in, each image processed
once. The baseline answers the first of the tweets two a call with transformers' `generate` up to the end of the turn,
adapter beside the weights, both calls of the processor on the images; rates are compared. The answers are the same
up to `</answer>`: that is asserted, but for the rare tie that another order of float additions breaks.
"""

import measure  # noqa: I001
import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import training
import workload
from baselines import model as plain
from gmner.models.loading import add_adapter, load_backbone, set_threads
from gmner.generation.decode import END_OF_ANSWER, Decoder
from gmner.core.records import Sample
from gmner.training.stage import train_adapter

TARGET, TRAINED, TRAINED_EPOCHS, SAME = 5, 320, 3, 0.9


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = measure.parser(__doc__)
    parser.add_argument("--run", type=Path, help="folder of a run trained on the embedded backbone")
    return parser.parse_args()


def trained(folder: Path, quick: bool) -> Path:
    """Train an adapter that answers in the grammar; return its folder."""
    count, epochs = (16, 1) if quick else (TRAINED, TRAINED_EPOCHS)
    work = workload.demo_work(folder / "train", count, 0, epochs)
    train_adapter(training.job_of(work), folder / "work", folder / "run")
    return folder / "run"


def model_of(run: Path, merge: bool) -> Any:
    """Return the backbone with the adapter on it or in it."""
    return add_adapter(load_backbone(workload.BACKBONE, torch.float32, torch.device("cpu")), run, merge)


def ours(work: workload.Workload, model: Any, samples: Sequence[Sample], new_tokens: int) -> dict[str, str]:
    """Return each sample's answer as the stage decodes it."""
    decoder = Decoder(model, work.encoder(), work.decode_batch, new_tokens)
    return {output.sample_id: output.output for batch in decoder.decode(samples) for output in batch}


def baseline(work: workload.Workload, model: Any, samples: Sequence[Sample], new_tokens: int) -> dict[str, str]:
    """Return each sample's answer, two a call."""
    encoder = work.encoder()
    prompts = [encoder.prompt_text(sample) for sample in samples]
    texts = plain.decode(model, encoder.processor, prompts, [sample.image_path for sample in samples], new_tokens)
    return dict(zip((sample.sample_id for sample in samples), texts, strict=True))


def share_equal(found: dict[str, str], expected: dict[str, str]) -> float:
    """Return the share of answers that are equal up to `</answer>`."""
    same = [found[name].split(END_OF_ANSWER)[0] == text.split(END_OF_ANSWER)[0] for name, text in expected.items()]
    return sum(same) / len(same)


def main() -> None:
    """Measure and print."""
    args = arguments()
    set_threads()
    count, few = (4, 2) if args.quick else (300, 32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = args.run or trained(folder, args.quick)
        work = workload.demo_work(folder, 0, count, 1)
        new_tokens = 12 if args.quick else work.max_new_tokens
        folded, beside = model_of(run, merge=True), model_of(run, merge=False)
        mine, theirs = measure.timed_together(
            [
                lambda: ours(work, folded, work.test, new_tokens),
                lambda: baseline(work, beside, work.test[:few], new_tokens),
            ],
            repeats=1,
        )
    same = share_equal(mine.result, theirs.result)
    assert args.quick or same >= SAME, f"only {same:.2f} of the answers are equal"
    written = sum(len(ids) for ids in work.encoder().tokenizer(list(mine.result.values()))["input_ids"])
    measure.emit(
        measure.document(
            "inference",
            args.quick,
            work=count,
            unit="samples",
            ours=mine.to_json(count),
            baseline={
                "way": "transformers' generate, two a call, adapter beside the weights, images processed twice",
                "work": few,
                **theirs.to_json(few),
            },
            ratio=round((count / mine.seconds) / (few / theirs.seconds), 2),
            cpu_ratio=round((count / mine.cpu_seconds) / (few / theirs.cpu_seconds), 2),
            target=TARGET,
            tokens_written=written,
            tokens_per_second=round(written / mine.seconds, 1),
            equal_answers=round(same, 4),
            closed_answers=round(sum(text.endswith(END_OF_ANSWER) for text in mine.result.values()) / count, 4),
        )
    )


if __name__ == "__main__":
    main()
