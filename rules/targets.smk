# Targets: what the model learns to answer, with boxes perturbed again for each epoch (GRBP).
rule targets:
    """Stage 4: write the completions to learn, boxes perturbed for each epoch."""
    input:
        every("targets"),


rule make_targets:
    """One run's targets for one dataset and seed."""
    input:
        unpack(inputs_of("targets")),
    output:
        result_of("targets"),
    log:
        log_of("targets"),
    benchmark:
        benchmark_of("targets")
    conda:
        environment_of("targets")
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **decided_by("targets"),
        rationales=rationales_or_none,
        backbone=subpath(input.backbone, parent=True),
    shell:
        "python -m gmner stage targets --settings {params.settings:q} --samples {input.samples:q}"
        " --rationales {params.rationales:q} --backbone {params.backbone:q} --seed {wildcards.seed} --out {output:q} 2>&1 | tee -i {log:q}"
