"""Training the tiny backbone from scratch: first its eyes, then everything.

The vision tower first learns, patch by patch, which thing it looks at and where that thing's edges are; the heads
for that are thrown away. Then the language model learns the exercises of `tasks` by the ordinary language loss. A
dense signal for the eyes first makes grounding a matter of minutes: with the language loss alone it takes hours,
because a box's digits say nothing useful until the right patch is already found.
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
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

from gmner.backbones.attention import batch_equal_pictures
from gmner.backbones.tasks import Exercise, Tutor
from gmner.backbones.tiny import build_config, build_tiny, save_backbone, train_tokenizer
from gmner.datasets.scenes import COLOURS, PICTURE_SIDE, SHAPES, Scene, draw_scene_plan, paint
from gmner.files import atomic_path, sha256_of_file, write_json

log = logging.getLogger(__name__)

MODEL_SIDE = 140
"""Width and height of a drawn picture in the model's frame, in pixels."""
CELL = 28
CELLS = MODEL_SIDE // CELL
SCALE = MODEL_SIDE / PICTURE_SIDE
_BIN = 4
_BINS = MODEL_SIDE // _BIN + 1
# How often each task comes: copying and seeing first, then finding what was named. A model that cannot yet copy
# learns nothing from the longer exercises.
_FIRST = {
    "list": 1.0, "hold": 0.5, "locate": 1.5, "exists": 1.5, "copy": 5.0, "names": 3.0, "kinds": 1.0, "looks": 1.5,
    "link": 0.5, "find": 0.5, "records": 0.5,
}  # fmt: skip
_LAST = {
    "list": 1.0, "hold": 0.1, "locate": 0.7, "exists": 3.0, "copy": 0.2, "names": 0.2, "kinds": 0.3, "looks": 0.2,
    "link": 3.0, "find": 2.0, "records": 5.5,
}  # fmt: skip
_TURN = (0.4, 0.65)
"""Shares of all steps between which the first mixture becomes the last."""


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """How long and how fast the tiny backbone learns."""

    seed: int = 0
    scenes: int = 12000
    vision_steps: int = 1300
    vision_batch: int = 48
    vision_rate: float = 1.5e-3
    steps: int = 10500
    batch: int = 16
    rate: float = 1.2e-3
    warmup: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    precision: str = "bf16"
    held_out: int = 64
    model: dict[str, int] = field(default_factory=dict)


class Gallery:
    """A pool of drawn scenes with their patches, made once and asked about many times."""

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        self.scenes: list[Scene] = [draw_scene_plan(generator) for _ in range(count)]
        self.pixels = np.stack(
            [
                np.asarray(paint(scene).resize((MODEL_SIDE, MODEL_SIDE), Image.Resampling.BICUBIC))
                for scene in self.scenes
            ]
        )
        mean = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
        deviation = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
        self._scale = torch.from_numpy(1 / (255 * deviation)).view(1, 3, 1, 1)
        self._shift = torch.from_numpy(-mean / deviation).view(1, 3, 1, 1)

    def patches(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (pictures * 100, 1176) patches in Qwen2-VL's order, and the grids (pictures, 3)."""
        images = torch.from_numpy(self.pixels[indices]).permute(0, 3, 1, 2).float() * self._scale + self._shift
        count = len(indices)
        blocks = images.reshape(count, 3, CELLS, 2, 14, CELLS, 2, 14).permute(0, 2, 5, 3, 6, 1, 4, 7)
        blocks = blocks.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
        grid = torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).expand(count, 3)
        return blocks.reshape(count * 4 * CELLS * CELLS, -1), grid

    def cell_targets(self, index: int) -> np.ndarray:
        """Return (25, 6) integers a cell: shape, colour, and the four edges' bins; shape 0 is background."""
        targets = np.zeros((CELLS * CELLS, 6), dtype=np.int64)
        edges = np.arange(CELLS) * CELL
        best = np.zeros((CELLS, CELLS))
        for thing in self.scenes[index].things:
            x1, y1, x2, y2 = (value * SCALE for value in thing.box)
            across = np.clip(np.minimum(x2, edges + CELL) - np.maximum(x1, edges), 0, None)
            down = np.clip(np.minimum(y2, edges + CELL) - np.maximum(y1, edges), 0, None)
            area = down[:, None] * across[None, :]
            mine = (area > best) & (area > 0.08 * CELL * CELL)
            best = np.where(mine, area, best)
            row = [SHAPES.index(thing.shape) + 1, list(COLOURS).index(thing.colour)]
            row += [round(value / _BIN) for value in (x1, y1, x2, y2)]
            targets[mine.reshape(-1)] = row
        return targets


