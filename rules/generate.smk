# Inference: each test tweet answered once.
rule generate:
    """Stage 6: let each run's model answer the test tweets."""
    input:
        every("generate"),


rule generate_outputs:
    """One run's raw answers; an untuned run uses the backbone as it is."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        backbone=inputs_of("generate", "backbone"),
        adapter=inputs_of("generate", "train"),
    output:
        "results/outputs/{dataset}/{run}/seed{seed}/outputs.parquet",
    log:
        "results/logs/generate/{dataset}/{run}/seed{seed}.log",
    benchmark:
        "results/benchmarks/generate/{dataset}/{run}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 8
    resources:
        mem_mb=32000,
        runtime=480,
        gpu=gpus_of_backbone,
    params:
        **decided_by("generate"),
        backbone=subpath(input.backbone, parent=True),
        adapter=adapter_arguments,
        work=work_of("generate"),
    shell:
        "python -m gmner generate --settings {params.settings:q} --samples {input.samples:q} --split test"
        " --backbone {params.backbone:q} {params.adapter:q} --work-dir {params.work:q} --out {output:q}"
        " 2>&1 | tee {log:q}"
