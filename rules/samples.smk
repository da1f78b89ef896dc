# Samples: every data set in one form.
rule samples:
    """Stage 1: read or draw the data sets: one table of samples and one report each."""
    input:
        every("samples"),


rule make_samples:
    """One data set's samples."""
    input:
        inputs_of("samples", "download"),
    output:
        table="results/samples/{dataset}/samples.parquet",
        report=report(
            "results/samples/{dataset}/report.json",
            caption="../workflow/report/samples.rst",
            category="Data",
        ),
        readable="results/samples/{dataset}/report.md",
    log:
        "results/logs/samples/{dataset}.log",
    benchmark:
        "results/benchmarks/samples/{dataset}.tsv"
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **decided_by("samples"),
        sources=source_folders,
    shell:
        "python -m gmner samples --settings {params.settings:q} --dataset {wildcards.dataset:q} {params.sources:q}"
        " --out {output.table:q} --report {output.report:q} 2>&1 | tee -i {log:q}"
