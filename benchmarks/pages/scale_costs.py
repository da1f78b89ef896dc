"""What one run at the paper's size costs, by the formulas of docs/scale.md: a table in Markdown on standard output.

python benchmarks/pages/scale_costs.py
python benchmarks/pages/scale_costs.py --train-rate 9.1 --decode-rate 14      samples per second, measured on one card
"""

import argparse
import math
import sys
from dataclasses import dataclass

# Twitter-GMNER: tweets of each split; the authors' settings: epochs, new tokens at most; both answer every dev tweet
# once an epoch (train.select: best).
TRAIN, DEV, TEST, EPOCHS = 7000, 1500, 1500, 10
# Means over all 10 000 tweets with the true tokenizer (tests/rehearsal/test_lengths.py) and 150 words of reasoning:
# tokens of a row, patches of an image, tokens of a completion.
TOKENS, TOKENS_SQUARED, PATCHES, PATCHES_SQUARED, COMPLETION = 1074, 1.213e6, 1866, 4.448e6, 203
# Qwen2.5-VL-7B: weights of the language model's linear layers, of the LoRA of rank 32 on them, of the vision tower and
# of all together; layers and width; windowed and full layers of the tower, its width; vocabulary.
LINEAR, ADAPTER, TOWER, ALL = 6.525e9, 80.7e6, 0.676e9, 8.29e9
LAYERS, WIDTH, WINDOWED, FULL, TOWER_WIDTH, VOCABULARY = 28, 3584, 28, 4, 1280, 152064


@dataclass(frozen=True)
class Card:
    """Published numbers of a GPU: dense bfloat16 operations and bytes of memory traffic a second."""

    name: str
    peak: float
    bandwidth: float


CARDS = (
    Card("RTX 5090, 32 GB", 209.5e12, 1.79e12),
    Card("A100, 80 GB", 312e12, 2.04e12),
    Card("H100 SXM, 80 GB", 989.5e12, 3.35e12),
    Card("H200, 141 GB", 989.5e12, 4.8e12),
)


def training_work() -> float:
    """Return the operations of one training sample."""
    language = 4 * LINEAR * TOKENS + 6 * LAYERS * TOKENS_SQUARED * WIDTH
    vision = 2 * TOWER * PATCHES + 4 * TOWER_WIDTH * (FULL * PATCHES_SQUARED + WINDOWED * PATCHES * 64)
    return language + 6 * ADAPTER * TOKENS + 4 * VOCABULARY * WIDTH * COMPLETION + vision


def prefill_work() -> float:
    """Return the operations of reading one question."""
    tokens = TOKENS - COMPLETION
    return 2 * (LINEAR + ADAPTER) * tokens + 2 * LAYERS * tokens**2 * WIDTH + 2 * TOWER * PATCHES


def decode_rate(card: Card, batch: int, share: float, step_seconds: float) -> float:
    """Return answers per second: a step reads all weights once per batch, and takes `step_seconds` at least."""
    step = max(2 * ALL / card.bandwidth, step_seconds)
    return batch / (batch * prefill_work() / (card.peak * share) + COMPLETION * step)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.45, help="of the peak, in training and in reading questions")
    parser.add_argument("--step-ms", type=float, default=30.0, help="a decoding step takes at least so long")
    parser.add_argument("--batch", type=int, default=16, help="answers decoded together")
    parser.add_argument("--train-rate", type=float, help="measured: training samples per second on one card")
    parser.add_argument("--decode-rate", type=float, help="measured: answers per second on one card")
    parser.add_argument("--dollars", type=float, default=2.5, help="of one card and hour")
    args = parser.parse_args()
    lines = [
        f"training: {training_work() / 1e12:.1f} TFLOP a sample; reading: {prefill_work() / 1e12:.1f} a question",
        "",
    ]
    lines.append(
        "| card | training, samples/s | answers/s | training, h | dev, h | test, h | one run, GPU h | dollars |"
    )
    lines.append("|---|---|---|---|---|---|---|---|")
    for card in (Card("as measured", 1.0, 1.0),) if args.train_rate and args.decode_rate else CARDS:
        train = args.train_rate or card.peak * args.share / training_work()
        decode = args.decode_rate or decode_rate(card, args.batch, args.share, args.step_ms / 1000)
        hours = [EPOCHS * TRAIN / train / 3600, EPOCHS * DEV / decode / 3600, TEST / decode / 3600]
        whole = math.fsum(hours)
        cells = [card.name, f"{train:.1f}", f"{decode:.1f}", *(f"{h:.1f}" for h in hours), f"{whole:.1f}"]
        lines.append("| " + " | ".join([*cells, f"{whole * args.dollars:.0f}"]) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
