"""Tables on disk: read in the thread that asks."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from gmner.errors import DataError
from gmner.storage.tables import OUTPUTS, read_table, write_table

ROW = {"sample_id": "test/1", "output": "x", "prompt_tokens": 1, "output_tokens": 2, "finish_reason": "stop"}
THREADS = """
import os, sys
from gmner.storage.tables import OUTPUTS, iterate_rows, read_table
before = len(os.listdir("/proc/self/task"))
rows = read_table(sys.argv[1], OUTPUTS).num_rows + len(list(iterate_rows(sys.argv[1], OUTPUTS)))
print(rows, len(os.listdir("/proc/self/task")) - before)
"""


def test_a_table_without_a_column_that_is_asked_for_names_it(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    write_table(path, [{"sample_id": "a", "output": "x"}], pa.schema([OUTPUTS.field(0), OUTPUTS.field(1)]))
    with pytest.raises(DataError, match="missing \\['finish_reason'\\]"):
        read_table(path, OUTPUTS, columns=["sample_id", "finish_reason"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_reading_starts_no_thread(tmp_path: Path) -> None:
    """Where the memory is too small for another thread, Arrow waits for it for ever."""
    path = tmp_path / "outputs.parquet"
    write_table(path, [ROW] * 5000, OUTPUTS)
    done = subprocess.run([sys.executable, "-c", THREADS, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10000", "0"]
