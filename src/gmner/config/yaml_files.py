"""Reading untrusted YAML: no objects, no repeated keys, nothing that is nested or multiplied without end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gmner.errors import ConfigError, DataError
from gmner.storage.files import refuse_special

_MOST_BYTES, _MOST_VALUES, _DEEPEST = 256 << 10, 20_000, 30
_RUNS_CODE = "__use_yte__"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times as fast


def check_shape(mapping: Mapping[str, Any]) -> None:
    """Raise ConfigError for what only YAML's anchors can write: a value that holds itself, or stands for millions."""
    left, waiting = _MOST_VALUES, [(mapping, 0, "")]
    while waiting:
        value, depth, key = waiting.pop()
        left -= 1
        if depth > _DEEPEST:
            raise ConfigError(f"{key}: nested more than {_DEEPEST} deep; does an anchor (&, *) refer to itself?")
        if left < 0:
            raise ConfigError(f"{key}: the configuration has more than {_MOST_VALUES} values; remove anchors (&, *)")
        below = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        waiting += [(child, depth + 1, f"{key}.{name}"[:40].lstrip(".")) for name, child in below]


def read_yaml(path: Path | str) -> Any:
    """Read a YAML file; raises ConfigError naming it and, for broken YAML, the line."""
    try:
        refuse_special(path)
        data = Path(path).read_bytes()
    except DataError as error:  # a pipe, a device
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name an existing YAML file") from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: {len(data)} bytes, more than {_MOST_BYTES}; is it a configuration?")
    try:
        return _construct(data.decode("utf-8-sig"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid YAML: brackets are nested too deeply") from error
    except ValueError as error:  # not UTF-8; a date or a number that is none
        raise ConfigError(f"{path}: not valid YAML: {error}") from error


def refuse_unsafe(path: Path | str) -> None:
    """Raise ConfigError for a file that `read_yaml` refuses, or that asks for code to be run while it is read.

    For readers that are less strict than ours: Snakemake's lets a second key of the same name win silently, and
    evaluates Python in a file that says `__use_yte__`.
    """
    found = read_yaml(path)
    if isinstance(found, Mapping) and _RUNS_CODE in found:
        raise ConfigError(f"{path}: {_RUNS_CODE} runs Python from the file, which is never done here; remove the key")


def _construct(text: str) -> Any:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):  # first: composing in C has no bounds and ends the process
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise RecursionError
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_repeated_keys(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_repeated_keys(root: yaml.Node) -> None:
    """Raise ConstructorError, with the line, where a mapping has a key twice: one would be lost silently."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [value for _, value in node.value]
            names: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in names:
                    raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' comes twice", key.start_mark)
                names |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        waiting += [child for child in children if id(child) not in seen]
        seen |= {id(child) for child in children}
