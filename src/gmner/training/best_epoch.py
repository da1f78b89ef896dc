"""Which epoch is the best: its adapter decodes the dev set and is scored as the test set will be."""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import find_executable_batch_size

from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.generation.decode import Decoder, Output
from gmner.models.adapter_folder import is_whole, write_manifest
from gmner.models.encoding import FeatureBank
from gmner.models.merged import merged
from gmner.runtime.progress import log
from gmner.storage.files import sync_path, write_json
from gmner.training.distributed import barrier, gathered, is_main, rank, trained_weights, world

Scorer = Callable[[Sequence[Sample], Sequence[Output]], dict[str, float]]
"""F1 scores in per cent: gmner_f1, mner_f1, eeg_f1."""


class EpochJudge:
    """Scores each epoch on the dev set and keeps the adapters that a training may still need.

    Scores live in `folder` as one JSON file per epoch, written after the adapter was saved, so that an interrupted
    run finds either both or neither. Of equal scores the earlier epoch is better. A training that is killed resumes
    from a checkpoint and judges later epochs again, perhaps a little lower: so the best adapter as of each checkpoint
    that `finished` names is kept too, until that checkpoint is gone.
    """

    def __init__(
        self,
        folder: Path,
        decoder: Decoder,
        dev: Sequence[Sample],
        bank: FeatureBank | None,
        scorer: Scorer,
        spread: bool = False,
        finished: Callable[[], Iterable[int]] = lambda: (),
    ) -> None:
        self.finished = finished  # for each checkpoint, how many epochs were over by then
        self.folder, self.decoder, self.dev, self.bank, self.scorer = folder, decoder, list(dev), bank, scorer
        self.spread = spread

    def __call__(self, epoch: int) -> None:
        """Score the model as it is now, after `epoch` (counted from 0); all processes decode, the first one writes."""
        by_id = self._decode()
        weights = trained_weights(self.decoder.model) if self.spread else None
        if is_main():
            self._judge(epoch, by_id, weights)
        barrier()

    def _decode(self) -> dict[str, Output]:
        """Return all outputs: each process decodes its share, or all decode everything where the model is spread."""
        mine = self.dev if self.spread else self.dev[rank() :: world()]
        was_training = self.decoder.model.training
        self.decoder.model.eval()
        with contextlib.nullcontext() if self.spread else merged(self.decoder.model):
            found = self._decode_where_it_fits(mine)
        self.decoder.model.train(was_training)
        return {out.sample_id: out for outputs in gathered(found) for out in outputs}

    def _decode_where_it_fits(self, samples: Sequence[Sample]) -> list[Output]:
        """Return the outputs of `samples`, in smaller batches if a GPU has no room for those that are set."""

        def decode(batch_size: int) -> list[Output]:
            self.decoder.batch_size = batch_size
            return [out for batch in self.decoder.decode(samples, self.bank) for out in batch]

        if self.decoder.model.device.type != "cuda" or self.spread:  # spread processes must keep step
            return decode(self.decoder.batch_size)
        found: list[Output] = find_executable_batch_size(decode, starting_batch_size=self.decoder.batch_size)()
        return found

    def _judge(self, epoch: int, by_id: dict[str, Output], weights: dict[str, Any] | None) -> None:
        scores = self.scorer(self.dev, [by_id[sample.sample_id] for sample in self.dev])
        log.info(
            "epoch %d on dev: GMNER %.2f, MNER %.2f, EEG %.2f F1",
            epoch,
            scores["gmner_f1"],
            scores["mner_f1"],
            scores["eeg_f1"],
        )
        earlier = {number: found for number, found in read_scores(self.folder).items() if number < epoch}
        if all(scores["gmner_f1"] > found["gmner_f1"] for found in earlier.values()):
            self._keep_adapter(epoch, weights)
        write_json(self._path(epoch), scores)
        known = {**earlier, epoch: scores}
        needed = {best_of(known, over) for over in (*self.finished(), epoch + 1)}
        for folder in self.folder.glob("adapter-*"):
            if folder not in {adapter_folder(self.folder, number) for number in needed if number is not None}:
                shutil.rmtree(folder, ignore_errors=True)

    def _keep_adapter(self, epoch: int, weights: dict[str, Any] | None) -> None:
        """Save the model's adapter under its epoch, whole or not at all."""
        target = adapter_folder(self.folder, epoch)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        save_adapter(self.decoder.model, partial, weights=weights)
        write_manifest(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
        sync_path(self.folder)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.json"


def read_scores(folder: Path) -> dict[int, dict[str, float]]:
    """Return the dev scores of each judged epoch; a damaged file counts as none."""
    found = {}
    for path in sorted(folder.glob("epoch-*.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            scores = json.loads(path.read_text(encoding="utf-8"))
            found[int(path.stem.removeprefix("epoch-"))] = {name: float(value) for name, value in scores.items()}
    return found


def best_of(scores: Mapping[int, Mapping[str, float]], over: int) -> int | None:
    """Return the best of the first `over` epochs by dev GMNER F1, the earliest of equals; None if none was judged."""
    judged = [epoch for epoch in scores if epoch < over]
    return max(judged, key=lambda epoch: (scores[epoch]["gmner_f1"], -epoch), default=None)


def best_epoch(folder: Path) -> int:
    """Return the epoch with the highest dev GMNER F1, the earliest of equals."""
    found = best_of(read_scores(folder), sys.maxsize)
    if found is None:
        raise DataError(f"{folder}: no epoch was judged; delete the work folder and train again")
    return found


def can_go_on(folder: Path, over: int) -> bool:
    """Say whether a training of which `over` epochs are over has all their scores and its best adapter, undamaged."""
    scores = read_scores(folder)
    if any("gmner_f1" not in scores.get(epoch, {}) for epoch in range(over)):
        return False
    best = best_of(scores, over)
    return best is None or is_whole(adapter_folder(folder, best))


def adapter_folder(folder: Path, epoch: int) -> Path:
    """Return where an epoch's adapter is kept."""
    return folder / f"adapter-{epoch:04d}"


def save_adapter(model: Any, folder: Path, base_name: str | None = None, weights: dict[str, Any] | None = None) -> None:
    """Save a LoRA adapter as adapter_model.safetensors and adapter_config.json and nothing else.

    `base_name` replaces the backbone's path in the configuration, so that the bytes do not depend on where
    the backbone lies. `weights` are the trained weights of a model whose parts are spread over processes.
    """
    model.save_pretrained(folder, safe_serialization=True, **({} if weights is None else {"state_dict": weights}))
    for path in folder.iterdir():
        if path.name not in ("adapter_model.safetensors", "adapter_config.json"):
            path.unlink()
        else:
            path.chmod(0o644)  # safetensors leaves its files to their owner alone
    if base_name is not None:
        rename_base(folder, base_name)


def rename_base(folder: Path, base_name: str) -> None:
    """Name the backbone by its id in an adapter's configuration."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**config, "base_model_name_or_path": base_name})
