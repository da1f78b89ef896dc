import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from gmner.config.run import TRACKERS, GenerateSettings, TrainSettings
from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.generation.decode import Output
from gmner.models.encoding import PromptSettings
from gmner.models.qwen_vl.encoder import Encoder
from gmner.models.qwen_vl.processor import load_processor
from gmner.models.qwen_vl.vision_features import bank_features, vision_model
from gmner.storage.files import read_json
from gmner.training.callbacks import RunCallback
from gmner.training.checkpoints import COMPLETE, last_checkpoint
from gmner.training.read_ahead import finish
from gmner.training.rows import build_rows
from gmner.training.sampler import EpochSampler
from gmner.training.stage import TrainJob, train_adapter
from gmner.training.trainer import RowCollator, RowTrainer, TrainingDiverged, lora_config, trainer_config
from tests.helpers.tiny_training import FRAME, TYPES

MakeTargets = Callable[[int], pa.Table]
Make = Callable[..., TrainJob]


@pytest.fixture(scope="module")
def make_job(backbone: Path, samples: list[Sample], make_targets: MakeTargets) -> Make:
    def make(scorer: Any = None, seed: int = 42, **settings: Any) -> TrainJob:
        wanted = {
            "epochs": 2,
            "batch_size": 2,
            "accumulation": 2,
            "learning_rate": 1e-2,
            "gradient_checkpointing": False,
            "select": "last",
            **settings,
        }
        return TrainJob(
            samples=[sample for sample in samples if sample.split == "train"],
            dev=[sample for sample in samples if sample.split == "dev"],
            targets=make_targets(wanted["epochs"]),
            backbone_dir=backbone,
            backbone={"id": "random", "revision": None, "manifest_sha256": "0"},
            prompt=PromptSettings("short", TYPES, True, FRAME),
            train=TrainSettings(**wanted),
            generate=GenerateSettings(batch_size=3, max_new_tokens=6),
            seed=seed,
            scorer=scorer,
            identity={"settings": wanted, "seed": seed},
        )

    return make


def make_trainer(job: TrainJob, folder: Path, with_bank: bool = True) -> RowTrainer:
    from gmner.models.loading import load_backbone

    encoder = Encoder(load_processor(job.backbone_dir, FRAME), job.prompt)
    model = load_backbone(job.backbone_dir, torch.float32, torch.device("cpu"))
    rows = build_rows(job.samples, job.targets, encoder, job.train.epochs, 4096, "error")
    bank = bank_features(model, encoder, rows.samples) if with_bank else None
    return RowTrainer(
        rows,
        EpochSampler(rows.lengths(), job.train.batch_size, job.seed, True),
        job.train.loss,
        model=model,
        args=trainer_config(job.train, job.seed, str(folder), torch.float32),
        data_collator=RowCollator(rows, encoder, bank),
        processing_class=encoder.tokenizer,
        peft_config=lora_config(job.train.lora, str(job.backbone_dir)),
    )


def batch_of(trainer: RowTrainer, numbers: Sequence[int]) -> dict[str, Any]:
    return finish(trainer.data_collator([{"row": number} for number in numbers]))


def test_the_language_model_alone_is_adapted(make_job: Make, tmp_path: Path) -> None:
    trainer = make_trainer(make_job(), tmp_path)
    trained = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    layers = trainer.model.config.get_text_config().num_hidden_layers
    assert len(trained) == 2 * 7 * layers
    assert all("language_model.layers." in name and ".lora_" in name for name in trained)
    assert not any("visual" in name for name in trained)


