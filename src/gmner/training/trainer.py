"""TRL's SFTTrainer on rows that are tokenised already, with the checks that it does not make."""

import functools
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from gmner.errors import ConfigError, GmnerError
from gmner.models.encoding import FeatureBank, pad_rows
from gmner.models.families import BACKBONE_FAMILIES, family_of_folder, seam_of, seam_of_folder
from gmner.models.seam import Encoder
from gmner.training.distributed import rank, world
from gmner.training.micro_batches import Batch, InParts
from gmner.training.read_ahead import ImageReader, ReadAhead
from gmner.training.rows import TrainingRows
from gmner.training.sampler import EpochSampler, MicroBatches
from gmner.training.trl_internals import record_metric, use_one_gpu

IGNORED = -100


class RowNumbers(Dataset[dict[str, int]]):
    """Row numbers as the collator takes them; -1 - row is a row that counts for nothing (`MicroBatches`)."""

    def __getitem__(self, number: int) -> dict[str, int]:
        return {"row": number} if number >= 0 else {"row": -1 - number, "ignored": 1}


class TrainingDiverged(GmnerError):
    """The loss or the gradient is not a finite number any more."""


class RowCollator:
    """Makes a batch of row numbers: right-padded ids, labels on the completion alone, images.

    Gives input_ids, attention_mask, labels, mm_token_type_ids (rows, longest; int64, 1 on image tokens),
    image_grid_thw (rows, 3), the row numbers in `rows`, and either the `features` of all images one after the other or
    images that are still being read (`gmner.training.read_ahead.finish` waits for them).
    """

    def __init__(self, rows: TrainingRows, encoder: Encoder, bank: FeatureBank | None, threads: int = 0) -> None:
        self.rows, self.encoder, self.bank = rows, encoder, bank
        self.images = ImageReader(encoder, threads)
        self.pad_token_id = encoder.pad_token_id

    def __call__(self, items: Sequence[dict[str, int]]) -> dict[str, Any]:
        """Return the batch of the rows whose numbers are in `items`."""
        numbers = [item["row"] for item in items]
        samples, prompts, completions = zip(*(self.rows.row(number) for number in numbers), strict=True)
        both = [np.concatenate(pair) for pair in zip(prompts, completions, strict=True)]
        input_ids, attention_mask = pad_rows(both, self.pad_token_id)
        labels = input_ids.masked_fill(attention_mask == 0, IGNORED)
        for number, (item, prompt) in enumerate(zip(items, prompts, strict=True)):
            labels[number, : None if "ignored" in item else len(prompt)] = IGNORED
        batch = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "labels": labels,
            "mm_token_type_ids": (input_ids == self.encoder.image_token_id).long(),
            "image_grid_thw": torch.tensor([self.encoder.grid_of(sample.size_wh) for sample in samples]),
            "rows": numbers,
        }
        if self.bank is not None:
            batch["features"] = torch.cat([self.bank.of(sample) for sample in samples])
        else:
            batch |= self.images.begin(samples)  # finished by the trainer, once the batch is needed
        return batch


