"""Training in several processes against training in one: the same rows, the same losses, the same adapter."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from gmner.config.run import LaunchSettings, TrainSettings
from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.storage.files import read_json
from gmner.storage.tables import SAMPLES, TARGETS, sample_to_row, write_table
from gmner.training.launch import NODE_RANK, ON_NODE, _free_port, accelerate_command, launch
from gmner.training.sampler import EpochSampler, MicroBatches
from tests.helpers.tiny_training import FRAME, TYPES

EPOCHS = 4
DDP = {"strategy": "ddp", "processes": 2}
FSDP = {"strategy": "fsdp", "processes": 2}
# Seven samples one by one in updates of four: the last update of an epoch has three, an odd number.
TRAIN = {"epochs": EPOCHS, "batch_size": 1, "accumulation": 4, "learning_rate": 1e-2, "gradient_checkpointing": False}


@pytest.fixture(scope="module")
def place(
    samples: list[Sample], make_targets: Callable[[int], pa.Table], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    kept = [sample for sample in samples if sample.sample_id != "train/3"]
    targets = make_targets(EPOCHS)
    targets = targets.filter(pa.compute.not_equal(targets["sample_id"], "train/3"))
    write_table(folder / "samples.parquet", [sample_to_row(sample) for sample in kept], SAMPLES)
    write_table(folder / "targets.parquet", targets, TARGETS)
    return folder


def command(place: Path, backbone: Path, name: str, work: str = "", **train: Any) -> list[str]:
    settings = {
        "run": "full",
        "dataset": "d",
        "backbone": {"kind": "local", "path": str(backbone), "frame": FRAME.to_json()},
        "question": {"prompt": "short", "cot": True, "types": list(TYPES), "fine": False},
        "train": {**TRAIN, "select": "best", **train},
        "generate": {"batch_size": 3, "max_new_tokens": 6},
        "score": {},
    }
    return [
        *(sys.executable, "-m", "gmner", "stage", "train", "--settings", json.dumps(settings), "--seed", "1"),
        *("--samples", str(place / "samples.parquet"), "--targets", str(place / "targets.parquet")),
        *("--backbone", str(backbone), "--work-dir", str(place / (work or f"work-{name}"))),
        *("--out-dir", str(place / name)),
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}


def train(*arguments: Any, **train: Any) -> Path:
    words = command(*arguments, **train)
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(words[-1])


@pytest.fixture(scope="module")
def alone(place: Path, backbone: Path) -> Path:
    return train(place, backbone, "alone")


def curve(run: Path, column: str) -> np.ndarray:
    with (run / "curves.csv").open(encoding="utf-8", newline="") as stream:
        return np.array([float(row[column]) for row in csv.DictReader(stream)])


def assert_same_training(one: Path, other: Path) -> None:
    """The same losses, gradients, dev scores and weights but for the order in which floats were added."""
    for column in ("step", "epoch", "learning_rate"):
        assert (curve(one, column) == curve(other, column)).all(), column
    assert len(curve(one, "step")) == 2 * EPOCHS
    for column in ("loss", "grad_norm"):
        np.testing.assert_allclose(curve(one, column), curve(other, column), rtol=1e-4, err_msg=column)
    first, second = (load_file(run / "adapter_model.safetensors") for run in (one, other))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.allclose(weight, second[name], rtol=1e-3, atol=1e-4), name
    assert read_json(one / "adapter_config.json") == read_json(other / "adapter_config.json")
    assert read_json(one / "run.json") == read_json(other / "run.json")


def wait_for_all(running: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Wait until all have ended well; when one fails, or time is over, nothing is left of the others."""
    deadline = time.monotonic() + seconds
    try:
        while any(one.poll() is None for one in running) and time.monotonic() < deadline:
            if any(one.returncode for one in running):
                return
            time.sleep(0.1)
    finally:
        for one in running:
            if one.poll() is None:
                for process in [*psutil.Process(one.pid).children(recursive=True), psutil.Process(one.pid)]:
                    process.kill()
            one.wait()


