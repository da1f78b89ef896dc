# Rationales: the teachers' chain of thought for the training tweets, made once a data set and teacher.
rule rationales:
    """Stage 3: ask the teachers for the reasoning behind each annotated tweet."""
    input:
        every("rationales"),


rule ask_shard:
    """One shard of a teacher's questions, where the teacher has several; its answers stay in the store."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        model=inputs_of("rationales", "backbone"),
    output:
        temp("results/rationales/{dataset}/{name}/shards/{shard}.json"),
    log:
        "results/logs/rationales/{dataset}/{name}-{shard}.log",
    benchmark:
        "results/benchmarks/rationales/{dataset}/{name}-{shard}.tsv"
    priority: 20
    conda:
        environment_of_teacher
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=gpus_of_teacher,
    params:
        **decided_by("rationales"),
        store=teacher_store,
    shell:
        "python -m gmner rationales --settings {params.settings:q} --samples {input.samples:q} --out {output:q}"
        " --shard {wildcards.shard} --store {params.store:q} 2>&1 | tee -i {log:q}"


rule ask_teacher:
    """One teacher's rationales for one data set, from all its shards; raw answers stay in resources/teacher-store, whatever happens."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        model=inputs_of("rationales", "backbone"),
        shards=shards_of("rationales"),
    output:
        table="results/rationales/{dataset}/{name}/rationales.parquet",
        report=report(
            "results/rationales/{dataset}/{name}/report.json",
            caption="../workflow/report/rationales.rst",
            category="Rationales",
        ),
    log:
        "results/logs/rationales/{dataset}/{name}.log",
    benchmark:
        "results/benchmarks/rationales/{dataset}/{name}.tsv"
    priority: 20
    conda:
        environment_of_teacher
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=gpus_of_teacher,
    params:
        **decided_by("rationales"),
        store=teacher_store,
    shell:
        "python -m gmner rationales --settings {params.settings:q} --samples {input.samples:q} --out {output.table:q}"
        " --report {output.report:q} --store {params.store:q} 2>&1 | tee -i {log:q}"
