# Rationales: the teachers' chain of thought for the training tweets, made once per dataset and teacher.
rule rationales:
    """Stage 3: ask the teachers for the reasoning behind each annotated tweet."""
    input:
        every("rationales"),


rule ask_teacher:
    """One teacher's rationales for one dataset; raw answers stay in resources/teacher-store, whatever happens."""
    input:
        unpack(inputs_of("rationales")),
    output:
        table=result_of("rationales"),
        report=report(
            result_of("rationales", "report.json"),
            caption="../workflow/report/rationales.rst",
            category="Rationales",
        ),
    log:
        log_of("rationales"),
    benchmark:
        benchmark_of("rationales")
    priority: 20
    conda:
        environment_of("rationales")
    resources:
        mem_mb=4000,
        runtime=1440,
        gpu=asked_of_machine("rationales", environments.gpus),
    params:
        **decided_by("rationales"),
        store=teacher_store,
    shell:
        "python -m gmner stage rationales --settings {params.settings:q} --samples {input.samples:q}"
        " --out {output.table:q} --report {output.report:q} --store {params.store:q} 2>&1 | tee -i {log:q}"
