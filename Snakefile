# Grounded multimodal named entity recognition, end to end (README.md; docs/workflow.md).
#
#   snakemake --cores 1                    results/table1.csv, on the experiment of config.yaml
#   snakemake --cores 1 report             a page of what is finished so far
#   snakemake --cores 1 rationales         one stage (snakemake --list-rules names them) and what it needs
#   snakemake --cores 1 --configfile workflow/configs/paper.yaml all
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(Path(workflow.basedir) / "src"))
from gmner.config.yaml_files import refuse_unsafe
from gmner.errors import GmnerError
from gmner.workflow.plan import container_image

# A configuration named on the command line stands in the place of config.yaml; nothing is mixed. Single values,
# `--config "seeds=[1, 2]"`, are laid over either. What `gmner config check` refuses is refused here too.
try:
    for file in workflow.overwrite_configfiles or ["config.yaml"]:
        refuse_unsafe(file)
except GmnerError as error:
    raise WorkflowError(f"the configuration cannot be used:\n{error}") from None
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


# With `--sdm apptainer`, the image that every rule runs in (docs/environments.md); nothing else asks for an engine.
if container_image():

    containerized: container_image()


include: "rules/common.smk"
include: "rules/arguments.smk"


rule table1:
    """What is made when nothing is named: results/table1.csv, and the scores of datasets that no table shows."""
    default_target: True
    input:
        [PLAN.place(job) for job in PLAN.jobs("tables") if job.name == "table1"],
        unless_in_a_table(),


include: "rules/download.smk"
include: "rules/samples.smk"
include: "rules/backbone.smk"
include: "rules/rationales.smk"
include: "rules/targets.smk"
include: "rules/train.smk"
include: "rules/refine.smk"
include: "rules/generate.smk"
include: "rules/predictions.smk"
include: "rules/scores.smk"
include: "rules/tables.smk"
include: "rules/report.smk"


rule all:
    """Everything that the configuration asks for: all its tables, its figure, and the report."""
    input:
        every("tables"),
        every("report"),
