"""Where the answers of one model lie, and holding that place alone."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from gmner.storage.files import remove_half_written, sha256_of_json
from gmner.storage.locks import held


def store_folder(store: Path | str, provider: str, model: str) -> Path:
    """Return the folder of one model of one provider; different models never share one."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-.")[-60:] or "model"
    if readable != model:
        readable += f"-{sha256_of_json(model)[:8]}"
    return Path(store) / f"{provider}--{readable}"


@contextlib.contextmanager
def lock_of(folder: Path) -> Iterator[None]:
    """Hold a store's folder alone; what a killed owner left half-written in it is removed."""
    with held(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_half_written(folder)
        yield