class Eyes(nn.Module):
    """The heads that teach the vision tower; they are not kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.parts = (len(SHAPES) + 1, len(COLOURS), *([_BINS] * 4))
        self.head = nn.Linear(width, sum(self.parts))

    def forward(self, cells: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of (cells, width) features against (cells, 6) targets, and accuracies."""
        logits = self.head(cells).float().split(self.parts, dim=-1)
        thing = targets[:, 0] > 0
        loss = cross_entropy(logits[0], targets[:, 0])
        for number in range(1, 6):
            weight = 1.0 if number == 1 else 0.5
            loss = loss + weight * cross_entropy(logits[number][thing], targets[thing, number])
        with torch.no_grad():
            hits = [(part.argmax(-1) == targets[:, n])[thing] for n, part in enumerate(logits)]
            near = [((part.argmax(-1) - targets[:, n]).abs() <= 1)[thing] for n, part in enumerate(logits)][2:]
            scores = {
                "shape": hits[0].float().mean().item(),
                "colour": hits[1].float().mean().item(),
                "edges": torch.stack(near).float().mean().item(),
            }
        return loss, scores


class Pretrainer:
    """Holds the model, the pictures and the optimiser; each phase is one method."""

    def __init__(self, settings: PretrainSettings, work_dir: Path) -> None:
        self.settings = settings
        self.work_dir = work_dir
        self.generator = np.random.default_rng([settings.seed, 11])
        self.gallery = Gallery(np.random.default_rng([settings.seed, 12]), settings.scenes)
        self.held_out = Gallery(np.random.default_rng([settings.seed, 13]), settings.held_out * 8)
        self.tutor = Tutor(self.generator, SCALE)
        texts = Tutor(np.random.default_rng([settings.seed, 14]), SCALE)
        examples = [texts.draw(scene, _LAST) for scene in self.gallery.scenes[:4000]]
        self.tokenizer = train_tokenizer(f"{one.question}\n{one.reply}" for one in examples)
        self.model = build_tiny(build_config(self.tokenizer, **settings.model), settings.seed)
        batch_equal_pictures(self.model, fused=False)
        self.model.set_attn_implementation({"text_config": "eager", "vision_config": "sdpa"})
        self.history: list[dict[str, Any]] = []

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
        optimizer = torch.optim.AdamW(parameters, lr=settings.vision_rate, weight_decay=0.01, betas=(0.9, 0.98))
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
        visual = self.model.model.visual.requires_grad_(False)
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98))
        first = self._resume(optimizer)
        self._look(visual)
        started = time.monotonic()
        batches = self._batches(first)
        self.model.train()
        for step in range(first, settings.steps):
            _set_rate(optimizer, settings.rate, step, settings.steps, settings.warmup)
            with self._cast():
                loss = self._loss(*next(batches))
            self._step(optimizer, loss, parameters)
            if step % 100 == 99 or step + 1 == settings.steps:
                self._report("tasks", step, settings.steps, started, done=step + 1 - first, loss=loss.item())
            if step % 500 == 499 or step + 1 == settings.steps:
                self._report("exact", step, settings.steps, started, done=None, **self.exact())
                self._checkpoint(step + 1, optimizer)

    @torch.no_grad()
    def _look(self, visual: nn.Module) -> None:
        """Keep what the vision tower, which no longer changes, says of every picture: (pictures, 25, width)."""
        parts = []
        for chunk in np.array_split(np.arange(len(self.gallery.scenes)), max(1, len(self.gallery.scenes) // 100)):
            pixels, grid = self.gallery.patches(chunk)
            with self._cast():
                parts.append(visual(pixels, grid_thw=grid).pooler_output.float())
        self.seen = torch.cat(parts).view(len(self.gallery.scenes), CELLS * CELLS, -1)

    def _loss(self, pictures: np.ndarray, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the language loss of a batch; the same as the model's own forward, from kept visual features."""
        model, ids = self.model, batch["input_ids"]
        embeds = model.get_input_embeddings()(ids)
        where = batch["mm_token_type_ids"].bool()
        features = self.seen[torch.from_numpy(pictures)].reshape(-1, embeds.shape[-1])
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
        return cross_entropy(model.lm_head(hidden[:, :-1][asked]).float(), labels[asked])

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
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "mm_token_type_ids": (ids == self.model.config.image_token_id).long(),
        }

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
        state = {"step": step, "model": self.model.state_dict(), "optimizer": optimizer.state_dict()}
        with atomic_path(self.work_dir / "state.pt") as temporary:
            torch.save({**state, "history": self.history}, temporary)

    def _resume(self, optimizer: torch.optim.Optimizer) -> int:
        place = self.work_dir / "state.pt"
        if not place.exists():
            self.teach_eyes()
            self._checkpoint(0, optimizer)
            return 0
        state = torch.load(place, weights_only=True)
        self.model.load_state_dict(state["model"])
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
