"""The stage `generate`: every sample of a split decoded once, batch by batch, each batch kept as it is done."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.generation.decode import Output
from gmner.generation.shares import WHOLE, Shard
from gmner.runtime.progress import Progress
from gmner.storage.files import read_json, sha256_of_json, write_json

log = logging.getLogger(__name__)


class BatchDecoder(Protocol):
    """What decodes samples batch by batch."""

    def batches(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Return the sample numbers of each batch, each number exactly once."""

    def decode_batch(self, samples: Sequence[Sample]) -> list[Output]:
        """Return the outputs of one batch, in the order of `samples`."""


def generate_outputs(
    decoder: BatchDecoder, samples: Sequence[Sample], work_dir: Path, identity: dict[str, Any], shard: Shard = WHOLE
) -> list[Output]:
    """Decode a shard of `samples` and return its outputs in the same order; go on where an interrupted call stopped.

    Each batch is kept in `work_dir` as it is done. `identity` is all that decides the outputs besides the
    samples (adapter, backbone, settings): batches of another identity are thrown away. Raises DataError if
    a sample is twice in the list.
    """
    _check_unique(samples)
    batches = shard.of(decoder.batches(samples))
    ids = [sample.sample_id for sample in samples]
    shards = Shards(work_dir, sha256_of_json({"identity": identity, "samples": ids, "batches": batches}))
    progress = Progress("generate", sum(len(batch) for batch in batches), "samples")
    outputs: dict[str, Output] = {}
    started, tokens = time.monotonic(), 0
    for number, batch in enumerate(batches):
        found = shards.read(number)
        if found is None:
            found = decoder.decode_batch([samples[place] for place in batch])
            shards.write(number, found)
            tokens += sum(output.output_tokens for output in found)
        outputs.update({output.sample_id: output for output in found})
        progress.advance(len(batch))
    progress.finish()
    log.info("generate: %d tokens written, %.0f a second", tokens, tokens / max(time.monotonic() - started, 1e-9))
    return [outputs[name] for name in ids if name in outputs]


class Shards:
    """The batches of one decoding that are done, one JSON file each, for one identity."""

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        mark = folder / "identity.json"
        if mark.exists() and _read(mark) != identity:
            log.info("generate: %s belongs to other settings or another adapter: starting over", folder)
            self.clear()
        if not mark.exists():
            self.clear()
            write_json(mark, identity)

    def read(self, number: int) -> list[Output] | None:
        """Return a batch that is done, or None."""
        rows = self.read_rows(number)
        return None if rows is None else [Output(**row) for row in rows]

    def write(self, number: int, outputs: Sequence[Output]) -> None:
        """Keep a batch."""
        self.write_rows(number, [asdict(output) for output in outputs])

    def read_rows(self, number: int) -> list[dict[str, Any]] | None:
        """Return the rows of a batch that is done, or None; a damaged file counts as not done."""
        found = _read(self._path(number))
        return found if isinstance(found, list) else None

    def write_rows(self, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the rows of a batch."""
        write_json(self._path(number), list(rows))

    def clear(self) -> None:
        """Forget every batch."""
        for path in (*self.folder.glob("batch-*.json"), self.folder / "identity.json"):
            path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"batch-{number:06d}.json"


def _read(path: Path) -> Any:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return read_json(path)
    return None


def _check_unique(samples: Sequence[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.sample_id in seen:
            raise DataError(f"samples: '{sample.sample_id}' stands twice in the split; run the samples stage again")
        seen.add(sample.sample_id)