class RowTrainer(SFTTrainer):
    """SFTTrainer over TrainingRows: epoch e trains on the rows of epoch e, and a loss that is no number stops it."""

    def __init__(self, rows: TrainingRows, sampler: EpochSampler, loss: str = "per_token", **kwargs: Any) -> None:
        self.rows, self.sampler = rows, sampler
        self._step_rows: list[int] = []
        self.parts: InParts | None = None  # how an update's rows go through the model; None: batch by batch
        self._held: list[Batch] = []
        self._ahead: ReadAhead | None = None
        self.collator: RowCollator = kwargs["data_collator"]
        self._batches_of_step = 1
        numbers = datasets.Dataset.from_dict({"row": list(range(rows.epochs * len(rows.samples)))})
        super().__init__(train_dataset=numbers, **kwargs)
        network: Any = self.model
        self.seam = seam_of(network.config.model_type)
        self.seam.freeze_vision(network.get_base_model())
        # Beside a backbone in 4 bits TRL makes the adapter bfloat16, which loses small updates.
        for weight in network.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
        # per_token: each token of an update weighs the same, however its rows are spread over batches and processes.
        self.model_accepts_loss_kwargs = loss == "per_token"

    def get_train_dataloader(self) -> DataLoader[dict[str, int]]:
        """Return this process's batches of the epoch that the sampler stands at."""
        args = self.args
        accumulation, fill = args.gradient_accumulation_steps * world(), self.parts is not None
        return DataLoader(
            RowNumbers(),
            batch_sampler=MicroBatches(self.sampler, accumulation, rank(), world(), fill),
            collate_fn=self.data_collator,
            pin_memory=args.dataloader_pin_memory,
        )

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """Return the batches of one optimizer step, and remember whose rows they hold."""
        if self._ahead is None or self._ahead.source is not epoch_iterator:
            self._ahead = ReadAhead(epoch_iterator, self.collator.images.threads)
        batches, items = super().get_batch_samples(self._ahead, num_batches, device)
        self._step_rows = [number for batch in batches for number in batch["rows"]]
        self._batches_of_step = len(batches)
        return batches, items

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Return the loss of a batch, its gradients added; with `parts`, that of an update at its last batch."""
        if self.parts is None:
            return super().training_step(model, inputs, num_items_in_batch)
        self._held.append(inputs)
        if len(self._held) < self._batches_of_step:
            return torch.zeros((), device=self.args.device)
        held, self._held = self._held, []
        step = functools.partial(super().training_step, model, num_items_in_batch=num_items_in_batch)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        return self.parts.run(step, held, weights, functools.partial(self.accelerator.no_sync, model))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a batch; raises TrainingDiverged where it is not finite."""
        numbers = inputs.pop("rows")
        if not self.model_accepts_loss_kwargs:
            num_items_in_batch = None  # per_micro_batch: the mean of this batch, which training_step divides by batches
        # Dropout by the rows of the batch: the same after a restart, and in whichever process they are.
        torch.manual_seed(np.random.SeedSequence([self.args.seed, *numbers]).generate_state(1, np.uint64).item() >> 1)
        if (pixels := inputs.pop("pixel_bytes", None)) is not None:
            inputs["pixel_values"] = self.collator.encoder.from_bytes(pixels)
        if (features := inputs.pop("features", None)) is not None:
            inputs |= self.seam.feature_inputs(features)
        # With several processes the loss comes from the model's own forward: there the gradients are put together.
        if inputs["input_ids"].device.type == "cpu" and not return_outputs and world() == 1:
            loss = self._loss_on_cpu(model, inputs, num_items_in_batch)
        else:
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        value = loss[0] if return_outputs else loss
        if not torch.isfinite(value):
            raise self._diverged("loss", value.item(), numbers)
        return loss

    def _loss_on_cpu(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any) -> torch.Tensor:
        """Return the loss that SFTTrainer's fused head gives, scoring the completions' positions alone.

        Off the GPU the fused head scores every position, the images' too, and does so twice: a fifth of a step.
        """
        labels = inputs.pop("labels")[:, 1:]
        wanted = labels != IGNORED
        network = model.get_base_model() if hasattr(model, "get_base_model") else model
        hidden = network.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        scores, labels = network.lm_head(hidden[wanted]).float(), labels[wanted]
        record_metric(self, "mean_token_accuracy", (scores.argmax(-1) == labels).float().mean().item())
        count = wanted.sum() if num_items_in_batch is None else num_items_in_batch
        return torch.nn.functional.cross_entropy(scores, labels, reduction="sum") / count

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        found = super()._get_grad_norm(model, grad_norm)
        if found is not None and not np.isfinite(float(found)):
            raise self._diverged("gradient norm", float(found), self._step_rows)
        return found

    def _diverged(self, what: str, value: float, numbers: Sequence[int]) -> TrainingDiverged:
        names = [self.rows.row(number)[0].sample_id for number in numbers]
        return TrainingDiverged(
            f"training stopped: the {what} is {value} at step {self.state.global_step + 1} "
            f"(rows {', '.join(names)}); lower train.learning_rate or train.clip, or set train.precision to fp32. "
            "The last good checkpoint is kept in the work folder"
        )

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: counting the model's parameters at every step costs more than the number is worth."""
        return 0

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card beside a checkpoint."""


def lora_config(lora: Any, backbone: str) -> Any:
    """Return PEFT's configuration for `lora` on the language model of the folder `backbone`."""
    from peft import LoraConfig

    targets = lora.targets or BACKBONE_FAMILIES[family_of_folder(backbone)].lora_targets

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=seam_of_folder(backbone).lora_modules(targets),
        base_model_name_or_path=backbone,
        bias="none",
    )


def check_logger(name: str) -> None:
    """Raise ConfigError if the package of the tracker that train.log_to names is not installed."""
    from transformers.integrations.integration_utils import get_available_reporting_integrations

    if name != "none" and name not in get_available_reporting_integrations():
        raise ConfigError(
            f"train.log_to is {name}, but the package {name} is not installed; pip install {name}, or set "
            "train.log_to: none (curves.csv and curves.png are written in any case)"
        )


def trainer_config(train: Any, seed: int, output_dir: str, dtype: torch.dtype) -> SFTConfig:
    """Return TRL's arguments for the settings `train`. Saving is left to the callbacks."""
    on_gpu = torch.cuda.is_available()
    config = SFTConfig(
        output_dir=output_dir,
        seed=seed,
        num_train_epochs=train.epochs,
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.accumulation // world(),
        learning_rate=train.learning_rate,
        weight_decay=train.weight_decay,
        lr_scheduler_type=train.scheduler,
        warmup_steps=train.warmup_ratio,
        max_grad_norm=train.clip,
        optim="adamw_torch",
        bf16=dtype is torch.bfloat16 and train.autocast,
        use_cpu=not on_gpu,
        activation_checkpointing=train.gradient_checkpointing is True and train.launch.strategy != "fsdp",
        max_length=None,
        completion_only_loss=False,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_num_workers=0,  # images are read by threads: gmner.training.read_ahead
        dataloader_pin_memory=on_gpu,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[] if train.log_to == "none" else [train.log_to],
        eval_strategy="no",
        save_strategy="no",
        save_total_limit=2,
        log_level="error",
        ddp_find_unused_parameters=False,
        **(fsdp_options(train) if train.launch.strategy == "fsdp" else {}),
    )
    use_one_gpu(config)
    return config


def fsdp_options(train: Any) -> dict[str, Any]:
    """Return the arguments that spread the model's layers over the processes (FSDP2), optimizer state included."""
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": train.gradient_checkpointing is True,
        },
    }
