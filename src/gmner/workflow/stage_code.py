"""Which code a stage uses under its settings: what is chosen counts, what is not chosen does not.

A command imports everything that it may need. An edit in the parser of one dataset is no reason to draw another
again, nor is another wording of a prompt that no run uses a reason to train again.
"""

import importlib
from dataclasses import dataclass

from gmner.config import stages
from gmner.config.base import Settings
from gmner.config.model import BackboneSettings
from gmner.prompts.model import files_of_prompt
from gmner.prompts.teacher import files_of_teacher_prompt


@dataclass(frozen=True)
class Used:
    """What a stage uses beside and less than what its command imports."""

    also: tuple[str, ...] = ()
    """Modules that are imported by a name that the settings decide."""
    without: tuple[str, ...] = ()
    """Modules and packages that are imported but not used."""
    files: tuple[str, ...] = ()
    """Files, or folders of files, of the package that are read."""


def everything(settings: Settings) -> Used:
    """Use all that the command imports."""
    return Used()


def samples(settings: stages.SamplesStage) -> Used:
    """Make the samples as their kind is made."""
    return Used(also=(importlib.import_module("gmner.datasets").DATASETS[settings.dataset.kind].module,))


_PUBLISHED = ("gmner.rationales.published", "gmner.rationales.exchange")


def rationales(settings: stages.RationalesStage) -> Used:
    """Write by rule, read what was published, or ask one provider with one prompt."""
    teacher = settings.teacher
    asking = ("gmner.rationales.prompted", "gmner.prompts", "gmner.llm_client.providers")
    if teacher.provider == "template":
        return Used(without=(*asking, *_PUBLISHED))
    if teacher.provider == "published":
        return Used(without=asking)
    return Used(
        also=(_provider(teacher.provider),),
        without=_PUBLISHED,
        files=files_of_teacher_prompt(teacher.prompt, teacher.prompt_version),
    )


def targets(settings: stages.TargetsStage) -> Used:
    """Write a rationale by rule only if refused ones are replaced so; measure with the prompt that is asked."""
    files = files_of_prompt(settings.question.prompt) if settings.question is not None else ()
    return Used(without=() if settings.when_refused == "template" else ("gmner.rationales",), files=files)


def backbone(settings: stages.BackboneStage) -> Used:
    """Accept a model of one family."""
    return Used(also=(_family(settings.backbone),))


def train(settings: stages.TrainStage) -> Used:
    """Train a model of one family; score the dev split only if the best epoch is chosen."""
    also = [_family(settings.backbone), *([_convention(settings.score.profile)] if settings.score else [])]
    without = ("gmner.training.devscore", "gmner.evaluation") if settings.train.select == "last" else ()
    return Used(tuple(also), without, files_of_prompt(settings.question.prompt))


def generate(settings: stages.GenerateStage) -> Used:
    """Answer with one engine; a tuned run's prompt is that of its training, which comes before."""
    without = ("gmner.generation.vllm",) if settings.generate.engine == "transformers" else ()
    files = files_of_prompt(settings.question.prompt) if settings.question is not None else ()
    return Used((_family(settings.backbone),), without, files)


def generate_api(settings: stages.GenerateApiStage) -> Used:
    """Ask one provider with one prompt."""
    return Used(also=(_provider(settings.teacher.provider),), files=files_of_prompt(settings.question.prompt))


def scores(settings: stages.ScoresStage) -> Used:
    """Count every metric by one convention."""
    metrics = importlib.import_module("gmner.evaluation.metrics").METRICS.values()
    return Used(also=(_convention(settings.score.profile), *sorted({_module(place) for place in metrics})))


def report(settings: stages.ReportStage) -> Used:
    """Put the parts of the page together."""
    conventions = {_convention(run.score.profile) for run in settings.runs}
    return Used(also=tuple(sorted(conventions)), files=("reporting/html/page",))


# The registries lie in packages above the workflow: they are read by name, as the commands do ------------------------


def _convention(name: str) -> str:
    return _module(importlib.import_module("gmner.evaluation.conventions").CONVENTIONS[name].place)


def _family(backbone: BackboneSettings) -> str:
    families = importlib.import_module("gmner.models.families")
    name = getattr(backbone, "family", families.DEFAULT_FAMILY)
    return _module(families.BACKBONE_FAMILIES[name].seam)


def _module(place: str) -> str:
    return place.partition(":")[0]


def _provider(name: str) -> str:
    return _module(importlib.import_module("gmner.llm_client.providers").PROVIDERS[name].implementation)