def test_the_loss_is_on_the_completion_and_equals_that_of_trl(make_job: Make, tmp_path: Path) -> None:
    trainer = make_trainer(make_job(), tmp_path)
    trainer.model.eval()
    batch = batch_of(trainer, [0, 3, 5])
    for number, labels, ids in zip([0, 3, 5], batch["labels"], batch["input_ids"], strict=True):
        _, prompt, completion = trainer.rows.row(number)
        assert labels[labels != -100].tolist() == completion.tolist()
        assert (labels[: len(prompt)] == -100).all() and (labels[len(prompt) + len(completion) :] == -100).all()
        assert ids[: len(prompt)].tolist() == prompt.tolist()
    here = trainer.compute_loss(trainer.model, dict(batch))
    inputs = {key: value for key, value in batch.items() if key not in ("rows", "features")}
    pixels = trainer.data_collator.encoder.pixels
    inputs["pixel_values"] = torch.cat([pixels(trainer.rows.row(number)[0]) for number in (0, 3, 5)])
    of_trl = super(RowTrainer, trainer).compute_loss(trainer.model, inputs)
    assert torch.allclose(here, of_trl, atol=1e-5)


def test_banked_features_and_pixels_give_the_same_loss(make_job: Make, tmp_path: Path) -> None:
    losses = []
    for with_bank in (True, False):
        trainer = make_trainer(make_job(), tmp_path, with_bank)
        batch = batch_of(trainer, [1, 2, 4])
        assert ("features" in batch) is with_bank and ("pixel_bytes" in batch) is not with_bank
        losses.append(trainer.compute_loss(trainer.model.eval(), batch))
    assert torch.allclose(*losses, atol=1e-5)


def test_activations_that_are_computed_again_change_no_gradient_and_leave_the_tower_alone(
    make_job: Make, tmp_path: Path
) -> None:
    found, towers = [], list[bool]()
    for again in (False, True):
        trainer = make_trainer(make_job(gradient_checkpointing=again, lora={"dropout": 0.0}), tmp_path, with_bank=False)
        if again:  # as the trainer does when training begins
            trainer.model.activation_checkpointing_enable()
        inner = vision_model(trainer.model.train())
        inner.visual.register_forward_hook(lambda module, args, out: towers.append(out.pooler_output.requires_grad))
        trainer.compute_loss(trainer.model, batch_of(trainer, [0, 3])).backward()
        found.append({name: weight.grad for name, weight in trainer.model.named_parameters() if weight.requires_grad})
    assert found[0] and all(torch.allclose(found[0][name], found[1][name], atol=1e-5) for name in found[0])
    assert towers == [False, False]  # frozen: it is run forward alone


def test_training_reads_positions_of_time_height_and_width(make_job: Make, tmp_path: Path) -> None:
    trainer = make_trainer(make_job(), tmp_path)
    inner = vision_model(trainer.model)
    batch = batch_of(trainer, [0, 1, 2])
    seen: list[torch.Tensor] = []
    hook = inner.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["position_ids"]), with_kwargs=True
    )
    trainer.compute_loss(trainer.model, dict(batch))
    hook.remove()
    expected, _ = inner.get_rope_index(
        batch["input_ids"],
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch["image_grid_thw"],
        attention_mask=batch["attention_mask"],
    )
    assert seen[0].shape == (3, 3, batch["input_ids"].shape[1])
    assert torch.equal(seen[0], expected)
    image = batch["mm_token_type_ids"][0].bool()
    assert not torch.equal(seen[0][1, 0][image], seen[0][2, 0][image])


