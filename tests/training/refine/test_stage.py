"""Refinement of a random model: the same bytes again, killed and resumed too; rewards that a model can raise."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from gmner.config.refine import RefineSettings, RewardSettings
from gmner.config.run import LoraSettings, TrainSettings
from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.models.adapter_folder import RunInfo, read_run, write_manifest
from gmner.models.loading import identity_of, load_backbone
from gmner.prompts.model import prompt_version
from gmner.storage.files import sha256_of_file
from gmner.training.best_epoch import save_adapter
from gmner.training.refine.stage import RefineJob, refine_adapter
from gmner.training.trainer import TrainingDiverged, lora_config
from tests.helpers.tiny_training import FRAME, TYPES

LORA = LoraSettings(r=4, alpha=8, dropout=0.0)


@pytest.fixture(scope="module")
def adapter(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import get_peft_model

    folder = tmp_path_factory.mktemp("start")
    model = get_peft_model(
        load_backbone(backbone, torch.float32, torch.device("cpu")), lora_config(LORA, str(backbone))
    )
    save_adapter(model, folder)
    about = identity_of(backbone)
    RunInfo(FRAME, "short", prompt_version("short"), TYPES, True, about, {}).write(folder)
    write_manifest(folder)
    return folder


def job_of(backbone: Path, adapter: Path, samples: list[Sample], targets: Path | None = None, **options) -> RefineJob:
    reward = RewardSettings(mention=1.0)
    given = {"steps": 3, "prompts": 2, "group": 2, "micro_batch": 2, "max_new_tokens": 6, "curriculum": False}
    settings = RefineSettings(**{**given, "reward": reward, **options})
    train = TrainSettings(lora=LORA, batch_size=2, accumulation=1, select="last", gradient_checkpointing=False)
    mine = [sample for sample in samples if sample.split == "train"]
    identity = {"adapter": "a", **settings.model_dump(mode="json")}
    return RefineJob(mine, backbone, adapter, targets, False, settings, train, 5, identity)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}


class Killed(Exception):
    pass


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bytes(
    backbone: Path, adapter: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random answers are all worth nothing; a reward that differs makes the adapter move.
    from gmner.training.refine import rollouts
    from gmner.training.refine.rewards import Reward

    def reward_of(text, *rest) -> Reward:
        value = (sum(map(ord, text)) % 7) / 7
        return Reward(value, value, value, 1.0, value)

    monkeypatch.setattr(rollouts, "reward_of", reward_of)
    job = job_of(backbone, adapter, samples)
    refine_adapter(job, tmp_path / "work", tmp_path / "whole")
    again = job_of(backbone, adapter, samples)
    calls = []

    def dies(text, *rest) -> Reward:
        calls.append(text)
        if len(calls) == 10:  # in the third update; checkpoints are taken after each
            raise Killed
        return reward_of(text)

    monkeypatch.setattr(rollouts, "reward_of", dies)
    with pytest.raises(Killed):
        refine_adapter(again, tmp_path / "killed", tmp_path / "resumed", checkpoint_seconds=0.0)
    monkeypatch.setattr(rollouts, "reward_of", reward_of)
    refine_adapter(again, tmp_path / "killed", tmp_path / "resumed", checkpoint_seconds=0.0)
    assert digests(tmp_path / "whole") == digests(tmp_path / "resumed")
    weights = "adapter_model.safetensors"
    assert sha256_of_file(tmp_path / "whole" / weights) != sha256_of_file(adapter / weights)
    run = read_run(tmp_path / "whole")
    assert run.details["steps"] == 3 and run.types == TYPES and run.frame == FRAME
    header, *lines = (tmp_path / "whole" / "curves.csv").read_text().splitlines()
    assert len(lines) == 3 and header.startswith("step,reward,")


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops(
    backbone: Path, adapter: Path, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.trainer.grpo_trainer import GRPOTrainer

    monkeypatch.setattr(GRPOTrainer, "compute_loss", lambda *rest, **more: torch.tensor(float("nan")))
    with pytest.raises(TrainingDiverged, match=r"lower refine\.learning_rate"):
        refine_adapter(job_of(backbone, adapter, samples), tmp_path / "work", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
def test_rejection_trains_on_from_the_adapter(
    backbone: Path,
    adapter: Path,
    samples: list[Sample],
    make_targets: Callable[[int], pa.Table],
    tmp_path: Path,
) -> None:
    import pyarrow.parquet as pq

    pq.write_table(make_targets(1), tmp_path / "targets.parquet")
    job = job_of(backbone, adapter, samples, tmp_path / "targets.parquet", method="rejection", epochs=2)
    refine_adapter(job, tmp_path / "work", tmp_path / "out")
    counts = json.loads((tmp_path / "work" / "difficulty.json").read_text())
    assert sum(counts.values()) == 8
    assert read_run(tmp_path / "out").types == TYPES
    weights = "adapter_model.safetensors"
    assert sha256_of_file(tmp_path / "out" / weights) != sha256_of_file(adapter / weights)


def test_tweets_that_teach_nothing_are_named(
    backbone: Path, adapter: Path, samples: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="0 tweets are sometimes right and sometimes wrong"):
        refine_adapter(job_of(backbone, adapter, samples, curriculum=True), tmp_path / "work", tmp_path / "out")
