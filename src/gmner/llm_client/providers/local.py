"""A transformers model in this process: Qwen2.5-VL on one GPU, or the tiny backbone on CPU, in batches."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import GenerationConfig

from gmner.config.teachers import LocalTeacher
from gmner.core.frame import Frame
from gmner.llm_client.types import Answer, Message, Request, Usage
from gmner.models.families import seam_of_folder
from gmner.models.loading import device_of, dtype_of, load_backbone, set_threads
from gmner.models.plain_text import PlainText
from gmner.storage.images import open_image

_LEAST_PIXELS = 56 * 56
_GATHER_S = 0.05
_INSTRUCTED = ("<think>", "</think>", "<answer>", "</answer>")  # tags that a prompt names; they steer no chat


class LocalProvider:
    """Answers with a model that it loads once; questions that wait together are answered together."""

    def __init__(self, settings: LocalTeacher) -> None:
        self._settings = settings
        set_threads()
        device = device_of()
        side = settings.image.max_side if settings.image else 28
        frame = Frame("absolute", min(_LEAST_PIXELS, side * side), side * side)
        self._processor = seam_of_folder(settings.model).load_processor(settings.model, frame)
        self._processor.tokenizer.padding_side = "left"
        self._plain = PlainText(self._processor.tokenizer)
        self._model = load_backbone(settings.model, dtype_of("auto", device), device)
        self._ends = self._ends_of_answers()
        self._model.generation_config = self._decoding()  # one passed to `generate` would be filled up from the hub's
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Answer:
        """Answer one question, together with others that wait."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        """Let go of the model."""
        self._model = None

    async def _work(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._settings.batch_size:
                await asyncio.sleep(_GATHER_S)
            group = self._waiting[: self._settings.batch_size]
            del self._waiting[: len(group)]
            try:
                answers = await asyncio.to_thread(self._generate, [request.messages for request, _ in group])
            except Exception as error:  # each question of the group must hear of it
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    @torch.inference_mode()
    def _generate(self, conversations: Sequence[Sequence[Message]]) -> list[Answer]:
        texts = [
            self._processor.apply_chat_template(
                [self._turn_of(message) for message in messages], tokenize=False, add_generation_prompt=True
            )
            for messages in conversations
        ]
        images = [
            [open_image(image.path, image.size_wh) for message in messages for image in message.images]
            for messages in conversations
        ]
        inputs: dict[str, Any] = self._processor(
            text=texts,
            images=images if any(images) else None,
            padding=True,
            return_tensors="pt",
            text_kwargs={"return_mm_token_type_ids": True},
        ).to(self._model.device)
        written = self._model.generate(**inputs)
        length = inputs["input_ids"].shape[1]
        prompts = inputs["attention_mask"].sum(dim=1).tolist()
        return [self._answer_of(ids, prompt) for ids, prompt in zip(written[:, length:].tolist(), prompts, strict=True)]

    def _decoding(self) -> GenerationConfig:
        """Return how answers are decoded: as the settings say, and nothing of the hub's own defaults.

        Qwen2.5-VL's `generation_config.json` samples with a repetition penalty of 1.05, which would make a 'greedy'
        teacher avoid the words that it has to repeat.
        """
        settings, tokenizer = self._settings, self._processor.tokenizer
        sampling = {"do_sample": True, "temperature": settings.temperature} if settings.temperature else {}
        return GenerationConfig(
            max_new_tokens=settings.written_at_most,
            eos_token_id=sorted(self._ends),
            pad_token_id=tokenizer.pad_token_id,
            **sampling,
        )

    def _ends_of_answers(self) -> set[int]:
        """Return the tokens that end an answer: the model's and the tokenizer's."""
        kept = self._model.generation_config.eos_token_id
        ends = [] if kept is None else kept if isinstance(kept, list) else [kept]
        return {*ends, self._processor.tokenizer.eos_token_id}

    def _answer_of(self, ids: list[int], prompt_tokens: int) -> Answer:
        tokenizer, ends = self._processor.tokenizer, self._ends
        place = next((index for index, number in enumerate(ids) if number in ends), None)
        kept = ids if place is None else ids[:place]
        reason: Literal["stop", "length"] = "length" if place is None else "stop"
        text = tokenizer.decode(kept, skip_special_tokens=False)
        return Answer(text.strip(), reason, Usage(int(prompt_tokens), len(kept)), raw={"tokens": len(kept)})

    def _turn_of(self, message: Message) -> dict[str, Any]:
        # A tweet that spells a control token must neither end the turn nor claim an image.
        text = self._plain.neutralise(message.text, _INSTRUCTED)
        images = [{"type": "image"} for _ in message.images]
        return {"role": message.role, "content": [*images, {"type": "text", "text": text}]}
