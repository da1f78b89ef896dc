"""A run kind and a stage are added as docs/extending.md says: in the tables, and nowhere else."""

import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from gmner.cli import main
from gmner.config import load_config, run
from gmner.config.base import Settings
from gmner.workflow.job import Job, Way
from gmner.workflow.plan import Plan
from gmner.workflow.run_kinds import RUN_KINDS, RunKind
from gmner.workflow.stages import RUN, STAGES, Stage
from tests.helpers.trees import Tree


class EchoStage(Settings):
    """Say the text."""

    kind: Literal["echo"] = "echo"
    loud: bool = False


def echo_settings(plan: Plan, job: Job) -> EchoStage:
    return EchoStage()


def echo_reads(plan: Plan, job: Job) -> Iterator[Job]:
    yield Job("samples", dataset=job.dataset)


MODULE = "gmner.commands.stages.generate_echo"


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(MODULE)
    module.run = lambda args: args.out.write_text("echo")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    way = Way(MODULE, echo_settings, echo_reads)
    monkeypatch.setitem(RUN_KINDS, "echo", RunKind(("generate", "predictions", "scores"), ways={"generate": way}))
    monkeypatch.setitem(run.KINDS, "echo", run.KindOfRun())
    return module


def plan_with(kind: str) -> Plan:
    config = load_config(
        {
            "datasets": {"demo": {"kind": "demo"}},
            "backbones": {"tiny": {"kind": "tiny"}},
            "defaults": {"backbone": "tiny"},
            "runs": {"one": {"kind": "untuned"}},
        }
    )
    # The name's place in RunSettings.kind is the one thing that a running program cannot add.
    one = config.runs["one"].model_copy(update={"kind": kind})
    return Plan(config.model_copy(update={"runs": {"one": one}}))


def test_a_run_kind(echo: types.ModuleType, tmp_path: Path) -> None:
    plan = plan_with("echo")
    job = Job("generate", "demo", "one", 42)
    assert plan.jobs("generate") == [job] and not plan.jobs("train") and not plan.jobs("backbone")
    assert plan.inputs(job) == [Job("samples", dataset="demo")]
    assert plan.settings(job) == EchoStage() and plan.environment(job) == "light"
    words = ["stage", "generate", "--settings", plan.settings(job).model_dump_json(), "--samples", "s"]
    main([*words, "--out", str(tmp_path / "outputs")])
    assert (tmp_path / "outputs").read_text() == "echo"


def test_a_stage(echo: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("polish", "make it shine", RUN, "results/polish/{dataset}/{run}/seed{seed}/p.json",
                  Way(MODULE, echo_settings, echo_reads), read_as="--polish")  # fmt: skip
    monkeypatch.setitem(STAGES, "polish", stage)
    kind = RUN_KINDS["untuned"]
    monkeypatch.setitem(RUN_KINDS, "untuned", replace(kind, stages=("polish", *kind.stages)))
    plan = plan_with("untuned")
    (job,) = plan.jobs("polish")
    assert plan.place(job) == "results/polish/demo/one/seed42/p.json"
    assert stage.label == "polish/{dataset}/{run}/seed{seed}"
    assert plan.jobs("train") == []


RULE = '''
rule polish:
    """Stage 6: polish."""
    input:
        every("polish"),


rule polish_one:
    """One run's polish."""
    input:
        unpack(inputs_of("polish")),
    output:
        result_of("polish"),
    log:
        log_of("polish"),
    conda:
        environment_of("polish")
    params:
        **decided_by("polish"),
    shell:
        "python -m gmner stage polish --settings {params.settings:q} --out {output:q} 2>&1 | tee -i {log:q}"
'''


ENTRY = """        Stage(
            name="polish",
            about="make it shine",
            per=RUN,
            result=f"results/polish/{_OF_RUN}/p.json",
            way=Way("gmner.commands.stages.polish", stage_settings.scores, stage_inputs.scores),
        ),
"""
BEFORE = '        Stage(\n            name="tables",'
THROUGH, SCORES = '"predictions", "scores")', 'include: "rules/scores.smk"'


@pytest.mark.slow
def test_a_stage_through_snakemake(tree: Tree) -> None:
    """In a copy of the project: the entry, its command, its rule; an edit of its code reruns it alone."""
    tree.edit("src/gmner/workflow/stages.py", lambda text: text.replace(BEFORE, ENTRY + BEFORE))
    through = THROUGH.replace(")", ', "polish")')
    tree.edit("src/gmner/workflow/run_kinds.py", lambda text: text.replace(THROUGH, through))
    (tree.root / "src/gmner/commands/stages/polish.py").write_text("def run(args):\n    return 0\n")
    (tree.root / "rules/polish.smk").write_text(RULE)
    tree.edit("Snakefile", lambda text: text.replace(SCORES, f'{SCORES}\ninclude: "rules/polish.smk"'))
    assert tree.planned("polish") == {"polish_one": 3, "polish": 1}
    tree.run("polish")
    assert not tree.planned("polish") and not tree.planned("all")
    tree.edit("src/gmner/commands/stages/polish.py", lambda text: text.replace("0", "1"))
    assert tree.planned("polish") == {"polish_one": 3, "polish": 1} and not tree.planned("all")
