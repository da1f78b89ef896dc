"""The whole configuration, and reading one from a mapping or a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from gmner.config.base import Name, Settings, suggest
from gmner.config.data import DatasetSettings
from gmner.config.messages import explain
from gmner.config.model import BackboneSettings
from gmner.config.run import KINDS, RunSettings
from gmner.config.sources import DEFAULT_SOURCES, Source, SourceName
from gmner.config.tables import ReportSettings, Tables
from gmner.config.teachers import TeacherSettings
from gmner.config.yaml_files import check_shape, read_yaml
from gmner.errors import ConfigError


class Config(Settings):
    """A configuration; in one that `load_config` returns, `defaults` are merged into each of the `runs`."""

    seeds: tuple[int, ...] = Field((42,), min_length=1)
    sources: dict[SourceName, Source] = Field(default_factory=dict, validate_default=True)
    datasets: dict[Name, DatasetSettings] = Field(min_length=1)
    backbones: dict[Name, BackboneSettings] = Field(min_length=1)
    teachers: dict[Name, TeacherSettings] = Field(default_factory=dict)
    defaults: RunSettings = RunSettings()
    runs: dict[Name, RunSettings] = Field(min_length=1)
    tables: Tables = Tables()
    report: ReportSettings = ReportSettings()

    @field_validator("sources", mode="before")
    @classmethod
    def _over_pinned(cls, given: Any) -> Any:
        return deep_merge(DEFAULT_SOURCES, given) if isinstance(given, Mapping) else given

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be different and not negative")
        return seeds

    @model_validator(mode="after")
    def _check_references(self) -> "Config":
        problems = [line for name, run in self.runs.items() for line in self._broken_in_run(name, run)]
        for name, run in self.runs.items():
            for dataset, own in run.per_dataset.items():
                problems += self._broken_for_dataset(f"runs.{name}.per_dataset.{dataset}", run, dataset, own)
        problems += self._broken_in_tables()
        if problems:
            raise ConfigError("\n".join(problems))
        return self

    def _broken_in_run(self, name: str, run: RunSettings) -> list[str]:
        problems = []
        kind = KINDS[run.kind]
        if kind.backbone and run.backbone not in self.backbones:
            problems.append(_missing(f"runs.{name}.backbone", run.backbone, "backbones", self.backbones))
        needs_teacher = kind.teacher == "model" or (kind.teacher == "reasoning" and run.cot)
        if needs_teacher and run.teacher not in self.teachers:
            problems.append(_missing(f"runs.{name}.teacher", run.teacher, "teachers", self.teachers))
        elif kind.teacher == "model" and self.teachers[run.teacher].provider in ("template", "published"):
            problems.append(
                f"runs.{name}.teacher is '{run.teacher}': that answers no question; name a provider's model"
            )
        for dataset in run.datasets or ():
            if dataset not in self.datasets:
                problems.append(_missing(f"runs.{name}.datasets", dataset, "datasets", self.datasets))
        return problems + self._broken_start(name, run)

    def _broken_start(self, name: str, run: RunSettings) -> list[str]:
        """Return what is wrong with the run whose adapter a run takes."""
        if not KINDS[run.kind].starts:
            kinds = " or ".join(kind for kind, about in KINDS.items() if about.starts)
            words = f"runs.{name}.from is '{run.start}': only a run of kind {kinds} takes another one's adapter"
            return [words] if run.start else []
        trained = [known for known, other in self.runs.items() if KINDS[other.kind].trains and known != name]
        if run.start is None:
            return [f"runs.{name} is {run.kind}, but takes no run's adapter; set from: to one of {', '.join(trained)}"]
        if run.start not in trained:
            return [_missing(f"runs.{name}.from", run.start, "the runs that are trained", dict.fromkeys(trained))]
        seen = {name}
        start: str | None = run.start
        while start is not None and start in self.runs:
            if start in seen:
                return [f"runs.{name}.from: '{start}' takes, over others, its own adapter"]
            seen.add(start)
            start = self.runs[start].start
        other = self.trained_run(name)
        if other.backbone != run.backbone:
            return [f"runs.{name}.backbone is '{run.backbone}', but '{run.start}' was trained on '{other.backbone}'"]
        missing = [found for found in self.datasets_of(name) if found not in self.datasets_of(run.start)]
        words = (
            f"runs.{name}: '{run.start}', whose adapter it takes, is not trained on {', '.join(missing)}; set datasets"
        )
        return [words] if missing else []

    def trained_run(self, name: str) -> RunSettings:
        """Return the run that says how a run's adapter was trained: itself, or the one that it takes it from."""
        run = self.runs[name]
        while run.start is not None:
            run = self.runs[run.start]
        return run

    def _broken_for_dataset(self, key: str, run: RunSettings, dataset: str, own: RunSettings) -> list[str]:
        if dataset not in self.datasets:
            return [_missing(key, dataset, "datasets", self.datasets)]
        fixed = [part for part in ("kind", "title", "datasets") if getattr(own, part) != getattr(run, part)]
        fixed += ["per_dataset"] if own.per_dataset else []
        if fixed:
            return [f"{key}.{fixed[0]}: is the same for all datasets of a run; set it in the run, or make another run"]
        return self._broken_in_run(key.removeprefix("runs."), own)

    def _broken_in_tables(self) -> list[str]:
        problems = []
        for name, table in self.tables.asked().items():
            key = f"tables.{name}"
            problems += [_missing(key, run, "runs", self.runs) for run in table.run_names() if run not in self.runs]
            unknown = [dataset for dataset in table.datasets or () if dataset not in self.datasets]
            problems += [_missing(f"{key}.datasets", dataset, "datasets", self.datasets) for dataset in unknown]
            if not problems and not any(self.datasets_of(run, table.datasets) for run in table.run_names()):
                problems.append(
                    f"{key}: none of its runs is done for any of its data sets {list(table.datasets or ())}"
                )
        strengths = self.tables.figure3.runs if self.tables.figure3 else ()
        return problems + [line for name in strengths if name in self.runs for line in self._broken_in_figure(name)]

    def _broken_in_figure(self, name: str) -> list[str]:
        run = self.runs[name]
        if run.kind != "tuned":
            return [f"tables.figure3 shows run '{name}', whose kind is {run.kind}; only tuned runs have a strength"]
        return []

    def settings_of(self, run: str, dataset: str) -> RunSettings:
        """Return a run's settings for a dataset."""
        return self.runs[run].per_dataset.get(dataset, self.runs[run])

    def datasets_of(self, run: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the data sets that a run is done for, in the configuration's order, or those `among` some."""
        wanted = self.runs[run].datasets
        return tuple(
            name for name in self.datasets if (wanted is None or name in wanted) and (among is None or name in among)
        )

    def in_no_table(self) -> dict[str, tuple[str, ...]]:
        """Return the datasets, runs and teachers that no table shows, by section."""
        tables = self.tables.asked().values()
        runs = {run for table in tables for run in table.run_names()}
        datasets = {
            name for table in tables for run in table.run_names() for name in self.datasets_of(run, table.datasets)
        }
        asked = [self.settings_of(run, dataset) for run in runs for dataset in self.datasets_of(run)]
        teachers = {run.teacher for run in asked if KINDS[run.kind].teacher == "model" or run.cot}
        shown = {"datasets": datasets, "runs": runs, "teachers": teachers}
        return {key: tuple(name for name in getattr(self, key) if name not in names) for key, names in shown.items()}

    def seeds_of(self, run: str) -> tuple[int, ...]:
        """Return the seeds that a run is done for; the first alone if nothing is drawn."""
        return self.seeds if KINDS[self.runs[run].kind].trains else self.seeds[:1]


ResolvedConfig = Config


def _missing(key: str, value: str, section: str, known: Mapping[str, Any]) -> str:
    return f"{key} is '{value}': no such name in {section}; {suggest(value, known)}"


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = deep_merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _with_datasets(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with what differs by dataset laid over the whole run."""
    differs = run.get("per_dataset")
    if not isinstance(differs, Mapping):
        return run
    common = {key: value for key, value in run.items() if key != "per_dataset"}
    merged = {
        name: deep_merge(common, over or {}) if isinstance(over or {}, Mapping) else over
        for name, over in differs.items()
    }
    return {**common, "per_dataset": merged}


def load_config(mapping: Mapping[str, Any]) -> ResolvedConfig:
    """Check a configuration and merge its defaults into each run.

    Raises ConfigError with one line a problem: the dotted key, the value, the nearest right one.
    """
    check_shape(mapping)
    data = dict(mapping)
    defaults, runs = data.get("defaults") or {}, data.get("runs")
    if isinstance(defaults, Mapping) and isinstance(runs, Mapping):
        data["runs"] = {
            name: _with_datasets(deep_merge(defaults, run or {})) if isinstance(run or {}, Mapping) else run
            for name, run in runs.items()
        }
    try:
        return Config.model_validate({key: value for key, value in data.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(explain(error, data)) from error


def load_config_file(path: Path | str) -> ResolvedConfig:
    """Read and check a YAML file; ConfigError names the file and, for broken YAML, the line."""
    mapping = read_yaml(path)
    if not isinstance(mapping, Mapping):
        raise ConfigError(
            f"{path}: expected a mapping with datasets, backbones and runs, found {type(mapping).__name__}"
        )
    try:
        return load_config(mapping)
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from error


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file, for editors and for workflow/schemas."""
    schema = Config.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
