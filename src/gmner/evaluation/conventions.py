"""Conventions of scoring by name (docs/metrics.md); 'Add a convention' in docs/extending.md adds a line here.

Every published scorer of the task counts a little differently. All of them are the same counting
(`gmner.evaluation.counts`) over records that were first changed in some way, and each has a signature that stands
beside every number.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from gmner.config.base import suggest
from gmner.errors import ConfigError
from gmner.evaluation.compared import Convention

_MATCHING, _SETS = "gmner.evaluation.record_matching", "gmner.evaluation.box_sets"


@dataclass(frozen=True)
class ConventionEntry:
    """One convention. `title`: whose scorer it follows, in words; `place`: `module:NAME` of its implementation."""

    title: str
    place: str


CONVENTIONS = {
    "paper": ConventionEntry("the paper's scorer, boxes in original pixels", f"{_MATCHING}:PAPER"),
    "paper-resized": ConventionEntry("the paper's scorer to the pixel", f"{_MATCHING}:PAPER_RESIZED"),
    "strict": ConventionEntry("the right tokens and one box", f"{_MATCHING}:STRICT"),
    "h-index": ConventionEntry("H-Index's released scorer", f"{_MATCHING}:H_INDEX"),
    "tiger": ConventionEntry("TIGER's released scorer", f"{_MATCHING}:TIGER"),
    "sake": ConventionEntry("SAKE's released evaluator and gold", f"{_SETS}:SAKE"),
    "sake-first": ConventionEntry("the same with a prediction's first box alone", f"{_SETS}:SAKE_FIRST"),
    "unco": ConventionEntry("UnCo's released evaluator", f"{_SETS}:UNCO"),
}
"""Every convention by its name."""


@cache
def convention_of(name: str) -> Convention:
    """Return a convention. Raises ConfigError naming the nearest one for an unknown name."""
    if name not in CONVENTIONS:
        raise ConfigError(f"score.profile '{name}' is no convention of scoring; {suggest(name, CONVENTIONS)}")
    module, _, attribute = CONVENTIONS[name].place.partition(":")
    found: Convention = getattr(import_module(module), attribute)
    return found
