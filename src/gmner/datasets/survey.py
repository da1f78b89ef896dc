"""A look at a user's folder before there is a configuration for it: which splits it has, and which types."""

import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gmner.datasets.annotated import SPLITS
from gmner.datasets.conll import read_conll, spans_of
from gmner.errors import MissingInputError
from gmner.storage.files import read_text

RESULT_NEUTRAL = True  # for a configuration that is not there yet


@dataclass(frozen=True, slots=True)
class Survey:
    """Splits in their order; types, the most frequent first; `fine`: tagged tweets have a third column."""

    splits: tuple[str, ...]
    types: tuple[str, ...]
    fine: bool


def survey(folder: Path) -> Survey:
    """Look at a folder; malformed JSON lines are for the samples stage. Raises MissingInputError without a split."""
    splits: list[str] = []
    types: Counter[str] = Counter()
    fine = False
    for split in SPLITS:
        tagged, lines = folder / f"{split}.txt", folder / f"{split}.jsonl"
        if tagged.is_file():
            columns = max(line.count("\t") for line in read_text(tagged, "tagged tweets").split("\n"))
            fine = fine or columns > 1
            for tweet in read_conll(tagged, max(columns, 1)):
                types.update(span.type for span in spans_of(tweet.tags[-1]))
        elif lines.is_file():
            for line in read_text(lines, "JSON lines").split("\n"):
                with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
                    types.update(str(one["type"]) for one in json.loads(line).get("entities", ()) if "type" in one)
        else:
            continue
        splits.append(split)
    if not splits:
        names = ", ".join(f"{split}.jsonl or {split}.txt" for split in SPLITS)
        raise MissingInputError(f"{folder}: no annotations; expected {names} (docs/own-data.md)")
    return Survey(tuple(splits), tuple(name for name, _ in types.most_common()), fine)
