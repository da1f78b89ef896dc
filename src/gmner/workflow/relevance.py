"""Which of a command's modules matter under given settings, and which stand aside.

A command imports everything that it may need; what a stage is given decides what it uses. An edit in the parser of
one data set is no reason to draw another anew, nor one in the retries of a request to train again.
"""

from importlib import import_module

from gmner.config import stages
from gmner.config.base import Settings
from gmner.config.data import DemoDataset, TwitterDataset

SCORING = (
    "evaluation.counts",
    "evaluation.matching",
    "evaluation.f1",
    "evaluation.conventions",
    "evaluation.compared",
    "training.devscore",
)
DRAWING = ("demo.data.dataset", "demo.data.names", "demo.data.scenes", "demo.data.tweets")
PARSING = ("datasets.conll", "datasets.voc", "datasets.twitter", "datasets.escapes")
FOLDERS = ("datasets.folder", "datasets.jsonl")
WRITING = ("rationales.template",)
# How an answer is fetched, kept, retried and paid for never changes what it says.
FETCHING = tuple(
    f"llm_client.{name}"
    for name in (
        "ask",
        "ask_in_batches",
        "errors",
        "concurrency",
        "journal",
        "ledger",
        "parts",
        "pricing",
        "answer_store",
    )
)
OTHER_ENGINE = ("generation.vllm",)
# Which processes do the work never changes what comes of it.
LAUNCHING = ("training.launch",)
PROMPTING = ("rationales.prompted", "prompts.teacher", "llm_client.session", "llm_client.sent_images")
PROVIDERS = {
    "anthropic": "llm_client.providers.anthropic",
    "local": "llm_client.providers.local",
    "openai": "llm_client.providers.openai",
}


def modules_aside(settings: Settings) -> frozenset[str]:
    """Return the modules that a stage's command imports but does not use under `settings`."""
    names: tuple[str, ...] = ()
    if isinstance(settings, stages.TrainStage):
        names = LAUNCHING + (SCORING if settings.train.select == "last" else ())
    elif isinstance(settings, stages.GenerateStage) and settings.generate.engine == "transformers":
        names = OTHER_ENGINE
    elif isinstance(settings, stages.TargetsStage) and settings.when_refused != "template":
        names = WRITING
    elif isinstance(settings, stages.RationalesStage):
        names = FETCHING + (PROMPTING if settings.teacher.provider == "template" else ())
    elif isinstance(settings, stages.GenerateApiStage):
        names = FETCHING
    elif isinstance(settings, stages.SamplesStage):
        if isinstance(settings.dataset, DemoDataset):
            names = PARSING + FOLDERS
        else:
            names = DRAWING + (FOLDERS if isinstance(settings.dataset, TwitterDataset) else ())
    return frozenset(f"gmner.{name}" for name in names)


def modules_chosen(settings: Settings) -> frozenset[str]:
    """Return the modules that a stage's command imports by a name that `settings` decide."""
    if (
        isinstance(settings, stages.RationalesStage | stages.GenerateApiStage)
        and settings.teacher.provider in PROVIDERS
    ):
        return frozenset({f"gmner.{PROVIDERS[settings.teacher.provider]}"})
    if isinstance(settings, stages.ScoresStage):
        return frozenset({_module_of_convention(settings.score.profile), *_modules_of_metrics()})
    if isinstance(settings, stages.TrainStage) and settings.score is not None:
        return frozenset({_module_of_convention(settings.score.profile)})
    if isinstance(settings, stages.ReportStage):
        return frozenset(_module_of_convention(run.score.profile) for run in settings.runs)
    return frozenset()


def _module_of_convention(name: str) -> str:
    # By name, as the commands do it: evaluation lies above the workflow's code.
    place: str = import_module("gmner.evaluation.conventions").CONVENTIONS[name].place
    return place.partition(":")[0]


def _modules_of_metrics() -> set[str]:
    return {place.partition(":")[0] for place in import_module("gmner.evaluation.metrics").METRICS.values()}
