"""Training the tiny backbone from scratch: first its eyes, then everything.

The vision tower first learns, patch by patch, which thing it looks at and where that thing's edges are; the heads
for that are thrown away. Then the language model learns the exercises of `tasks` by the ordinary language loss. A
dense signal for the eyes first makes grounding a matter of minutes: with the language loss alone it takes hours,
because a box's digits say nothing useful until the right patch is already found.

The exercises get such a signal too: where a reply calls a thing visible or opens a box, a head on the hidden states
of an inner layer must tell which thing is meant. It is thrown away like the heads of the eyes; without
it the model learns the words of an answer long before it learns whose box it is writing.
"""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from gmner.demo.tiny_backbone.exercises import Exercise, Tutor
from gmner.demo.tiny_backbone.model import build_config, build_tiny, save_backbone, train_tokenizer
from gmner.demo.tiny_backbone.scenes_and_heads import CELLS, SCALE, Eyes, Gallery, describe
from gmner.models.qwen_vl.attention import batch_equal_images
from gmner.storage.files import atomic_path, sha256_of_file, write_json

log = logging.getLogger(__name__)

# How often each task comes: copying and seeing first, then finding what was named. A model that cannot yet copy
# learns nothing from the longer exercises.
_FIRST = {
    "list": 1.0, "hold": 0.3, "locate": 1.5, "exists": 1.5, "copy": 5.0, "names": 2.5, "kinds": 2.0, "looks": 1.5,
    "link": 0.5, "find": 1.5, "records": 0.5,
}  # fmt: skip
_LAST = {
    "list": 0.5, "hold": 0.1, "locate": 0.7, "exists": 1.5, "copy": 0.2, "names": 0.2, "kinds": 0.6, "looks": 0.2,
    "link": 2.0, "find": 2.0, "records": 7.0,
}  # fmt: skip
_TURN = (0.25, 0.5)
"""Shares of all steps between which the first mixture becomes the last."""


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """How long and how fast the tiny backbone learns."""

    seed: int = 0
    scenes: int = 12000
    vision_steps: int = 1300
    vision_batch: int = 48
    vision_rate: float = 1.5e-3
    steps: int = 12000
    batch: int = 16
    rate: float = 1.2e-3
    warmup: int = 200
    weight_decay: float = 0.05
    pointing: float = 0.2
    """Weight of the pointer's loss beside the language loss."""
    clip: float = 1.0
    precision: str = "bf16"
    held_out: int = 64
    model: dict[str, int] = field(default_factory=dict)


