"""The one reader of what providers send: JSON that may be anything, read as one of a few models or called unusable.

A server may be wrong in every way: types, sizes, nesting, missing and double keys. Whatever it sends, reading it gives
a value of the model or raises `UnusableError` with the reason; nothing else.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gmner.llm_client.types import Usage

MOST_DEEP = 64
_LONGEST_NUMBER = 18  # digits; what is longer fits no 64 bits
Model = TypeVar("Model", bound="Body")


class UnusableError(Exception):
    """What came cannot be used; the text says why."""


class Body(BaseModel):
    """A part of a provider's body: keys that it must have, in their types; what else there is does not matter."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def json_of(data: bytes | str) -> Any:
    """Return a JSON value. A number that no count can be (NaN, Infinity, 10**20) becomes its text."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=str, parse_int=_whole, parse_float=_finite)
    except RecursionError:
        raise UnusableError(f"it is nested more than {MOST_DEEP} deep") from None
    except (ValueError, MemoryError) as error:
        raise UnusableError(f"it is not JSON ({type(error).__name__})") from None
    _check_depth(value)
    return value


def read_body(model: type[Model], value: Any) -> Model:
    """Return a value read as `model`. Raises UnusableError naming the first key that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnusableError(f"{place or 'it'}: {first['msg']}"[:200]) from None
    except RecursionError:
        raise UnusableError("it is nested too deep") from None


def lines_of(data: bytes) -> Iterator[Any | UnusableError]:
    """Yield the JSON value of each line, or why it is unusable. Only a newline ends a line: a text may hold U+2028."""
    for line in data.split(b"\n"):
        if line.strip():
            try:
                yield json_of(line)
            except UnusableError as error:
                yield error


def count_of(value: object) -> int | None:
    """Return a count of tokens or questions, or None if the value is none; a bool is no number."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def usage_of(
    value: object, *, tokens_in: str, tokens_out: str, cached: str = "", beside: Mapping[str, str] | None = None
) -> Usage:
    """Return the usage in a body, all zero if any of its counts is unusable.

    `tokens_in` and `tokens_out` name its counts; `cached`, a path with dots, those of `tokens_in` that were read from
    the cache. `beside` names counts that the provider leaves out of `tokens_in`, by 'cached' and 'written'.
    """
    if not isinstance(value, Mapping):
        return Usage()
    beside = beside or {}
    counts = (
        count_of(value.get(tokens_in)),
        count_of(value.get(tokens_out)),
        _optional(value, *cached.split(".")) if cached else 0,
        _optional(value, beside["cached"]) if "cached" in beside else 0,
        _optional(value, beside["written"]) if "written" in beside else 0,
    )
    if None in counts:
        return Usage()
    sent, out, inside, read, written = (count or 0 for count in counts)
    return Usage(sent + read + written, out, inside + read, written)


def _optional(value: Mapping[str, Any], *path: str) -> int | None:
    """Return a count that may be missing or null: then it is 0. None if what stands there is no count."""
    found: object = value
    for name in path:
        if not isinstance(found, Mapping):
            return None
        if found.get(name) is None:
            return 0
        found = found[name]
    return count_of(found)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else digits[:_LONGEST_NUMBER]


def _finite(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits[:_LONGEST_NUMBER]


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEEP):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise UnusableError(f"it is nested more than {MOST_DEEP} deep")


def shown(value: Any) -> str:
    """Return a JSON value in a few words."""
    return re.sub(r"\s+", " ", json.dumps(value, ensure_ascii=False, default=str))[:400]
