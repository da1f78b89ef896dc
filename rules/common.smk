# What the rules share: the checked configuration, and functions that look a job's settings up in its plan.
import os
import re
import shlex

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from gmner.workflow import killed_runs as session
from gmner.config import load_config
from gmner.errors import GmnerError
from gmner.workflow.plan import Job, Plan, compact


wildcard_constraints:
    dataset=r"[A-Za-z0-9][\w.-]*",
    run=r"[A-Za-z0-9][\w.-]*",
    name=r"[A-Za-z0-9][\w.-]*",
    seed=r"\d+",
    shard=r"\d+-of-\d+",


OF_RUN = "{dataset}/{run}/seed{seed}"
PLACES = {
    "download": "resources/{name}/manifest.json",
    "samples": "results/samples/{dataset}/samples.parquet",
    "backbone": "resources/backbones/{name}/manifest.json",
    "pretrain_tiny": "resources/pretrained/{name}/manifest.json",
    "rationales": "results/rationales/{dataset}/{name}/rationales.parquet",
    "targets": f"results/targets/{OF_RUN}/targets.parquet",
    "train": f"results/adapter/{OF_RUN}/manifest.json",
    "api_outputs": f"results/outputs/{OF_RUN}/outputs.parquet",
    "generate": f"results/outputs/{OF_RUN}/outputs.parquet",
    "predictions": f"results/predictions/{OF_RUN}/predictions.parquet",
    "scores": f"results/scores/{OF_RUN}/scores.json",
    "table": "results/{name}.csv",
    "report": "results/report.html",
}


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
    """Make good what killed runs left here, and let this one's jobs know whose they are; see gmner/session.py."""
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
    """Return where something lies that is no job's result: with the local copies where results are in a storage."""
    settings = workflow.storage_settings
    if settings is None or settings.default_storage_provider is None:
        return path
    return f"{settings.local_storage_prefix}/kept/{path}"


def job_of(stage, wildcards):
    """Return a rule's job for its wildcards."""
    found = {name: value for name, value in dict(wildcards).items() if name != "shard"}
    return Job(stage, **{**found, "seed": int(found.get("seed", 0))})


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


def inputs_of(stage, source):
    """Return the input function of a rule: the results of stage `source` that a job of `stage` reads, if any."""

    def results(wildcards):
        found = [place(before) for before in PLAN.inputs(job_of(stage, wildcards)) if before.stage == source]
        return found[0] if len(found) == 1 else found

    return results


def shards_of(stage):
    """Return an input function: the shards' results, for what gathers them; none where the work is done at once."""

    def results(wildcards):
        job = job_of(stage, wildcards)
        count = shards_asked(job)
        folder = Path(place(job)).parent / "shards"
        suffix = Path(place(job)).suffix if stage == "generate" else ".json"
        return [f"{folder}/{number}-of-{count}{suffix}" for number in range(count)] if count > 1 else []

    return results


def shards_asked(job):
    """Return in how many jobs a stage's work is done."""
    if job.stage == "generate":
        return PLAN.config.runs[job.run].generate.shards
    return getattr(PLAN.config.teachers[job.name], "shards", 1)


def gather_arguments(wildcards, input):
    """Return the arguments that name the shards to put together."""
    return ["--gather", *input.shards] if input.shards else []


def work_of(stage):
    """Return the folder in which an interrupted job of a stage finds what it had done."""

    def folder(wildcards, input):
        job = job_of(stage, wildcards)
        return kept(f"results/work/{stage}/{job.dataset}/{job.run}/seed{job.seed}-{PLAN.identity(job)}")

    return folder


def place(job):
    """Return where a job's main result is."""
    return PLACES[job.stage].format(**vars(job))


def every(stage):
    """Return the main results of all of a stage's jobs."""
    return [place(job) for job in PLAN.jobs(stage)]


def tables(*names):
    """Return an input function: the named tables, or all that are configured."""
    return lambda wildcards: [f"results/{name}.csv" for name in names or PLAN.config.tables.asked()]


