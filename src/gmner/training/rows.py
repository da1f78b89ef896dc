"""The rows to train on: one a sample and epoch, tokenised once, none of them cut unseen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.models.seam import Encoder
from gmner.targets.overlong import shorten_reasoning as shorten

POLICIES = ("error", "drop", "truncate_reasoning", "truncate_right")


@dataclass(frozen=True)
class RowReport:
    """What became of rows longer than the limit (in tokens, prompt and completion together)."""

    max_length: int
    policy: str
    longest: int
    dropped: list[str] = field(default_factory=list)
    shortened: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "max_length": self.max_length,
            "policy": self.policy,
            "longest": self.longest,
            "dropped_samples": self.dropped,
            "shortened_rows": self.shortened,
        }


@dataclass(frozen=True)
class TrainingRows:
    """Token ids of all epochs. Row `epoch * len(samples) + i` is sample `i` in that epoch."""

    samples: list[Sample]
    prompts: list[np.ndarray]
    completions: list[list[np.ndarray]]
    report: RowReport

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(self.completions)

    def lengths(self) -> np.ndarray:
        """Return the tokens of every row, (epochs, samples)."""
        prompts = np.array([len(ids) for ids in self.prompts])
        return np.array([[len(ids) for ids in epoch] for epoch in self.completions]) + prompts

    def row(self, number: int) -> tuple[Sample, np.ndarray, np.ndarray]:
        """Return a row's sample, prompt ids and completion ids."""
        epoch, index = divmod(number, len(self.samples))
        return self.samples[index], self.prompts[index], self.completions[epoch][index]


def build_rows(
    samples: Sequence[Sample], targets: pa.Table, encoder: Encoder, epochs: int, max_length: int, policy: str
) -> TrainingRows:
    """Tokenise the prompts of the training samples and the completions of `epochs` epochs.

    `targets` has the schema TARGETS. A row of more than `max_length` tokens is handled by `policy`: `error`
    stops, `drop` leaves the sample out of every epoch, `truncate_reasoning` shortens its rationale from the end
    by whole words (and drops the sample where even the bare answer is too long), `truncate_right` cuts the row's end
    off. Raises DataError for rows that
    are missing, for samples that are not in the table, and for what the policy refuses.
    """
    if policy not in POLICIES:
        raise DataError(f"overlong: '{policy}' is not one of {', '.join(POLICIES)}")
    texts = _texts_by_epoch(targets, epochs)
    chosen = _samples_of(samples, texts)
    prompts = encoder.prompts(chosen)
    completions = [encoder.completions([texts[epoch][s.sample_id] for s in chosen]) for epoch in range(epochs)]
    rows = TrainingRows(list(chosen), prompts, completions, RowReport(max_length, policy, 0))
    lengths = rows.lengths()
    longest = int(lengths.max())
    if longest <= max_length:
        return TrainingRows(rows.samples, prompts, completions, RowReport(max_length, policy, longest))
    if policy == "error":
        raise _too_long(rows, lengths, max_length)
    shortened = 0
    if policy == "truncate_reasoning":
        shortened = _shorten(rows, lengths, texts, encoder, max_length)
    elif policy == "truncate_right":
        shortened = _cut_right(rows, lengths, max_length)
    return _without_overlong(rows, max_length, policy, longest, shortened)


def check_lengths(
    samples: Sequence[Sample], targets: pa.Table, encoder: Encoder, epochs: int, max_length: int, policy: str
) -> RowReport:
    """Return what would become of rows over `max_length` tokens, before any training.

    Needs a backbone's tokenizer, template and frame (`gmner.models.seam.Seam.encoder`), and neither its weights nor a
    GPU. Raises DataError as `build_rows` does.
    """
    return build_rows(samples, targets, encoder, epochs, max_length, policy).report


def _texts_by_epoch(targets: pa.Table, epochs: int) -> list[dict[str, str]]:
    texts: list[dict[str, str]] = [{} for _ in range(epochs)]
    columns = (targets.column(name).to_pylist() for name in ("sample_id", "epoch", "completion"))
    for sample_id, epoch, completion in zip(*columns, strict=True):
        if epoch < epochs:
            texts[epoch][sample_id] = completion
    for epoch, found in enumerate(texts):
        if not found or found.keys() != texts[0].keys():
            raise DataError(
                f"targets: epoch {epoch} has {len(found)} rows, epoch 0 has {len(texts[0])}; expected the same samples "
                f"in each of {epochs} epochs: run the targets stage again with train.epochs = {epochs}"
            )
    return texts


def _samples_of(samples: Sequence[Sample], texts: Sequence[Mapping[str, str]]) -> list[Sample]:
    chosen = [sample for sample in samples if sample.sample_id in texts[0]]
    if len(chosen) != len(texts[0]):
        known = {sample.sample_id for sample in chosen}
        missing = sorted(set(texts[0]) - known)
        raise DataError(
            f"targets: {len(missing)} rows belong to no sample, for instance '{missing[0]}'; the two tables come "
            "from different data: run the targets stage again"
        )
    return chosen


def _too_long(rows: TrainingRows, lengths: np.ndarray, max_length: int) -> DataError:
    epoch, index = np.unravel_index(int(lengths.argmax()), lengths.shape)
    samples = int((lengths > max_length).any(axis=0).sum())
    return DataError(
        f"{samples} samples are longer than train.max_length = {max_length} tokens; the longest is "
        f"'{rows.samples[index].sample_id}' with {lengths[epoch, index]} in epoch {epoch}. Raise train.max_length, or "
        "choose train.overlong: drop or truncate_reasoning"
    )


def _shorten(
    rows: TrainingRows, lengths: np.ndarray, texts: list[dict[str, str]], encoder: Encoder, max_length: int
) -> int:
    count = 0
    for epoch, index in np.argwhere(lengths > max_length):
        room = max_length - len(rows.prompts[index])
        ids = shorten_reasoning(texts[epoch][rows.samples[index].sample_id], room, encoder)
        if ids is not None:
            rows.completions[epoch][index] = ids
            count += 1
    return count


def _cut_right(rows: TrainingRows, lengths: np.ndarray, max_length: int) -> int:
    """Cut completions at the limit, the answer's end with them; a row without room for any is dropped later."""
    count = 0
    for epoch, index in np.argwhere(lengths > max_length):
        room = max_length - len(rows.prompts[index])
        if room > 0:
            rows.completions[epoch][index] = rows.completions[epoch][index][:room]
            count += 1
    return count


def shorten_reasoning(completion: str, room: int, encoder: Encoder) -> np.ndarray | None:
    """Return the ids of a completion with as many leading words of its rationale as `room` tokens allow.

    None if the completion has no rationale or if even an empty one leaves it too long.
    """

    def count(texts: list[str]) -> list[int]:
        return [len(ids) for ids in encoder.completions(texts)]

    text = shorten(completion, room, count)
    return None if text is None else encoder.completions([text])[0]


def _without_overlong(rows: TrainingRows, max_length: int, policy: str, longest: int, shortened: int) -> TrainingRows:
    fits = rows.lengths().max(axis=0) <= max_length
    dropped = [sample.sample_id for sample, keep in zip(rows.samples, fits.tolist(), strict=True) if not keep]
    if len(dropped) == len(rows.samples):
        raise DataError(f"every sample is longer than train.max_length = {max_length} tokens; raise train.max_length")
    kept = np.flatnonzero(fits)
    return TrainingRows(
        [rows.samples[i] for i in kept],
        [rows.prompts[i] for i in kept],
        [[epoch[i] for i in kept] for epoch in rows.completions],
        RowReport(max_length, policy, longest, dropped, shortened),
    )
