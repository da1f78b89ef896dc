# Backbones: the models that runs start from, as folders that later stages load without a network.
rule backbones:
    """Stage 2: bring the backbones here."""
    input:
        every("backbone"),


rule prepare_backbone:
    """One backbone: shipped (tiny), from the hub at its pinned revision, or a folder of the user's."""
    input:
        shipped=shipped_backbone,
        trained=inputs_of("backbone", "pretrain_tiny"),
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
        source=tiny_arguments,
    shell:
        "python -m gmner backbone --settings {params.settings:q} {params.source:q} --out-dir {params.folder:q}"
        " 2>&1 | tee -i {log:q}"


rule rebuild_tiny_backbone:
    """The tiny backbone from scratch, about an hour on two cores; where a backbone says rebuild: true."""
    output:
        "resources/pretrained/{name}/manifest.json",
    log:
        "results/logs/pretrain_tiny/{name}.log",
    benchmark:
        "results/benchmarks/pretrain_tiny/{name}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=480,
    params:
        **decided_by("pretrain_tiny"),
        folder=subpath(output[0], parent=True),
        work="results/work/pretrain_tiny/{name}",
    shell:
        "python -m gmner pretrain-tiny --settings {params.settings:q} --work-dir {params.work:q}"
        " --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
