# What the rules share: the checked configuration, and functions that look up a job in its plan.
#
# Which stage reads what, and where its result lies, is said once, in src/gmner/workflow/stages.py.
import os
import shlex

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from gmner.config import load_config
from gmner.errors import GmnerError
from gmner.workflow import environments
from gmner.workflow import killed_runs as session
from gmner.workflow.plan import Plan, compact
from gmner.workflow.job import Job
from gmner.workflow.stages import STAGES


wildcard_constraints:
    dataset=r"[A-Za-z0-9][\w.-]*",
    run=r"[A-Za-z0-9][\w.-]*",
    name=r"[A-Za-z0-9][\w.-]*",
    seed=r"\d+",
    shard=r"\d+-of-\d+",


def prepare_environment():
    """Let jobs find the package, and the python that runs Snakemake unless an environment is activated over it."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    first = str(Path(sys.executable).parent)
    os.environ.update(PATH=os.pathsep.join([first, *(folder for folder in folders if folder != first)]))
    # In front of each command: Snakemake takes PYTHONPATH out of the environment of jobs that use conda.
    package = shlex.quote(str(Path(workflow.basedir) / "src"))
    shell.prefix(
        f"set -euo pipefail; export PYTHONPATH={package} PYTHONUNBUFFERED=1 {session.SHELL_VARIABLE}=$$; "
    )


def keep_records_with_results():
    """Keep Snakemake's records of how each result was made in results/provenance.

    There they travel with the results: in a new checkout, or without .snakemake, it still knows the settings, the
    code and the contents that they were made from, and goes by these and not by files' times.
    """
    for part in ("metadata", "incomplete"):
        here, kept = Path(".snakemake", part), Path("results", "provenance", part)
        kept.mkdir(parents=True, exist_ok=True)
        here.parent.mkdir(exist_ok=True)
        if here.is_dir() and not here.is_symlink() and not any(here.iterdir()):
            here.rmdir()
        if not here.exists():
            here.unlink(missing_ok=True)
            here.symlink_to(Path("..", "results", "provenance", part))


def begin_session():
    """Clean up after killed runs, and let this one's jobs know whose they are; see gmner/workflow/killed_runs.py."""
    os.environ[session.OWNER_VARIABLE] = session.owner_of_jobs()
    if not workflow.is_main_process:
        if workflow.remote_exec:
            os.environ.pop(session.JOBS_VARIABLE, None)
        return None
    temporary = [Path(workflow.snakemake_tmp_dir), Path(workflow.sourcecache.runtime_cache_path)]
    begun = session.begin(logger.warning, unlock="--unlock" in sys.argv, temporary=temporary)
    if begun is not None:
        os.environ[session.JOBS_VARIABLE] = str(begun.jobs)
    return begun


def kept(path):
    """Return where something lies that is no job's result: with the local copies if results are in a storage."""
    settings = workflow.storage_settings
    if settings is None or settings.default_storage_provider is None:
        return path
    return f"{settings.local_storage_prefix}/kept/{path}"


def job_of(stage, wildcards):
    """Return a rule's job for its wildcards."""
    found = {name: value for name, value in dict(wildcards).items() if name in STAGES[stage].per}
    return Job(stage, **{**found, "seed": int(found.get("seed", 0))})


def result_of(stage, beside=None):
    """Return the pattern of a stage's main result, or of another file in its folder."""
    path = STAGES[stage].result
    return path if beside is None else f"{path.rpartition('/')[0]}/{beside}"


def every(stage):
    """Return the main results of all of a stage's jobs."""
    return [PLAN.place(job) for job in PLAN.jobs(stage)]


def log_of(stage, folder="logs", suffix=".log", shard=""):
    """Return the pattern of a stage's log, or of its file in another folder of results/."""
    return f"results/{folder}/{STAGES[stage].label}{shard}{suffix}"


def benchmark_of(stage, shard=""):
    """Return the pattern of what Snakemake measures of a stage's jobs."""
    return log_of(stage, "benchmarks", ".tsv", shard)


def inputs_of(stage):
    """Return the input function of a rule: the results that a job reads, under the names of their stages."""

    def results(wildcards):
        found = {}
        for before in PLAN.inputs(job_of(stage, wildcards)):
            found.setdefault(before.stage, []).append(PLAN.place(before))
        return {name: paths[0] if len(paths) == 1 else paths for name, paths in found.items()}

    return results


def decided_by(stage):
    """Return the parameters of a stage's rule.

    `settings` goes to the command. It takes `input` so that Snakemake does not compare it with the last run's: it
    also holds what changes no result (a mirror, a batch size). The other three are compared: a difference reruns.
    """
    return {
        "settings": lambda wildcards, input: compact(
            PLAN.settings(job_of(stage, wildcards)).model_dump(mode="json")
        ),
        "content": lambda wildcards: compact(PLAN.content(job_of(stage, wildcards))),
        "code": lambda wildcards: PLAN.code(job_of(stage, wildcards)),
        "upstream": lambda wildcards: PLAN.upstream(job_of(stage, wildcards)),
    }


def environment_of(stage):
    """Return the software environment of a stage's jobs."""
    fixed = STAGES[stage].way.environment
    if isinstance(fixed, str):
        return f"../envs/{fixed}.yaml"
    return lambda wildcards: f"../envs/{PLAN.environment(job_of(stage, wildcards))}.yaml"


def asked_of_machine(stage, what, *more):
    """Return a function for a rule's threads or resources; `what` is one of gmner.workflow.environments."""
    return lambda wildcards: what(PLAN, job_of(stage, wildcards), *more)


def threads_told(stage):
    """Return the number of threads for the command, the same on fewer cores: it decides a sum's last bits.

    Takes `input` so that another number is no reason to train again.
    """
    return lambda wildcards, input: str(environments.threads(PLAN, job_of(stage, wildcards)))


def work_of(stage):
    """Return the folder in which an interrupted job of a stage finds what it had done."""

    def folder(wildcards, input):
        job = job_of(stage, wildcards)
        return kept(f"results/work/{stage}/{job.dataset}/{job.run}/seed{job.seed}-{PLAN.identity(job)}")

    return folder


def teacher_store(wildcards, input):
    """Return the folder of the teachers' raw answers. Takes `input` so that a move of it is no reason to ask again."""
    return kept("resources/teacher-store")


try:
    PLAN = Plan(load_config(config))
except GmnerError as error:
    raise WorkflowError(f"the configuration cannot be used:\n{error}") from None
prepare_environment()
keep_records_with_results()
SESSION = begin_session()


onstart:
    if SESSION is not None and not workflow.local_exec:
        SESSION.hands_out_jobs()


onerror:
    if SESSION is not None:
        SESSION.failed()
