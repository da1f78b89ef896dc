# Grounded multimodal named entity recognition, end to end (README.md; docs/workflow.md).
#
#   snakemake --cores 1                    results/table1.csv, on the experiment of config.yaml
#   snakemake --cores 1 rationales         one stage (snakemake --list-rules names them) and what it needs
#   snakemake --cores 1 --configfile workflow/configs/paper.yaml all
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, str(Path(workflow.basedir) / "src"))
from gmner.workflow.plan import container_image

# A configuration named on the command line stands in the place of config.yaml; nothing is mixed. Single values,
# `--config "seeds=[1, 2]"`, are laid over either.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


# With `--sdm apptainer`, the image that every rule runs in (docs/environments.md); nothing else asks for an engine.
if container_image():

    containerized: container_image()


include: "rules/common.smk"
include: "rules/arguments.smk"


rule table1:
    """What is made when nothing is named: the main results, results/table1.csv."""
    default_target: True
    input:
        "results/table1.csv",


include: "rules/download.smk"
include: "rules/samples.smk"
include: "rules/backbone.smk"
include: "rules/rationales.smk"
include: "rules/targets.smk"
include: "rules/train.smk"
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
