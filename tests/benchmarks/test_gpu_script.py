"""The GPU benchmark's script: its tiny mode, and the arithmetic behind its numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def gpu(repo: Path) -> Any:
    sys.path.insert(0, str(repo / "benchmarks"))
    try:
        import gpu as script
    finally:
        sys.path.remove(str(repo / "benchmarks"))
    return script


@pytest.mark.slow
def test_the_tiny_mode_runs_every_phase_without_an_installed_package(repo: Path, tmp_path: Path) -> None:
    phases = "train_authors,train_authors_unpadded,train_ours,decode_authors,decode_ours"
    command = [sys.executable, str(repo / "benchmarks" / "gpu.py"), "--tiny", "--seconds", "0", "--phases", phases]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert list(told["phases"]) == phases.split(",") and told["versions"]["torch"]
    authors, unpadded, ours = (told["phases"][name] for name in phases.split(",")[:3])
    assert (authors["micro_batch"], authors["accumulation"], authors["gradient_checkpointing"]) == (2, 8, True)
    assert authors["padding"] > unpadded["padding"] >= 0 and ours["padding"] < authors["padding"]
    assert (ours["micro_batch"], ours["gradient_checkpointing"], ours["mfu"]) == (4, False, None)
    assert abs(authors["loss"] - unpadded["loss"]) < 0.2 and abs(ours["loss"] - unpadded["loss"]) < 0.2
    assert set(told["times_faster"]) == {"training", "decoding"}


def test_without_a_gpu_it_says_so(gpu: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert "no GPU" in json.loads(capsys.readouterr().out)["skipped"]
    with pytest.raises(SystemExit):
        gpu.main(["--phases", "train_nothing"])
    assert "no phase train_nothing" in capsys.readouterr().err


def test_a_phase_that_fails_leaves_the_others_numbers(
    gpu: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from gmner.errors import ConfigError

    def phase(error: Exception) -> Any:
        def run(*args: Any) -> Any:
            raise error

        return run

    monkeypatch.setattr(gpu, "run_training", phase(ConfigError("not even one row fits")))
    monkeypatch.setattr(gpu, "run_decoding", phase(ValueError("no such kernel")))
    assert gpu.main(["--tiny", "--phases", "train_ours,decode_ours"]) == 1
    phases = json.loads(capsys.readouterr().out)["phases"]
    assert phases["train_ours"]["error"].startswith("out of memory: not even one row fits")
    assert phases["decode_ours"] == {"failed": "ValueError: no such kernel"}


def test_the_peak_is_that_of_the_card(gpu: Any) -> None:
    names = {
        "NVIDIA H200": 989.5,
        "NVIDIA H100 80GB HBM3": 989.5,
        "NVIDIA H100 PCIe": 756.0,
        "NVIDIA A100-SXM4-80GB": 312.0,
        "NVIDIA GeForce RTX 4090": 165.2,
        "NVIDIA GeForce RTX 5090": 209.5,
        "NVIDIA GH200 480GB": 989.5,
        "NVIDIA H200 NVL": 835.5,
        "NVIDIA L40": 181.0,
        "NVIDIA H200 MIG 1g.18gb": None,
        "Some other card": None,
    }
    shapes = sys.modules["gpu_shapes"]
    assert {name: shapes.peak_of(name) for name in names} == names


@pytest.mark.slow
def test_the_model_is_the_7b_one_and_its_arithmetic_adds_up(gpu: Any) -> None:
    torch = gpu.torch
    config = gpu.Qwen2_5_VLConfig(**gpu.SEVEN_B, **gpu.TOKENS)
    with torch.device("meta"):
        model = gpu.Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    assert sum(weight.numel() for weight in model.parameters()) == 8_292_166_656  # as the hub says
    counter = gpu.Counter(model)
    assert counter.linear == 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    block = 4 * 1280**2 + 3 * 1280 * 3420
    assert counter.tower == 32 * block + 1280 * 3 * 2 * 14**2 + (5120**2 + 5120 * 3584) // 4
    sample = gpu.Sample((1, 42, 32), 400, 300)
    assert sample.tokens == 336 + 700
    plain = 4 * counter.linear * 1036 + 6 * 28 * 3584 * 1036**2 + 4 * 152064 * 3584 * 300 + counter.see(sample)
    assert counter.train(sample) == pytest.approx(plain)
    counter.adapter = 1000
    assert counter.train(sample) - plain == pytest.approx(6 * 1000 * 1036, rel=1e-3)
    counter.adapter = 0
    assert counter.run(sample, 1036, checkpointing=False, every_position=False) == pytest.approx(plain)
    again = counter.run(sample, 1036, checkpointing=True, every_position=False)
    assert again - plain == pytest.approx(counter.read(1036))


def test_samples_have_the_shapes_of_tweets(gpu: Any) -> None:
    samples = gpu.draw_samples(64, tiny=False)
    assert samples == gpu.draw_samples(64, tiny=False)
    assert all(256 <= sample.patches // 4 <= 1024 for sample in samples)
    assert 250 < sum(sample.completion for sample in samples) / 64 < 350
    assert max(sample.tokens for sample in samples) <= 2048
