# Backbones: the models that runs start from, as folders that later stages load without a network.
rule backbones:
    """Stage 2: bring the backbones here."""
    input:
        every("backbone"),


rule prepare_backbone:
    """One backbone: shipped (tiny), from the hub at its pinned revision, or a folder of the user's."""
    input:
        unpack(inputs_of("backbone")),
        shipped=shipped_backbone,
    output:
        result_of("backbone"),
    log:
        log_of("backbone"),
    benchmark:
        benchmark_of("backbone")
    conda:
        environment_of("backbone")
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        **decided_by("backbone"),
        folder=subpath(output[0], parent=True),
        source=tiny_arguments,
    shell:
        "python -m gmner stage backbone --settings {params.settings:q} {params.source:q} --out-dir {params.folder:q}"
        " 2>&1 | tee -i {log:q}"


rule rebuild_tiny_backbone:
    """The tiny backbone from scratch, about an hour on two cores; for a backbone that says rebuild: true."""
    output:
        result_of("pretrain_tiny"),
    log:
        log_of("pretrain_tiny"),
    benchmark:
        benchmark_of("pretrain_tiny")
    conda:
        environment_of("pretrain_tiny")
    threads: 8
    resources:
        mem_mb=8000,
        runtime=480,
    params:
        **decided_by("pretrain_tiny"),
        folder=subpath(output[0], parent=True),
        work="results/work/pretrain_tiny/{name}",
    shell:
        "python -m gmner stage pretrain_tiny --settings {params.settings:q} --code {params.code:q} --work-dir {params.work:q}"
        " --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
