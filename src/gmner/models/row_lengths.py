"""How many tokens a row has, by a backbone's tokenizer alone: no torch, no transformers.

The same numbers as the encoder's ids have; a test compares the two.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.models.chat_template import chat_template_of
from gmner.models.plain_text import PlainText
from gmner.prompts.model import build_messages

_GRAMMAR_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_BEGUN_REASONING = re.compile(r"<think>\s*(?:</think>\s*)?\Z")
_PLACE = "\ue000\ue001"  # stands for the tweet while the chat around it is made; private use, in no template
Lengths = NDArray[np.int64]


class RowLengths:
    """Counts the tokens of prompts and completions for one backbone's folder and one way of asking."""

    def __init__(self, folder: Path, version: str, types: Sequence[str], cot: bool, frame: Frame, factor: int) -> None:
        path = folder / "tokenizer.json"
        if not path.exists():
            raise DataError(f"{path}: missing; expected a backbone's folder: run the backbone stage again")
        tokenizer = Tokenizer.from_file(str(path))
        self._plain = PlainText(SimpleNamespace(backend_tokenizer=tokenizer))
        self._frame, self._factor = frame, factor
        chat = self._render(folder, build_messages(version, types, _PLACE, cot, frame.coordinates))
        if chat.count(_PLACE) != 1:
            raise DataError(f"{folder}: its chat template writes the text {chat.count(_PLACE)} times, expected once")
        head, tail = _BEGUN_REASONING.sub("", chat).split(_PLACE)
        known = self._plain.pattern()
        tokens = [] if known is None else list(known.finditer(head))
        start = tokens[-1].end() if tokens else 0
        following = None if known is None else known.search(tail)
        end = len(tail) if following is None else following.start()
        around = self._plain.encode([head[:start], tail[end:]], self._plain.added)
        self._before, self._after = head[start:], tail[:end]
        self._fixed = len(around[0]) + len(around[1])

    def prompts(self, samples: Sequence[Sample]) -> Lengths:
        """Return the tokens of each sample's prompt, those of its image included, (N,)."""
        bodies = self._plain.encode([f"{self._before}{sample.text}{self._after}" for sample in samples])
        visual = [self._visual_tokens(sample) for sample in samples]
        counted = [self._fixed + len(ids) + more - 1 for ids, more in zip(bodies, visual, strict=True)]
        return np.array(counted, dtype=np.int64)

    def completions(self, texts: Sequence[str]) -> Lengths:
        """Return the tokens of each completion and the end of the turn, (N,)."""
        return np.array([len(ids) + 1 for ids in self._plain.encode(texts, _GRAMMAR_TAGS)], dtype=np.int64)

    def _visual_tokens(self, sample: Sample) -> int:
        width, height = self._frame.model_size(sample.size_wh)
        return (int(width) // self._factor) * (int(height) // self._factor)

    def _render(self, folder: Path, messages: list[dict[str, Any]]) -> str:
        def raise_exception(message: str) -> NoReturn:
            raise TemplateError(message)

        template, source = chat_template_of(folder)
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        environment.globals["raise_exception"] = raise_exception
        try:
            return environment.from_string(template).render(messages=messages, add_generation_prompt=True)
        except Exception as error:  # a template is a program of others and may fail in any way
            raise DataError(
                f"{source}: this chat template fails on a message with an image ({type(error).__name__}: {error}); put "
                "the model's own template for images beside it as chat_template.jinja"
            ) from error
