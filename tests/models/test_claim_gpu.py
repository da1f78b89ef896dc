import os
from pathlib import Path

import pytest

from gmner.models import claim_gpu as gpu


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    driver = tmp_path / "driver"
    for name in ("a", "b", "c"):
        (driver / name).mkdir(parents=True)
    monkeypatch.setattr(gpu, "_DRIVER", driver)
    monkeypatch.setattr(gpu, "_held", [])
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    return tmp_path / "locks"


def test_each_job_gets_a_gpu_of_its_own(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for _ in range(3):
        monkeypatch.delenv(gpu.VARIABLE, raising=False)
        taken.append(gpu.claim_gpu(three))
        assert os.environ[gpu.VARIABLE] == taken[-1]
    assert taken == ["0", "1", "2"]
    monkeypatch.delenv(gpu.VARIABLE)
    assert gpu.claim_gpu(three) == "0"  # shared: all are held
    gpu._held[1].close()
    monkeypatch.delenv(gpu.VARIABLE)
    assert gpu.claim_gpu(three) == "1"


@pytest.mark.parametrize(("visible", "expected"), [("2", None), ("", None), ("-1", None), ("3,1", "3")])
def test_what_a_scheduler_gave_is_kept(
    three: Path, monkeypatch: pytest.MonkeyPatch, visible: str, expected: str | None
) -> None:
    monkeypatch.setenv(gpu.VARIABLE, visible)
    assert gpu.claim_gpu(three) == expected
    assert os.environ[gpu.VARIABLE] == (expected or visible)


def test_without_a_driver_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "_DRIVER", tmp_path / "no")
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    assert gpu.claim_gpu(tmp_path) is None


def test_a_training_in_several_processes_gets_as_many(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.claim_gpu(three) == "0"
    monkeypatch.delenv(gpu.VARIABLE)
    assert gpu.claim_gpus(2, three) == ["1", "2"] and os.environ[gpu.VARIABLE] == "1,2"
    monkeypatch.delenv(gpu.VARIABLE)
    assert gpu.claim_gpus(2, three) == ["0", "1"]  # shared: all are held
    monkeypatch.setenv(gpu.VARIABLE, "4,7")
    assert gpu.claim_gpus(2, three) == ["4", "7"]  # a scheduler's choice