@pytest.mark.slow
def test_processes_on_two_machines_train_as_one_does(alone: Path, place: Path, backbone: Path) -> None:
    words = command(place, backbone, "ddp", launch={"strategy": "ddp", "nodes": 2})
    meeting = {**environment(), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    logs = [place / f"machine{rank}.log" for rank in "01"]
    machines = []
    for rank, log in zip("01", logs, strict=True):
        with log.open("w", encoding="utf-8") as stream:
            machines.append(subprocess.Popen(words, env={**meeting, NODE_RANK: rank}, stderr=stream))
    wait_for_all(machines, seconds=300)
    said = [log.read_text(encoding="utf-8") for log in logs]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert_same_training(alone, place / "ddp")
    assert sorted(path.name for path in (place / "ddp").iterdir()) == sorted(path.name for path in alone.iterdir())


ENDS = """
import sys
import torch, torch.distributed as dist
from gmner.training import distributed

distributed._LETTING_GO = float(sys.argv[1])
sys.setswitchinterval(1000)  # no other thread gets the interpreter's lock unless it is given away
for _ in range(300):
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
    model(torch.ones(1, 2)).sum().backward()
    dist.all_gather_object([None], {})
    distributed.leave()
    del model
"""


@pytest.mark.slow
def test_a_process_that_leaves_can_forget_its_model() -> None:
    subprocess.run([sys.executable, "-c", ENDS, "0.01"], env=environment(), check=True, timeout=45)


@pytest.mark.slow
def test_a_model_spread_over_two_processes_trains_as_a_whole_one(alone: Path, place: Path, backbone: Path) -> None:
    assert_same_training(alone, train(place, backbone, "fsdp", launch=FSDP))


def stopped(words: Sequence[str], work: Path, number: signal.Signals) -> int:
    """Start a training, stop it after its next checkpoint and return its exit status; nothing of it is left."""
    before = set(work.glob("checkpoint-*/complete.json"))
    running = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while set(work.glob("checkpoint-*/complete.json")) <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    below = psutil.Process(running.pid).children(recursive=True)
    if number == signal.SIGKILL:
        for process in [psutil.Process(running.pid), *below]:
            process.kill()
    else:
        running.send_signal(number)
    _, said = running.communicate(timeout=120)
    psutil.wait_procs(below, timeout=60)
    assert len(below) >= 3 and not any(process.is_running() for process in below), said.decode()
    return running.returncode


@pytest.mark.slow
def test_after_a_stop_and_a_kill_of_two_processes_one_goes_on(alone: Path, place: Path, backbone: Path) -> None:
    words, work = command(place, backbone, "killed", launch=DDP), place / "work-killed"
    assert stopped(words, work, signal.SIGTERM) == 130
    assert stopped(words, work, signal.SIGKILL) == -signal.SIGKILL
    assert not (place / "killed").exists()
    assert_same_training(alone, train(place, backbone, "killed"))


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize(("samples", "batch", "accumulation"), [(7, 1, 4), (64, 2, 4), (37, 2, 8), (3, 4, 4)])
def test_all_processes_together_see_each_row_once(world: int, samples: int, batch: int, accumulation: int) -> None:
    lengths = np.random.default_rng(0).integers(5, 50, (2, samples))
    sampler = EpochSampler(lengths, batch, 3, True)
    sampler.set_epoch(1)
    shares = [list(MicroBatches(sampler, accumulation, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(MicroBatches(sampler, accumulation, 0, world))}
    seen = [row for share in shares for micro_batch in share for row in micro_batch if row >= 0]
    assert sorted(seen) == list(range(samples, 2 * samples))
    step = accumulation // world
    for start in range(0, len(shares[0]), step):  # each update has the rows that it has with one process
        update = [row for share in shares for found in share[start : start + step] for row in found if row >= 0]
        first = start * world * batch
        assert sorted(update) == sorted(list(sampler)[first : first + accumulation * batch])


def test_rows_that_fill_up_count_for_nothing() -> None:
    sampler = EpochSampler(np.full((1, 5), 9), 2, 0, False)
    second = list(MicroBatches(sampler, 4, 1, 2))
    assert len(second) == 2 and second[1][0] < 0 and -1 - second[1][0] in list(sampler)[4:]
    # Where an update goes through in parts, all processes need as many rows, or one waits for the others for ever.
    filled = [list(MicroBatches(sampler, 4, rank, 2, fill=True)) for rank in (0, 1)]
    assert [[len(batch) for batch in share] for share in filled] == [[2, 2], [2, 2]]
    assert sorted(row for share in filled for batch in share for row in batch if row >= 0) == list(range(5))
    assert list(MicroBatches(sampler, 4, 0, 1, fill=True))[-1] == list(sampler)[4:]


def test_launches_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match="strategy is none with 2 processes"):
        LaunchSettings(processes=2)
    with pytest.raises(ValidationError, match="strategy is fsdp with one process"):
        LaunchSettings(strategy="fsdp")
    with pytest.raises(ValidationError, match="no multiple of the 3 processes"):
        TrainSettings(accumulation=8, launch=LaunchSettings(strategy="ddp", processes=3))


def words_after(words: Sequence[str], name: str) -> str:
    return words[list(words).index(name) + 1]


def test_machines_are_told_apart_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    two = LaunchSettings(strategy="ddp", processes=4, nodes=2)
    with pytest.raises(ConfigError, match=rf"{NODE_RANK}=0, 1"):
        accelerate_command(two, ["train"], {"MASTER_ADDR": "a", "MASTER_PORT": "1"})
    with pytest.raises(ConfigError, match="MASTER_ADDR or MASTER_PORT is not set"):
        accelerate_command(two, ["train"], {NODE_RANK: "1"})
    words = accelerate_command(two, ["train"], {NODE_RANK: "1", "MASTER_ADDR": "first", "MASTER_PORT": "2345"})
    assert words_after(words, "--num_processes") == "8" and words_after(words, "--machine_rank") == "1"
    assert words_after(words, "--main_process_ip") == "first" and words_after(words, "--main_process_port") == "2345"
    monkeypatch.setattr("gmner.training.launch._first_host", lambda nodes: nodes.split(",")[0])
    slurm = {ON_NODE: "1", "SLURM_JOB_ID": "41", "SLURM_JOB_NODELIST": "n1,n2", "SLURM_NODEID": "1"}
    words = accelerate_command(two, ["train"], slurm)
    assert words_after(words, "--main_process_ip") == "n1" and words_after(words, "--main_process_port") == "20041"
    assert launch(LaunchSettings(), ["train"]) is None
