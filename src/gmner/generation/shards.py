"""A split answered in shards: one table of all in the end.

Batches are made of the whole split and dealt out whole, so that no answer depends on how many shards there are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gmner.errors import DataError
from gmner.storage.tables import OUTPUTS, read_metadata, read_samples, read_table, write_table


def gather_outputs(samples_path: Path, split: str, shards: Sequence[Path], out: Path) -> None:
    """Write the tables of all shards as one, in the order of the samples: the bytes that one shard alone gives.

    Raises DataError if a sample is in no shard or in two, or where shards were answered in different ways.
    """
    abouts = [read_metadata(path) for path in shards]
    for path, about in zip(shards, abouts, strict=True):
        if about != abouts[0]:
            raise DataError(f"{path}: made with {about}, but {shards[0]} with {abouts[0]}; delete both and run again")
    rows: dict[str, dict[str, Any]] = {}
    for path in shards:
        for row in read_table(path, OUTPUTS).to_pylist():
            if row["sample_id"] in rows:
                raise DataError(f"{path}: sample '{row['sample_id']}' is in two shards; delete them and run again")
            rows[row["sample_id"]] = row
    ids = [sample.sample_id for sample in read_samples(samples_path, split)]
    if missing := [name for name in ids if name not in rows]:
        raise DataError(f"{out}: {len(missing)} samples are in no shard, for instance '{missing[0]}'; run again")
    write_table(out, [rows[name] for name in ids], OUTPUTS, abouts[0])
