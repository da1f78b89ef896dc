"""Grounded multimodal named entity recognition, end to end (an implementation of E2E-GMNER)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmner.core.answer import ParsedOutput, Problem, parse_output, render_answer
    from gmner.core.frame import Frame
    from gmner.core.records import Entity, Record, Sample
    from gmner.errors import GmnerError
    from gmner.evaluation.any_system.face import load_samples, score
    from gmner.reporting.annotate import Annotation, annotate, load_adapter

__version__ = "0.1.0"
__all__ = [
    "Annotation",
    "Entity",
    "Frame",
    "GmnerError",
    "ParsedOutput",
    "Problem",
    "Record",
    "Sample",
    "annotate",
    "load_adapter",
    "load_samples",
    "parse_output",
    "render_answer",
    "score",
]

# Imported when first asked for: `import gmner` alone costs nothing, and only the last two need torch.
_WHERE = {
    "Entity": "gmner.core.records",
    "Record": "gmner.core.records",
    "Sample": "gmner.core.records",
    "Frame": "gmner.core.frame",
    "ParsedOutput": "gmner.core.answer",
    "Problem": "gmner.core.answer",
    "parse_output": "gmner.core.answer",
    "render_answer": "gmner.core.answer",
    "GmnerError": "gmner.errors",
    "load_samples": "gmner.evaluation.any_system.face",
    "score": "gmner.evaluation.any_system.face",
    "Annotation": "gmner.reporting.annotate",
    "annotate": "gmner.reporting.annotate",
    "load_adapter": "gmner.reporting.annotate",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _WHERE:
        raise AttributeError(f"module 'gmner' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, attribute = _WHERE[name].partition(":")
    try:
        found = getattr(import_module(module), attribute or name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] != "gmner":
            remedy = f"gmner.{name} needs {error.name}, which is not installed: pip install 'gmner[train]'"
            raise ModuleNotFoundError(remedy, name=error.name) from error
        raise
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
