# Targets: what the model learns to answer, with boxes perturbed anew for each epoch (GRBP).
rule targets:
    """Stage 4: write the completions to learn, boxes perturbed for each epoch."""
    input:
        every("targets"),


rule make_targets:
    """One run's targets for one data set and seed."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        rationales=inputs_of("targets", "rationales"),
    output:
        "results/targets/{dataset}/{run}/seed{seed}/targets.parquet",
    log:
        "results/logs/targets/{dataset}/{run}/seed{seed}.log",
    benchmark:
        "results/benchmarks/targets/{dataset}/{run}/seed{seed}.tsv"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **decided_by("targets"),
        rationales=rationales_or_none,
    shell:
        "python -m gmner targets --settings {params.settings:q} --samples {input.samples:q}"
        " --rationales {params.rationales:q} --seed {wildcards.seed} --out {output:q} 2>&1 | tee -i {log:q}"
