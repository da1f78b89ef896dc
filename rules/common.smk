# What the rules share: the checked configuration, and functions that look up a job in its plan.
#
# Which stage reads what, and where its result lies, is said once, in src/gmner/workflow/stages.py.
from snakemake.logging import logger

from gmner.config import load_config
from gmner.errors import GmnerError
from gmner.workflow import environments
from gmner.workflow.job import Job
from gmner.workflow.plan import Plan, compact
from gmner.workflow.snakemake_run import SnakemakeRun, put_python_first, shell_prefix
from gmner.workflow.stages import STAGES


wildcard_constraints:
    dataset=r"[A-Za-z0-9][\w.-]*",
    run=r"[A-Za-z0-9][\w.-]*",
    name=r"[A-Za-z0-9][\w.-]*",
    seed=r"\d+",
    shard=r"\d+-of-\d+",


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
        RUN.begin()
        found = {}
        if stage == "report" and PLAN.finished_only:
            return found  # a report of what is there makes nothing
        for before in PLAN.inputs(job_of(stage, wildcards)):
            found.setdefault(before.stage, []).append(PLAN.place(before))
        return {name: paths[0] if len(paths) == 1 else paths for name, paths in found.items()}

    return results


def decided_by(stage):
    """Return the parameters of a stage's rule.

    `settings` is the file that goes to the command. It takes `input` so that Snakemake does not compare it with the
    last run's. The other three are compared: a difference reruns.
    """
    return {
        "settings": lambda wildcards, input: RUN.settings_file(job_of(stage, wildcards)),
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
        return RUN.kept(f"results/work/{stage}/{job.dataset}/{job.run}/seed{job.seed}-{PLAN.identity(job)}")

    return folder


def teacher_store(wildcards, input):
    """Return the folder of the teachers' raw answers. Takes `input` so that a move of it is no reason to ask again."""
    return RUN.kept("resources/teacher-store")


try:
    PLAN = Plan(load_config(config))
except GmnerError as error:
    raise WorkflowError(f"the configuration cannot be used:\n{error}") from None
RUN = SnakemakeRun(workflow, logger, PLAN)
PLAN.reports_only = RUN.makes_only("report", "results/report.html")
put_python_first()
shell.prefix(shell_prefix(Path(workflow.basedir) / "src"))


onstart:
    RUN.started()


onsuccess:
    RUN.succeeded()


onerror:
    RUN.failed()
