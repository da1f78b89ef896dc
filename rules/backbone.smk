# Backbones: the models that runs start from, as folders that later stages load without a network.
rule backbones:
    """Stage 2: bring the backbones here."""
    input:
        every("backbone"),


rule prepare_backbone:
    """One backbone: shipped (tiny), from the hub at its pinned revision, or a folder of the user's."""
    output:
        "resources/backbones/{name}/manifest.json",
    log:
        "results/logs/backbone/{name}.log",
    benchmark:
        "results/benchmarks/backbone/{name}.tsv"
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        **decided_by("backbone"),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m gmner backbone --settings {params.settings:q} --out-dir {params.folder:q} 2>&1 | tee {log:q}"