class Pretrainer:
    """Holds the model, the images and the optimiser; each phase is one method."""

    def __init__(self, settings: PretrainSettings, work_dir: Path) -> None:
        self.settings = settings
        self._state = work_dir / "state.pt"
        self.generator = np.random.default_rng([settings.seed, 11])
        self.gallery = Gallery(np.random.default_rng([settings.seed, 12]), settings.scenes)
        self.held_out = Gallery(np.random.default_rng([settings.seed, 13]), settings.held_out * 8)
        self.tutor = Tutor(self.generator, SCALE)
        texts = Tutor(np.random.default_rng([settings.seed, 14]), SCALE)
        examples = [texts.draw(scene, _LAST) for scene in self.gallery.scenes[:4000]]
        self.tokenizer = train_tokenizer(f"{one.question}\n{one.reply}" for one in examples)
        self.model = build_tiny(build_config(self.tokenizer, **settings.model), settings.seed)
        batch_equal_images(self.model, fused=False)
        self.model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
        self.history: list[dict[str, Any]] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + 2)
            self.pointer = Eyes(self.model.config.text_config.hidden_size)
        self._opening = self._ids_of("[")
        self._saying = self._ids_of("visible")
        self._inner: list[torch.Tensor] = []
        layers = self.model.model.language_model.layers
        layers[len(layers) - 2].register_forward_hook(self._keep)

    def _ids_of(self, word: str) -> torch.Tensor:
        """Return the ids of the tokens that are `word`, with or without a blank before it."""
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        return torch.tensor(sorted({vocabulary[one] for one in (word, f"Ġ{word}") if one in vocabulary}))

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self.model.training:
            self._inner = [output[0] if isinstance(output, tuple) else output]

    def _cast(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bf16")

    def teach_eyes(self) -> None:
        """Train the vision tower on cells."""
        settings = self.settings
        targets = np.stack([self.gallery.cell_targets(index) for index in range(len(self.gallery.scenes))])
        visual = self.model.model.visual
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed + 1)
            eyes = Eyes(self.model.config.text_config.hidden_size)
        parameters = [*visual.parameters(), *eyes.parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=settings.vision_rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True
        )
        started = time.monotonic()
        for step in range(settings.vision_steps):
            _set_rate(optimizer, settings.vision_rate, step, settings.vision_steps, settings.warmup // 2)
            picked = self.generator.integers(len(targets), size=settings.vision_batch)
            pixels, grid = self.gallery.patches(picked)
            with self._cast():
                cells = visual(pixels, grid_thw=grid).pooler_output
                loss, scores = eyes(cells, torch.from_numpy(targets[picked].reshape(-1, 6)))
            self._step(optimizer, loss, parameters)
            if step % 100 == 99 or step + 1 == settings.vision_steps:
                self._report("eyes", step, settings.vision_steps, started, loss=loss.item(), **scores)

    def teach_tasks(self) -> None:
        """Train the whole model on the exercises; resumes from the last checkpoint of this phase."""
        settings = self.settings
        # The eyes learn before they are frozen.
        if not self._state.exists():
            self.teach_eyes()
        visual = self.model.model.visual.requires_grad_(False)
        parameters = [one for one in self.model.parameters() if one.requires_grad] + [*self.pointer.parameters()]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98), fused=True)
        first = self._resume(optimizer)
        self._look(visual)
        started = time.monotonic()
        batches = self._batches(first)
        self.model.train()
        for step in range(first, settings.steps):
            _set_rate(optimizer, settings.rate, step, settings.steps, settings.warmup)
            with self._cast():
                loss, pointing = self._loss(*next(batches))
            self._step(optimizer, loss + settings.pointing * pointing, parameters)
            if step % 100 == 99 or step + 1 == settings.steps:
                values = {"loss": loss.item(), "pointing": pointing.item()}
                self._report("tasks", step, settings.steps, started, done=step + 1 - first, **values)
            if step % 500 == 499 or step + 1 == settings.steps:
                self._report("exact", step, settings.steps, started, done=None, **self.exact())
                self._checkpoint(step + 1, optimizer)

    @torch.no_grad()
    def _look(self, visual: nn.Module) -> None:
        """Keep what the vision tower, which no longer changes, says of every image: (images, 25, width)."""
        parts = []
        for chunk in np.array_split(np.arange(len(self.gallery.scenes)), max(1, len(self.gallery.scenes) // 100)):
            pixels, grid = self.gallery.patches(chunk)
            with self._cast():
                parts.append(visual(pixels, grid_thw=grid).pooler_output.float())
        self.seen = torch.cat(parts).view(len(self.gallery.scenes), CELLS * CELLS, -1)

    def _loss(self, images: np.ndarray, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the language loss of a batch, as of the model's own forward, and the pointer's loss.

        The vision tower's features are the kept ones.
        """
        model, ids = self.model, batch["input_ids"]
        embeds = model.get_input_embeddings()(ids)
        where = batch["mm_token_type_ids"].bool()
        features = self.seen[torch.from_numpy(images)].reshape(-1, embeds.shape[-1])
        embeds = embeds.masked_scatter(where.unsqueeze(-1), features.to(embeds.dtype))
        grid = torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).expand(len(ids), 3)
        positions, _ = model.model.get_rope_index(
            ids, batch["mm_token_type_ids"], image_grid_thw=grid, attention_mask=batch["attention_mask"]
        )
        hidden = model.model.language_model(
            inputs_embeds=embeds, position_ids=positions, attention_mask=batch["attention_mask"], use_cache=False
        ).last_hidden_state
        labels = batch["labels"][:, 1:]
        asked = labels != -100
        loss = cross_entropy(model.lm_head(hidden[:, :-1][asked]).float(), labels[asked])
        if not batch["pointed"].any():
            return loss, torch.zeros(())
        pointing, _ = self.pointer(self._inner[0][batch["pointed"]], batch["things"])
        return loss, pointing

    def _shares(self, step: int) -> dict[str, float]:
        part = float(np.clip((step / self.settings.steps - _TURN[0]) / (_TURN[1] - _TURN[0]), 0.0, 1.0))
        return {name: (1 - part) * _FIRST[name] + part * _LAST[name] for name in _FIRST}

    def _batches(self, first: int) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        size = self.settings.batch
        step = first
        while True:
            # Each group of batches has a generator of its own, so that a resumed run draws what it would have drawn.
            self.tutor.generator = np.random.default_rng([self.settings.seed, 15, step])
            picked = self.tutor.generator.integers(len(self.gallery.scenes), size=size * 4)
            shares = self._shares(step)
            drawn = [(int(index), self.tutor.draw(self.gallery.scenes[index], shares)) for index in picked]
            drawn.sort(key=lambda pair: len(pair[1].question) + len(pair[1].reply))
            for number in self.tutor.generator.permutation(4):
                group = drawn[number * size : (number + 1) * size]
                yield np.array([index for index, _ in group]), self.encode([one for _, one in group])
            step += 4

    def encode(self, exercises: list[Exercise]) -> dict[str, torch.Tensor]:
        """Return the model's inputs without pixels, padded on the right, with labels on the replies alone."""
        tokenizer, rows = self.tokenizer, []
        image = "<|vision_start|>" + "<|image_pad|>" * (CELLS * CELLS) + "<|vision_end|>"
        heads = [f"<|im_start|>user\n{image}{one.question}<|im_end|>\n<|im_start|>assistant\n" for one in exercises]
        tails = [f"{one.reply}<|im_end|>" for one in exercises]
        asked = tokenizer(heads, add_special_tokens=False)["input_ids"]
        told = tokenizer(tails, add_special_tokens=False)["input_ids"]
        rows = [(ask + tell, len(ask)) for ask, tell in zip(asked, told, strict=True)]
        longest = -(-max(len(ids) for ids, _ in rows) // 8) * 8
        ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
        labels = torch.full((len(rows), longest), -100)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for number, (row, start) in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            labels[number, start : len(row)] = torch.tensor(row[start:])
            mask[number, : len(row)] = 1
        pointed, things = self._pointed(exercises, labels)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "pointed": pointed,
            "things": things,
            "mm_token_type_ids": (ids == self.model.config.image_token_id).long(),
        }

    def _pointed(self, exercises: list[Exercise], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where a reply means a thing, a boolean of the labels' shape, and (marks, 6) targets, in order."""
        pointed = torch.zeros_like(labels, dtype=torch.bool)
        things = []
        for number, one in enumerate(exercises):
            marks = []
            for wanted, meant in ((self._opening, one.boxed), (self._saying, one.said)):
                places = torch.isin(labels[number], wanted).nonzero().flatten().tolist()
                if meant and len(places) != len(meant):
                    raise ValueError(f"{one.task}: {len(meant)} things for {len(places)} marks in '{one.reply}'")
                marks += list(zip(places, meant, strict=False))
            for place, thing in sorted(marks, key=lambda mark: mark[0]):
                pointed[number, place] = True
                things.append(describe(thing))
        return pointed, torch.tensor(things, dtype=torch.long).reshape(-1, 6)

    @torch.no_grad()
    def exact(self) -> dict[str, float]:
        """Return, a task, the share of held-out replies whose every token is the likeliest given those before."""
        self.model.eval()
        scores = {}
        tutor = Tutor(np.random.default_rng([self.settings.seed, 16]), SCALE)
        for task in tutor.tasks:
            picked = tutor.generator.choice(len(self.held_out.scenes), self.settings.held_out, replace=False)
            batch = self.encode([tutor.tasks[task](self.held_out.scenes[number]) for number in picked])
            pixels, grid = self.held_out.patches(picked)
            del batch["pointed"], batch["things"]
            labels = batch.pop("labels")[:, 1:]
            with self._cast():
                found = self.model(**batch, pixel_values=pixels, image_grid_thw=grid).logits[:, :-1].argmax(-1)
            # Digits are left out: a box one pixel off is as good.
            digits = torch.tensor(self.tokenizer.convert_tokens_to_ids(list("0123456789")))
            scored = (labels != -100) & ~torch.isin(labels, digits)
            scores[task] = ((found == labels) | ~scored).all(dim=1).float().mean().item()
        self.model.train()
        return scores

    def _step(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor, parameters: list[nn.Parameter]) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()}; lower the learning rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        optimizer.step()

    def _report(
        self, phase: str, step: int, steps: int, started: float, done: int | None = None, **values: float
    ) -> None:
        seconds = time.monotonic() - started
        pace = seconds / (done or step + 1)
        shown = " ".join(f"{name} {value:.3f}" for name, value in values.items())
        log.info(
            "%s %d/%d  %s  (%.2f s a step, %.0f min left)",
            phase,
            step + 1,
            steps,
            shown,
            pace,
            pace * (steps - step - 1) / 60,
        )
        self.history.append(
            {"phase": phase, "step": step + 1, **{name: round(value, 4) for name, value in values.items()}}
        )

    def _checkpoint(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "pointer": self.pointer.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        with atomic_path(self._state) as temporary:
            torch.save({**state, "history": self.history}, temporary)

    def _resume(self, optimizer: torch.optim.Optimizer) -> int:
        if not self._state.exists():
            self._checkpoint(0, optimizer)
            return 0
        state = torch.load(self._state, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.pointer.load_state_dict(state["pointer"])
        optimizer.load_state_dict(state["optimizer"])
        self.history = state["history"]
        return int(state["step"])


def _set_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int, warmup: int) -> None:
    if step < warmup:
        rate = peak * (step + 1) / warmup
    else:
        rate = peak * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * (step - warmup) / max(1, steps - warmup))))
    for group in optimizer.param_groups:
        group["lr"] = float(rate)


def pretrain(settings: PretrainSettings, work_dir: Path, out_dir: Path, fingerprint: str, command: str) -> None:
    """Train the tiny backbone and save it in `out_dir` with a manifest; a killed run goes on from `work_dir`."""
    started = time.monotonic()
    trainer = Pretrainer(settings, work_dir)
    trainer.teach_tasks()
    save_backbone(out_dir, trainer.model.eval(), trainer.tokenizer)
    files = sorted(path.name for path in out_dir.iterdir() if path.name != "manifest.json")
    write_json(
        out_dir / "manifest.json",
        {
            "id": "gmner/tiny",
            "revision": fingerprint[:16],
            "command": command,
            "seed": settings.seed,
            "settings": asdict(settings),
            "code": fingerprint,
            "minutes": round((time.monotonic() - started) / 60, 1),
            "threads": torch.get_num_threads(),
            "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
            "scores": {name: value for name, value in trainer.history[-1].items() if name not in ("phase", "step")},
            "curve": trainer.history,
            "files": {name: {"sha256": sha256_of_file(out_dir / name)} for name in files},
        },
    )


def read_curve(out_dir: Path) -> list[dict[str, Any]]:
    """Return the training curve of a saved backbone."""
    return list(json.loads((out_dir / "manifest.json").read_text(encoding="utf-8"))["curve"])
