"""Who can be asked: each provider's settings and, by a path that is imported when it is needed, its class."""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gmner.config.base import Settings
from gmner.config.teachers import AnthropicTeacher, LocalTeacher, OpenAITeacher, PromptedTeacher
from gmner.llm_client.errors import read_secret
from gmner.llm_client.types import Provider

RESULT_NEUTRAL = False  # decides what is sent and how the answer is read


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider: the class of its settings, and where its class is (`module:Class`).

    The class is given its settings, and the key if the settings have a `key_variable`.
    """

    settings: type[Settings]
    implementation: str


PROVIDERS: dict[str, ProviderEntry] = {
    "openai": ProviderEntry(OpenAITeacher, "gmner.llm_client.providers.openai:OpenAIProvider"),
    "anthropic": ProviderEntry(AnthropicTeacher, "gmner.llm_client.providers.anthropic:AnthropicProvider"),
    "local": ProviderEntry(LocalTeacher, "gmner.llm_client.providers.local:LocalProvider"),
}


def make_provider(teacher: PromptedTeacher) -> Provider:
    """Return the provider of a teacher; its SDK is imported now and not before. Raises ConfigError without its key."""
    for noisy in ("httpx", "httpx2", "openai", "anthropic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    module, _, name = PROVIDERS[teacher.provider].implementation.partition(":")
    make: Callable[..., Any] = getattr(importlib.import_module(module), name)
    variable = getattr(teacher, "key_variable", None)
    if variable is None:
        return make(teacher)
    return make(teacher, read_secret(variable, needed=teacher.key_needed))
