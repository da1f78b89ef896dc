# Answers: each test tweet answered once, in the way of the run's kind (src/gmner/workflow/run_kinds.py).
rule generate:
    """Stage 6: let each run's model answer the test tweets."""
    input:
        every("generate"),


rule generate_shard:
    """One shard of a run's answers, if generate.shards is more than one; gone when all are gathered."""
    input:
        unpack(inputs_of("generate")),
    output:
        temp(result_of("generate", "shards/{shard}.parquet")),
    log:
        log_of("generate", shard="-{shard}"),
    benchmark:
        benchmark_of("generate", shard="-{shard}")
    conda:
        environment_of("generate")
    threads: asked_of_machine("generate", environments.threads)
    resources:
        mem_mb=asked_of_machine("generate", environments.memory_of_answers),
        runtime=480,
        gpu=asked_of_machine("generate", environments.gpus),
    params:
        **decided_by("generate"),
        read=what_is_read,
        work=work_of("generate"),
        threads=threads_told("generate"),
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner stage generate --settings {params.settings:q}"
        " {params.read:q} --split test --work-dir {params.work:q}/{wildcards.shard}"
        " --shard {wildcards.shard} --out {output:q} 2>&1 | tee -i {log:q}"


rule generate_outputs:
    """One run's raw answers, or its shards' put together."""
    input:
        unpack(inputs_of("generate")),
        shards=shards_to_gather,
    output:
        table=result_of("generate"),
        report=result_of("generate", "report.json"),
    log:
        log_of("generate"),
    benchmark:
        benchmark_of("generate")
    conda:
        environment_of("generate")
    threads: asked_of_machine("generate", environments.threads)
    resources:
        mem_mb=asked_of_machine("generate", environments.memory_of_answers),
        runtime=1440,
        gpu=lambda wildcards: environments.gpus(PLAN, job_of("generate", wildcards), shards_of(wildcards)),
    params:
        **decided_by("generate"),
        read=what_is_read,
        work=work_of("generate"),
        store=teacher_store,
        threads=threads_told("generate"),
        gather=gather_arguments,
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner stage generate --settings {params.settings:q}"
        " {params.read:q} --split test --work-dir {params.work:q} --store {params.store:q} {params.gather:q}"
        " --out {output.table:q} --report {output.report:q} 2>&1 | tee -i {log:q}"
