"""Where a model's folder keeps its chat template."""

import json
from pathlib import Path

from gmner.errors import DataError


def chat_template_of(folder: Path) -> tuple[str, Path]:
    """Return the chat template of a folder and its file, looked for in the order in which transformers looks.

    The hub's Qwen2.5-VL has one for images in chat_template.json alone, and a text-only one in its tokenizer's file.
    Raises DataError if there is none.
    """
    jinja, legacy = folder / "chat_template.jinja", folder / "chat_template.json"
    if jinja.exists():
        return jinja.read_text(encoding="utf-8"), jinja
    source = legacy if legacy.exists() else folder / "tokenizer_config.json"
    found = None
    if source.exists():
        try:
            found = json.loads(source.read_text(encoding="utf-8")).get("chat_template")
        except (ValueError, AttributeError) as error:
            raise DataError(f"{source}: no JSON with a 'chat_template' ({error!r}); fetch the model again") from error
    if isinstance(found, list):  # several, each with its name
        found = {entry.get("name"): entry.get("template") for entry in found}
    found = found.get("default") if isinstance(found, dict) else found
    if isinstance(found, str) and found:
        return found, source
    if source == legacy:
        raise DataError(f"{legacy}: no JSON with a 'chat_template'; fetch the model again")
    raise DataError(
        f"{folder}: no chat template in chat_template.jinja, chat_template.json or tokenizer_config.json; use an "
        "instruction-tuned model, or add the template of its family as chat_template.jinja"
    )