def test_each_epoch_trains_on_its_own_rows_and_writes_a_whole_folder(
    make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = RowTrainer.compute_loss

    def spy(self: RowTrainer, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        seen.extend(inputs["rows"])
        return original(self, model, inputs, *rest, **named)

    monkeypatch.setattr(RowTrainer, "compute_loss", spy)
    train_adapter(make_job(), tmp_path / "work", tmp_path / "out")
    assert sorted(seen[:8]) == list(range(8)) and sorted(seen[8:]) == list(range(8, 16))
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {
        "adapter_model.safetensors",
        "adapter_config.json",
        "run.json",
        "curves.csv",
        "curves.png",
        "manifest.json",
    }
    run = read_json(tmp_path / "out" / "run.json")
    assert run["frame"] == FRAME.to_json() and run["types"] == list(TYPES) and run["cot"] is True
    assert run["backbone"]["id"] == "random" and run["prompt_version"].startswith("short-")
    config = read_json(tmp_path / "out" / "adapter_config.json")
    assert config["base_model_name_or_path"] == "random"
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert set(manifest["files"]) == files - {"manifest.json"}
    lines = (tmp_path / "out" / "curves.csv").read_text().splitlines()
    assert lines[0].startswith("step,epoch,loss,learning_rate,grad_norm") and len(lines) == 1 + 4


def test_the_best_epoch_by_dev_gmner_is_kept(make_job: Make, tmp_path: Path) -> None:
    wanted = iter([10.0, 30.0, 30.0])

    def scorer(samples: Sequence[Sample], outputs: Sequence[Output]) -> dict[str, float]:
        assert [sample.sample_id for sample in samples] == [output.sample_id for output in outputs]
        assert len(samples) == 3
        return {"gmner_f1": next(wanted), "mner_f1": 0.0, "eeg_f1": 0.0}

    job = make_job(scorer, epochs=3, select="best", eval_samples=3)
    train_adapter(job, tmp_path / "work", tmp_path / "out")
    run = read_json(tmp_path / "out" / "run.json")["details"]
    assert run["epoch"] == 1 and run["dev"]["2"]["gmner_f1"] == 30.0
    kept = [path.name for path in (tmp_path / "work" / "epochs").glob("adapter-*")]
    assert sorted(kept) == ["adapter-0000", "adapter-0001"], "the best, and the best as of the older checkpoint"
    two = make_job(epochs=3)
    train_adapter(two, tmp_path / "work2", tmp_path / "last")
    best, last = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("out", "last"))
    assert any(not torch.equal(best[name], last[name]) for name in best)
    with pytest.raises(ConfigError, match=r"set train\.select: last"):
        train_adapter(replace(job, dev=[]), tmp_path / "work3", tmp_path / "out3")


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from gmner.training.callbacks import RunCallback
from gmner.training.stage import train_adapter

def die(self, args, state, control, **kwargs):
    if state.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)

RunCallback.on_step_begin = die
folder = Path(sys.argv[1])
train_adapter(pickle.loads((folder / "job.pickle").read_bytes()), folder / "work", folder / "out", 0.0)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(make_job: Make, tmp_path: Path) -> None:
    import pickle

    job = make_job(epochs=2, accumulation=1)
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(job))
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert last_checkpoint(tmp_path / "work") == tmp_path / "work" / "checkpoint-3"
    half = tmp_path / "work" / "checkpoint-4"
    half.mkdir()
    (half / "optimizer.pt").write_bytes(b"half")
    train_adapter(job, tmp_path / "work", tmp_path / "out", 0.0)
    assert not half.exists() or (half / COMPLETE).exists()
    train_adapter(job, tmp_path / "whole", tmp_path / "uninterrupted", 0.0)
    resumed, whole = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("out", "uninterrupted"))
    assert resumed.keys() == whole.keys()
    for name, weight in whole.items():
        assert torch.equal(resumed[name], weight), name
    assert (tmp_path / "out" / "curves.csv").read_bytes() == (tmp_path / "uninterrupted" / "curves.csv").read_bytes()


