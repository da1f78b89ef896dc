"""The plan of a workflow: for each job its settings, its place, and what it depends on.

The Snakefile asks this module and nothing else. Three values decide whether a stage is done again: `content` (its
settings, less those that only say how it is done), `code` (the fingerprint of the modules behind its command) and
`upstream` (a hash of the same three of all stages before it). They do not depend on any file's time, and a chain
that was interrupted can never pass old results off as new ones.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gmner.config.base import Settings
from gmner.config.root import Config
from gmner.storage.files import sha256_of_file, sha256_of_json
from gmner.workflow.fingerprint import code_fingerprint
from gmner.workflow.job import Job, Way
from gmner.workflow.run_kinds import RUN_KINDS, RunKind
from gmner.workflow.stages import RUN, STAGES


def container_image() -> str:
    """Return the image that every rule runs in with `--sdm apptainer`: GMNER_IMAGE, or nothing."""
    return os.environ.get("GMNER_IMAGE", "")


class Plan:
    """What a checked configuration asks for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._known: dict[Job, str] = {}
        self.reports_only: Callable[[], bool] = lambda: False
        """Says whether the report is all that is asked for."""

    def kind(self, job: Job) -> RunKind:
        """Return the kind of a job's run."""
        return RUN_KINDS[self.config.settings_of(job.run, job.dataset).kind]

    def way(self, job: Job) -> Way:
        """Return how a job is done: as the stage table says, unless the kind of its run has a way of its own."""
        stage = STAGES[job.stage]
        own = self.kind(job).ways.get(job.stage) if stage.per == RUN else None
        return own or stage.way

    def settings(self, job: Job) -> Settings:
        """Return what the stage's command is given."""
        return self.way(job).settings(self, job)

    def inputs(self, job: Job) -> list[Job]:
        """Return the jobs whose results a job reads."""
        return list(self.way(job).reads(self, job))

    def place(self, job: Job) -> str:
        """Return where a job's main result lies."""
        return STAGES[job.stage].result.format(**vars(job))

    @property
    def finished_only(self) -> bool:
        """Say whether the report shows what is finished and waits for nothing: if nothing else is asked for."""
        return self.reports_only()

    def is_finished(self, job: Job) -> bool:
        """Say whether a job's main result is there."""
        return Path(self.place(job)).is_file()

    def finished(self) -> dict[str, str]:
        """Return the digests of the scores and tables in a report of what is finished; none in one of everything."""
        if not self.finished_only:
            return {}
        shown = [job for job in self.inputs(Job("report")) if job.stage in {"scores", "tables"}]
        return {self.place(job): sha256_of_file(Path(self.place(job)))[:16] for job in shown}

    def environment(self, job: Job) -> str:
        """Return the name of a job's software environment."""
        found = self.way(job).environment
        return found if isinstance(found, str) else found(self, job)

    # What decides whether a job is done again -------------------------------------------------------------------

    def content(self, job: Job) -> dict[str, Any]:
        """Return the settings that decide what comes out."""
        return self.settings(job).decisive()

    def code(self, job: Job) -> str:
        """Return the fingerprint of the code behind the stage."""
        way = self.way(job)
        used = way.code(self.settings(job))
        return code_fingerprint(way.command, *used.also, without=used.without, files=used.files)

    def upstream(self, job: Job) -> str:
        """Return a hash over settings and code of everything before the stage, 16 hex digits."""
        return sha256_of_json([self.identity(before) for before in self.inputs(job)])[:16]

    def identity(self, job: Job) -> str:
        """Return a hash over all that decides what the stage gives, 16 hex digits."""
        if job not in self._known:
            parts = [self.settings(job).passed_on(), self.code(job), self.upstream(job)]
            self._known[job] = sha256_of_json(parts)[:16]
        return self._known[job]

    # What there is to do ----------------------------------------------------------------------------------------

    def runs(self, stage: str) -> list[Job]:
        """Return a stage's job for every run that goes through it, with each of its datasets and seeds."""
        return [
            Job(stage, dataset=dataset, run=name, seed=seed)
            for name, run in self.config.runs.items()
            if stage in RUN_KINDS[run.kind].stages
            for dataset in self.config.datasets_of(name)
            for seed in self.config.seeds_of(name)
        ]

    def jobs(self, stage: str) -> list[Job]:
        """Return every job of a stage that the configuration asks for, in its order, each once."""
        asked = STAGES[stage].asked
        if asked is not None:
            return list(asked(self))
        return self.runs(stage) if STAGES[stage].per == RUN else self._read_by_runs(stage)

    def shown_nowhere(self) -> list[Job]:
        """Return the scores of the runs of Table 1 for datasets that no table shows: what a new dataset asks for.

        A folder of the user's own asks for them unless Table 1 itself shows it: tables without `datasets` show all, but
        nobody adds a dataset in order to wait for them. Without a Table 1, those of all runs.
        """
        shown: dict[str, set[str]] = {
            job.name: {before.dataset for before in self.inputs(job)} for job in self.jobs("tables")
        }
        anywhere = set().union(*shown.values())
        own = {name for name, found in self.config.datasets.items() if "annotations" in found.folders}
        first = self.config.tables.table1
        names = set(first.run_names()) if first is not None else set(self.config.runs)
        seen = anywhere - (own - shown.get("table1", set()))
        missing = [job for job in self.jobs("scores") if job.dataset not in seen]
        return [job for job in missing if job.run in names] or missing

    def _read_by_runs(self, stage: str) -> list[Job]:
        """Return the jobs of an early stage: those that some run needs."""
        found: dict[Job, None] = {}
        queue = self.runs("scores")
        seen = set(queue)
        for job in queue:  # grows while it is walked
            for before in self.inputs(job):
                if before.stage == stage:
                    found[before] = None
                if before not in seen:
                    seen.add(before)
                    queue.append(before)
        return list(found)


def compact(value: Mapping[str, Any]) -> str:
    """Return JSON without spaces, keys sorted: what stands in a rule's parameters."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
