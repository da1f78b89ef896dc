"""Batches, training and decoding the authors' way: two samples at a time, every image processed twice a batch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

IGNORED = -100
Batch = dict[str, torch.Tensor]


def opened(path: str) -> Image.Image:
    """Return an image as RGB."""
    with Image.open(path) as stored:
        return stored.convert("RGB")


def processed(processor: Any, texts: Sequence[str], paths: Sequence[str]) -> tuple[list[list[int]], Batch]:
    """Open and process the images, put their tokens into the texts, and tokenise; return ids and image tensors."""
    made = processor.image_processor(images=[opened(path) for path in paths], return_tensors="pt")
    merged = processor.image_processor.merge_size**2
    filled = [
        text.replace("<|image_pad|>", "<|image_pad|>" * int(grid.prod() // merged), 1)
        for text, grid in zip(texts, made["image_grid_thw"], strict=True)
    ]
    return processor.tokenizer(filled)["input_ids"], dict(made)


def collate(
    processor: Any, prompts: Sequence[str], completions: Sequence[str], paths: Sequence[str], max_length: int
) -> Batch:
    """Return a batch padded to its longest row, cut at `max_length`, as the release does; two calls on the images."""
    tokenizer = processor.tokenizer
    texts = [f"{prompt}{answer}{tokenizer.eos_token}" for prompt, answer in zip(prompts, completions, strict=True)]
    rows, images = processed(processor, texts, paths)
    asked, _ = processed(processor, prompts, paths)
    rows = [row[:max_length] for row in rows]
    ids = torch.full((len(rows), max(map(len, rows))), tokenizer.pad_token_id)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for number, (row, prompt) in enumerate(zip(rows, asked, strict=True)):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
        labels[number, len(prompt) : len(row)] = torch.tensor(row[len(prompt) :])
    image_token = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    types = (ids == image_token).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "mm_token_type_ids": types, **images}


def train(model: Any, batches: Any, rows_of_update: Sequence[Sequence[Any]], settings: Any) -> list[float]:
    """Train in batches of two, an update after every eight of them; return each update's loss.

    `batches` makes a batch of two rows. Losses are weighed by tokens over the update, as ours are.
    """
    from transformers import get_scheduler

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = len(rows_of_update)
    warmup = math.ceil(settings.warmup_ratio * steps)
    schedule = get_scheduler(settings.scheduler, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    losses = []
    model.train()
    for rows in rows_of_update:
        pairs = [batches(rows[start : start + 2]) for start in range(0, len(rows), 2)]
        tokens = sum(int((pair["labels"][:, 1:] != IGNORED).sum()) for pair in pairs)
        total = 0.0
        for pair in pairs:
            labels = pair.pop("labels")[:, 1:]
            scores = model(**pair, use_cache=False).logits[:, :-1].float()
            loss = torch.nn.functional.cross_entropy(
                scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
            )
            (loss / tokens).backward()
            total += loss.item() / tokens
        torch.nn.utils.clip_grad_norm_(weights, settings.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses


@torch.no_grad()
def decode(model: Any, processor: Any, prompts: Sequence[str], paths: Sequence[str], max_new_tokens: int) -> list[str]:
    """Answer two samples a call with transformers' `generate`, up to the end of the turn; images processed twice."""
    tokenizer = processor.tokenizer
    image_token = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    texts: list[str] = []
    for start in range(0, len(prompts), 2):
        part = slice(start, start + 2)
        rows, images = processed(processor, prompts[part], paths[part])
        processed(processor, prompts[part], paths[part])
        longest = max(len(row) for row in rows)
        padded = np.array([[tokenizer.pad_token_id] * (longest - len(row)) + row for row in rows])
        ids = torch.from_numpy(padded)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        written = model.generate(
            input_ids=ids,
            attention_mask=mask,
            mm_token_type_ids=(ids == image_token).long(),
            **images,
            max_new_tokens=max_new_tokens,
            do_sample=False,
        )[:, longest:]
        texts += [text.split(tokenizer.eos_token)[0] for text in tokenizer.batch_decode(written)]
    return texts