def test_a_stop_request_keeps_a_checkpoint_and_other_settings_start_anew(
    make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(accumulation=1)

    def interrupt(self: RunCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(RunCallback, "on_step_begin", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt):
            train_adapter(job, tmp_path / "work", tmp_path / "out")
    assert last_checkpoint(tmp_path / "work") == tmp_path / "work" / "checkpoint-3"
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train_adapter(make_job(seed=1, accumulation=1), tmp_path / "work", tmp_path / "out")
    assert json.loads((tmp_path / "work" / "identity.json").read_text())["seed"] == 1
    assert read_json(tmp_path / "out" / "run.json")["details"]["steps"] == 8


@pytest.mark.parametrize("where", ["loss", "gradient norm"])
def test_a_loss_or_gradient_that_is_no_number_stops_with_step_and_rows(
    make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    original = RowTrainer._loss_on_cpu

    def broken(self: RowTrainer, model: Any, inputs: dict[str, Any], items: Any) -> torch.Tensor:
        loss = original(self, model, inputs, items)
        if self.state.global_step != 1:
            return loss
        return loss * math.nan if where == "loss" else loss + (loss - loss.detach()).sqrt()

    monkeypatch.setattr(RowTrainer, "_loss_on_cpu", broken)
    with pytest.raises(TrainingDiverged, match=rf"the {where} is nan at step 2 \(rows train/\d.*lower train\.learn"):
        train_adapter(make_job(), tmp_path / "work", tmp_path / "out")


def test_a_tracker_that_is_not_installed_is_named(
    make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.integrations.integration_utils as trackers

    monkeypatch.setattr(trackers, "get_available_reporting_integrations", lambda: ["tensorboard"])
    with pytest.raises(ConfigError, match="log_to is wandb, but the package wandb is not installed"):
        train_adapter(make_job(log_to="wandb"), tmp_path / "work", tmp_path / "out")


def test_the_trackers_are_those_of_transformers() -> None:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(TRACKERS) == set(INTEGRATION_TO_CALLBACK)
    with pytest.raises(ValueError, match=r"no tracker 'wandbb'; did you mean 'wandb'\?"):
        TrainSettings(log_to="wandbb")


def first_loss(job: TrainJob, folder: Path) -> tuple[float, RowTrainer, list[dict[str, Any]]]:
    """Return the loss of the first update, its trainer and its batches."""
    trainer = make_trainer(job, folder)
    loader = iter(trainer.get_train_dataloader())
    batches, items = trainer.get_batch_samples(loader, job.train.accumulation, torch.device("cpu"))
    trainer.current_gradient_accumulation_steps = len(batches)
    found = sum(trainer.training_step(trainer.model, dict(batch), items).item() for batch in batches)
    return found, trainer, batches


@pytest.mark.parametrize("way", ["per_token", "per_micro_batch"])
def test_the_loss_averages_over_an_updates_tokens_or_batch_by_batch(make_job: Make, tmp_path: Path, way: str) -> None:
    job = make_job(loss=way, lora={"dropout": 0.0}, length_grouping=False)
    found, trainer, batches = first_loss(job, tmp_path)
    means = [trainer.compute_loss(trainer.model, dict(batch)).item() for batch in batches]
    tokens = [int((batch["labels"] != -100).sum()) for batch in batches]
    assert len(set(tokens)) > 1, "else both ways are one"
    by_token = sum(mean * count for mean, count in zip(means, tokens, strict=True)) / sum(tokens)
    by_batch = sum(means) / len(means)
    assert abs(by_token - by_batch) > 1e-5
    assert found == pytest.approx(by_token if way == "per_token" else by_batch, abs=1e-5)


def test_a_loss_by_batches_keeps_its_batches() -> None:
    with pytest.raises(ValueError, match="which micro_batch would change"):
        TrainSettings(loss="per_micro_batch", micro_batch=4)
    with pytest.raises(ValueError, match="with several processes"):
        TrainSettings(loss="per_micro_batch", launch={"strategy": "ddp", "processes": 2})  # type: ignore[arg-type]


def test_without_autocast_the_adapter_computes_in_its_own_dtype(make_job: Make, tmp_path: Path) -> None:
    seen = []
    for autocast in (True, False):
        job = make_job(autocast=autocast, precision="bf16")
        config = trainer_config(job.train, 1, str(tmp_path), torch.bfloat16)
        seen.append(config.bf16)
    assert seen == [True, False]
    train_adapter(make_job(autocast=False, precision="bf16", epochs=1), tmp_path / "work", tmp_path / "out")
    weights = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert all(weight.dtype is torch.float32 and torch.isfinite(weight).all() for weight in weights.values())


def test_tensorboard_gets_the_curves(make_job: Make, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train_adapter(make_job(log_to="tensorboard", epochs=1), tmp_path / "work", tmp_path / "out")
    assert list((tmp_path / "work").rglob("events.out.tfevents.*"))
