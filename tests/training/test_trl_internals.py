"""The private parts of other libraries' trainers are where gmner expects them."""

import inspect
from types import SimpleNamespace
from typing import Any

import transformers
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from gmner.training.trl_internals import record_metric, undisturbed, use_one_gpu


def test_the_trainers_have_the_parts_that_are_used() -> None:
    source = inspect.getsource(SFTTrainer)
    assert "self._metrics = {" in source and '_metrics[mode]["mean_token_accuracy"].append' in source
    assert "self._total_train_tokens" in source
    assert list(inspect.signature(transformers.Trainer._prepare_inputs).parameters) == ["self", "inputs"]
    assert list(inspect.signature(transformers.Trainer._get_grad_norm).parameters)[:2] == ["self", "model"]
    assert "_n_gpu" in inspect.getsource(transformers.TrainingArguments.n_gpu.fget)  # type: ignore[attr-defined]
    taken = inspect.signature(transformers.Trainer.get_batch_samples).parameters
    assert list(taken) == ["self", "epoch_iterator", "num_batches", "device"]


def test_a_trial_leaves_no_trace() -> None:
    from collections import defaultdict

    trainer: Any = SimpleNamespace(
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        _total_train_tokens=3,
        model=SimpleNamespace(training=True),
    )
    record_metric(trainer, "mean_token_accuracy", 0.5)
    with undisturbed(trainer):
        record_metric(trainer, "mean_token_accuracy", 0.1)
        record_metric(trainer, "other", 1.0)
        trainer._total_train_tokens = 9
    assert trainer._metrics["train"] == {"mean_token_accuracy": [0.5]} and trainer._total_train_tokens == 3
    record_metric(trainer, "new", 1.0)


def test_one_gpu_is_used_of_several(tmp_path: Any) -> None:
    config = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False)
    assert config.n_gpu <= 1
    config._n_gpu = 4
    use_one_gpu(config)
    assert config.n_gpu == 1
