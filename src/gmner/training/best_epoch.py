"""Which epoch is the best: its adapter decodes the dev set and is scored as the test set will be."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.generation.decode import Decoder, Output
from gmner.models.encoding import FeatureBank
from gmner.runtime.progress import log
from gmner.storage.files import write_json
from gmner.training.distributed import barrier, gathered, is_main, rank, trained_weights, world

Scorer = Callable[[Sequence[Sample], Sequence[Output]], dict[str, float]]
"""F1 scores in per cent: gmner_f1, mner_f1, eeg_f1."""


class EpochJudge:
    """Scores each epoch on the dev set and keeps the adapter of the best one so far.

    Scores live in `folder` as one JSON file an epoch, written after the adapter was saved, so that an interrupted
    run finds either both or neither. Of equal scores the earlier epoch is better.
    """

    def __init__(
        self,
        folder: Path,
        decoder: Decoder,
        dev: Sequence[Sample],
        bank: FeatureBank | None,
        scorer: Scorer,
        spread: bool = False,
    ) -> None:
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
        found = [out for batch in self.decoder.decode(mine, self.bank) for out in batch]
        return {out.sample_id: out for outputs in gathered(found) for out in outputs}

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
            save_adapter(self.decoder.model, adapter_folder(self.folder, epoch), weights=weights)
        write_json(self._path(epoch), scores)
        for number in earlier:
            if number != best_epoch(self.folder):
                shutil.rmtree(adapter_folder(self.folder, number), ignore_errors=True)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.json"


def read_scores(folder: Path) -> dict[int, dict[str, float]]:
    """Return the dev scores of each judged epoch."""
    return {
        int(path.stem.removeprefix("epoch-")): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("epoch-*.json"))
    }


def best_epoch(folder: Path) -> int:
    """Return the epoch with the highest dev GMNER F1, the earliest of equals."""
    scores = read_scores(folder)
    if not scores:
        raise DataError(f"{folder}: no epoch was judged; delete the work folder and train again")
    return max(scores, key=lambda epoch: (scores[epoch]["gmner_f1"], -epoch))


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
