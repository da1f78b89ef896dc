"""The profile `slurm` against a real Slurm of one node, started here; skipped where its programs are missing."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmner.storage.tables import TARGETS, read_table

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "one_node_slurm.sh"
MISSING = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue") if shutil.which(name) is None]


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[None]:
    if MISSING:
        pytest.skip(f"no Slurm here: {', '.join(MISSING)} missing (apt-get install slurm-wlm munge)")
    if os.getuid() != 0:
        pytest.skip("slurmd must be started as root")
    if Path("/etc/slurm/slurm.conf").exists() or Path("/run/slurm/conf").exists():
        pytest.skip("this machine belongs to a Slurm cluster already")
    pytest.importorskip("snakemake_executor_plugin_slurm")
    folder = tmp_path / "slurm"
    subprocess.run([SCRIPT, "start", folder], check=True)
    try:
        yield
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


def test_light_stages_go_through_a_real_slurm(slurm, checkout):
    quick = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")
    said = checkout.snakemake("slurm", *quick, "--latency-wait", "5", "--", "targets")
    assert said.count("has been submitted with SLURM jobid") == 3  # samples, rationales, targets
    targets = checkout.root / "results/targets/small/full/seed42/targets.parquet"
    assert read_table(targets, TARGETS).num_rows == 6
    assert "Nothing to be done" in checkout.snakemake("slurm", "--dry-run", "--", "targets")
    gpus = subprocess.run(
        ["srun", "--gpus=2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"], capture_output=True, text=True, check=True
    )
    assert gpus.stdout.strip() == "0,1"
