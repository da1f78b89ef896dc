# Samples: every dataset in one form.
rule samples:
    """Stage 1: read or draw the datasets: one table of samples and one report each."""
    input:
        every("samples"),


rule make_samples:
    """One dataset's samples."""
    input:
        unpack(inputs_of("samples")),
    output:
        table=result_of("samples"),
        report=report(
            result_of("samples", "report.json"),
            caption="../workflow/report/samples.rst",
            category="Data",
        ),
        readable=result_of("samples", "report.md"),
    log:
        log_of("samples"),
    benchmark:
        benchmark_of("samples")
    conda:
        environment_of("samples")
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **decided_by("samples"),
        sources=source_folders,
    shell:
        "python -m gmner stage samples --settings {params.settings:q} --dataset {wildcards.dataset:q}"
        " {params.sources:q} --out {output.table:q} --report {output.report:q} 2>&1 | tee -i {log:q}"
