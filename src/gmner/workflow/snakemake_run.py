"""This run of Snakemake, as the Snakefile sees it: what it may write, and when.

Parsing the Snakefile (a dry run, `--lint`, `--list-rules`) changes nothing on disk. What a real run needs (records kept
with the results, a session, the jobs' settings) is made while Snakemake builds its graph of jobs, when it is known
that something will run and before Snakemake takes its lock.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gmner.storage.files import write_text
from gmner.workflow import killed_runs
from gmner.workflow.job import Job
from gmner.workflow.plan import Plan, compact
from gmner.workflow.stages import STAGES

# Where Snakemake keeps its records, by its own names: the one place that knows them (tests/workflow/test_parsing.py).
_RECORDS = ("metadata", "incomplete")
_SNAKEMAKE, _PROVENANCE = Path(".snakemake"), Path("results", "provenance")


def shell_prefix(source: Path) -> str:
    """Return what stands in front of each job's command, so that it finds this package.

    Snakemake takes PYTHONPATH out of the environment of jobs that use conda.
    """
    package = shlex.quote(str(source))
    return f"set -euo pipefail; export PYTHONPATH={package} PYTHONUNBUFFERED=1 {killed_runs.SHELL_VARIABLE}=$$; "


def put_python_first() -> None:
    """Let jobs use the Python that runs Snakemake, unless an environment is activated over it."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    first = str(Path(sys.executable).parent)
    os.environ.update(PATH=os.pathsep.join([first, *(folder for folder in folders if folder != first)]))


class SnakemakeRun:
    """One run of Snakemake over a plan. `workflow` is Snakemake's own object, `logger` its logger."""

    def __init__(self, workflow: Any, logger: Any, plan: Plan) -> None:
        self._workflow, self._logger, self._plan = workflow, logger, plan
        self._begun = False
        self.session: killed_runs.Session | None = None
        if not workflow.is_main_process:
            # A job's own process: what it needs was made by the main one, or is made here, on another machine.
            self._begun = True
            os.environ[killed_runs.OWNER_VARIABLE] = killed_runs.owner_of_jobs()
            if workflow.remote_exec:
                os.environ.pop(killed_runs.JOBS_VARIABLE, None)
        elif "--unlock" in sys.argv:
            killed_runs.begin(logger.warning, unlock=True)
        else:
            _link_records(only_kept=True)

    @property
    def _executes(self) -> bool:
        if not self._workflow.is_main_process:
            return True
        return self._workflow.executor_plugin is not None and not self._workflow.dryrun

    def begin(self) -> None:
        """Begin, once it is known that something will run: called by the rules' input functions."""
        if self._begun or not self._executes:
            return
        self._begun = True
        _link_records(only_kept=False)
        os.environ[killed_runs.OWNER_VARIABLE] = killed_runs.owner_of_jobs()
        temporary = [Path(self._workflow.snakemake_tmp_dir), Path(self._workflow.sourcecache.runtime_cache_path)]
        self.session = killed_runs.begin(self._logger.warning, temporary=temporary)
        if self.session is not None:
            os.environ[killed_runs.JOBS_VARIABLE] = str(self.session.jobs)
            os.environ[killed_runs.ERRORS_VARIABLE] = str(self.session.errors)

    def kept(self, path: str) -> str:
        """Return where something lies that is no job's result: with the local copies if results are in a storage."""
        settings = self._workflow.storage_settings
        if settings is None or settings.default_storage_provider is None:
            return path
        return f"{settings.local_storage_prefix}/kept/{path}"

    def settings_file(self, job: Job) -> str:
        """Return the file of a job's settings, written if it will run; so its command stays short."""
        label = STAGES[job.stage].label.format(**vars(job))
        path = self.kept(f"results/settings/{label}.json")
        self.begin()
        if self._executes:
            text = compact(self._plan.settings(job).model_dump(mode="json"))
            with contextlib.suppress(FileNotFoundError):
                if Path(path).read_text(encoding="utf-8") == text:
                    return path
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_text(Path(path), text)
        return path

    def started(self) -> None:
        """Note that jobs are about to run."""
        if self.session is not None and not self._workflow.local_exec:
            self.session.hands_out_jobs()

    def failed(self) -> None:
        """Note that a job failed, and say at the end what the failed jobs said."""
        if self.session is None:
            return
        self.session.failed()
        for line in self.session.said():
            self._logger.error(line)

    def targets(self) -> frozenset[str]:
        """Return the targets named on the command line; none if the default one is made."""
        settings: Mapping[str, Any] | Any = self._workflow.dag_settings
        return frozenset(map(str, getattr(settings, "targets", None) or ()))

    def makes_only(self, *targets: str) -> Callable[[], bool]:
        """Return a function that says whether nothing but these targets is asked for; known once jobs are planned."""
        return lambda: bool(self.targets()) and self.targets() <= frozenset(targets)

    def succeeded(self) -> None:
        """Show the main table after a run that was to make it."""
        table = Path("results/table1.md")
        if self.targets() & {"table1", "results/table1.csv", "all"} or not self.targets():
            with contextlib.suppress(OSError):
                shown = table.read_text(encoding="utf-8").rstrip()
                sys.stderr.write(f"\n{shown}\n\nin results/table1.csv (for programs), .md, .tex\n")


def _link_records(only_kept: bool) -> None:
    """Let Snakemake keep its records of how each result was made in results/provenance.

    There they travel with the results: in a new checkout, or without .snakemake, it still knows the settings, the
    code and the contents that they were made from, and goes by these and not by files' times. `only_kept`: only if
    there are such records already, which a dry run too must see.
    """
    for part in _RECORDS:
        here, kept = _SNAKEMAKE / part, _PROVENANCE / part
        if only_kept and (not kept.is_dir() or here.is_symlink() or here.exists()):
            continue
        kept.mkdir(parents=True, exist_ok=True)
        here.parent.mkdir(exist_ok=True)
        if here.is_dir() and not here.is_symlink() and not any(here.iterdir()):
            here.rmdir()
        if not here.exists():
            here.unlink(missing_ok=True)
            here.symlink_to(Path("..") / kept)