def gpus_of_backbone(wildcards):
    """Return how many GPUs a job with its run's backbone asks for: the tiny one is made for the processor."""
    return int(PLAN.config.backbones[PLAN.config.runs[wildcards.run].backbone].kind != "tiny")


def gpus_of_outputs(wildcards):
    """Return how many GPUs the answers of a run ask for; none where they come in shards and are only gathered."""
    return gpus_of_backbone(wildcards) if PLAN.config.runs[wildcards.run].generate.shards == 1 else 0


def gpus_of_training(wildcards):
    """Return how many GPUs a training asks for on all its machines together: one a process."""
    return gpus_of_backbone(wildcards) * PLAN.config.runs[wildcards.run].train.launch.world


def threads_of_run(wildcards):
    """Return how many threads of the processor a run's training and answers get, by the configuration alone."""
    run = PLAN.config.runs[wildcards.run]
    return run.threads or (1 if PLAN.config.backbones[run.backbone].kind == "tiny" else 8)


def threads_told(wildcards, input):
    """Return the same for the command, which gets as many on fewer cores too: their number decides a sum's last bits.

    Takes `input` so that another number is no reason to train again.
    """
    return str(threads_of_run(wildcards))


def nodes_of_training(wildcards):
    """Return on how many machines a training runs."""
    return PLAN.config.runs[wildcards.run].train.launch.nodes


def gpus_of_teacher(wildcards):
    """Return how many GPUs a teacher asks for on this side: one, where it is a model in the job itself."""
    name = wildcards.get("name") or PLAN.config.runs[wildcards.run].teacher
    return int(PLAN.config.teachers[name].provider == "local")


def teacher_store(wildcards, input):
    """Return the folder of the teachers' raw answers. Takes `input` so that a move of it is no reason to ask again."""
    return kept("resources/teacher-store")


def environment_of_teacher(wildcards):
    """Return the environment of a teacher's job."""
    return "../envs/train.yaml" if gpus_of_teacher(wildcards) else "../envs/teacher.yaml"


def environment_of_generation(wildcards):
    """Return the environment in which a run's model answers: vLLM has one of its own."""
    engine = PLAN.config.runs[wildcards.run].generate.engine
    return "../envs/vllm.yaml" if engine == "vllm" else "../envs/train.yaml"


def runs_of(*kinds):
    """Return a pattern that matches the names of the runs of some kinds and nothing else."""
    return "|".join(re.escape(name) for name, run in PLAN.config.runs.items() if run.kind in kinds) or "(?!)"


def shipped_backbone(wildcards):
    """Return the manifest of the tiny backbone that ships with the project, for a backbone that is made of it."""
    backbone = PLAN.config.backbones[wildcards.name]
    return (
        local("workflow/assets/tiny/manifest.json")
        if backbone.kind == "tiny" and not backbone.rebuild
        else []
    )


def tiny_arguments(wildcards, input):
    """Return the argument that names the folder of the tiny backbone, shipped or trained here."""
    return ["--tiny", str(Path(str(input[0])).parent)] if len(input) else []


def source_folders(wildcards):
    """Return the arguments that name the folders which a data set is read from."""
    dataset = PLAN.config.datasets[wildcards.dataset]
    if dataset.kind != "twitter":
        return []
    found = ["--annotations-dir", "resources/twitter-gmner"]
    found += ["--images-dir", dataset.images_dir or "resources/twitter-images"]
    return [*found, "--fine-dir", "resources/twitter-fmnerg"] if dataset.fine else found


def rationales_or_none(wildcards, input):
    """Return the run's rationales for the command line, or the word none."""
    return str(input.rationales) if input.rationales else "none"


def adapter_arguments(wildcards, input):
    """Return the argument that names a tuned run's adapter folder."""
    return ["--adapter", str(Path(str(input.adapter)).parent)] if input.adapter else []


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
