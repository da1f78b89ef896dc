# Inference: each test tweet answered once.
rule generate:
    """Stage 6: let each run's model answer the test tweets."""
    input:
        every("generate"),
        every("api_outputs"),


rule generate_shard:
    """One shard of a run's answers, where generate.shards is more than one; gone when all are gathered."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        backbone=inputs_of("generate", "backbone"),
        adapter=inputs_of("generate", "train"),
    output:
        temp("results/outputs/{dataset}/{run}/seed{seed}/shards/{shard}.parquet"),
    log:
        "results/logs/generate/{dataset}/{run}/seed{seed}-{shard}.log",
    benchmark:
        "results/benchmarks/generate/{dataset}/{run}/seed{seed}-{shard}.tsv"
    wildcard_constraints:
        run=runs_of("tuned", "untuned"),
    conda:
        environment_of_generation
    threads: threads_of_run
    resources:
        mem_mb=32000,
        runtime=480,
        gpu=gpus_of_backbone,
    params:
        **decided_by("generate"),
        backbone=subpath(input.backbone, parent=True),
        adapter=adapter_arguments,
        work=work_of("generate"),
        threads=threads_told,
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner generate "
        "--settings {params.settings:q} --samples {input.samples:q} --split test"
        " --backbone {params.backbone:q} {params.adapter:q} --work-dir {params.work:q}/{wildcards.shard}"
        " --shard {wildcards.shard} --out {output:q} 2>&1 | tee -i {log:q}"


rule generate_outputs:
    """One run's raw answers, or its shards' put together; an untuned run uses the backbone as it is."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        backbone=inputs_of("generate", "backbone"),
        adapter=inputs_of("generate", "train"),
        shards=shards_of("generate"),
    output:
        "results/outputs/{dataset}/{run}/seed{seed}/outputs.parquet",
    log:
        "results/logs/generate/{dataset}/{run}/seed{seed}.log",
    benchmark:
        "results/benchmarks/generate/{dataset}/{run}/seed{seed}.tsv"
    wildcard_constraints:
        run=runs_of("tuned", "untuned"),
    conda:
        environment_of_generation
    threads: threads_of_run
    resources:
        mem_mb=32000,
        runtime=480,
        gpu=gpus_of_outputs,
    params:
        **decided_by("generate"),
        backbone=subpath(input.backbone, parent=True),
        adapter=adapter_arguments,
        work=work_of("generate"),
        threads=threads_told,
        gather=gather_arguments,
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner generate "
        "--settings {params.settings:q} --samples {input.samples:q} --split test"
        " --backbone {params.backbone:q} {params.adapter:q} --work-dir {params.work:q} {params.gather:q}"
        " --out {output:q} 2>&1 | tee -i {log:q}"


rule ask_model:
    """One api run's raw answers: a provider's model answers by itself, through the teachers' store and budget."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        model=inputs_of("api_outputs", "backbone"),
    output:
        table="results/outputs/{dataset}/{run}/seed{seed}/outputs.parquet",
        report="results/outputs/{dataset}/{run}/seed{seed}/report.json",
    log:
        "results/logs/generate/{dataset}/{run}/seed{seed}.log",
    benchmark:
        "results/benchmarks/generate/{dataset}/{run}/seed{seed}.tsv"
    wildcard_constraints:
        run=runs_of("api"),
    conda:
        environment_of_teacher
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=gpus_of_teacher,
    params:
        **decided_by("api_outputs"),
        store=teacher_store,
    shell:
        "python -m gmner api-outputs --settings {params.settings:q} --samples {input.samples:q} --split test"
        " --out {output.table:q} --report {output.report:q} --store {params.store:q} 2>&1 | tee -i {log:q}"
