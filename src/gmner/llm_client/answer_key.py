"""The key of an answer: a hash of all that decides what is answered."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.config.teachers import LocalTeacher, PromptedTeacher
from gmner.llm_client.types import Message
from gmner.storage.files import sha256_of_file, sha256_of_json

RESULT_NEUTRAL = False  # decides what is asked


def answer_key(
    *,
    provider: str,
    model: str,
    parameters: Mapping[str, Any],
    prompt_version: str,
    content: Mapping[str, Any],
) -> str:
    """Return the key of an answer: the hash of who is asked, how, by which prompt, and of what.

    `content` holds the conversation's text and, for each image, the hash of its file's bytes.
    """
    return sha256_of_json(
        {
            "provider": provider,
            "model": model,
            "parameters": dict(parameters),
            "prompt_version": prompt_version,
            "content": dict(content),
        }
    )


def key_of(settings: PromptedTeacher, prompt_version: str, messages: Sequence[Message]) -> str:
    """Return the key of a conversation: of its texts, its images' bytes, and how it is asked."""
    parameters: dict[str, Any] = dict(settings.answer_parameters)
    if isinstance(settings, LocalTeacher):
        parameters["manifest"] = _manifest_of(settings.model)
    content = [
        [message.role, message.text, [[image.sha256, *_way_of(image.sent)] for image in message.images]]
        for message in messages
    ]
    return answer_key(
        provider=settings.provider,
        model=settings.model,
        parameters=parameters,
        prompt_version=prompt_version,
        content={"messages": content},
    )


@functools.cache
def _manifest_of(folder: str) -> str | None:
    """Return the digest of a backbone's manifest: another model in the same folder is another teacher."""
    path = Path(folder) / "manifest.json"
    return sha256_of_file(path) if path.exists() else None


def _way_of(sent: Any) -> list[Any]:
    return [sent.max_side, sent.format, *([sent.quality] if sent.format == "jpeg" else [])]
