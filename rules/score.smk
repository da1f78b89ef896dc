# Predictions and scores: answers parsed, boxes back in the original image, metrics counted.
rule predictions:
    """Stage 7: parse the answers; every failure is kept with its reason."""
    input:
        every("predictions"),


rule scores:
    """Stage 8: count GMNER, MNER and EEG against the annotation."""
    input:
        every("scores"),


rule parse_predictions:
    """One run's predictions."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        outputs="results/outputs/{dataset}/{run}/seed{seed}/outputs.parquet",
    output:
        "results/predictions/{dataset}/{run}/seed{seed}/predictions.parquet",
    log:
        "results/logs/predictions/{dataset}/{run}/seed{seed}.log",
    group:
        "score"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        **decided_by("predictions"),
    shell:
        "python -m gmner predictions --settings {params.settings:q} --samples {input.samples:q}"
        " --outputs {input.outputs:q} --out {output:q} 2>&1 | tee -i {log:q}"


rule score_predictions:
    """One run's scores, with the convention's signature."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        predictions="results/predictions/{dataset}/{run}/seed{seed}/predictions.parquet",
    output:
        report(
            "results/scores/{dataset}/{run}/seed{seed}/scores.json",
            caption="../workflow/report/scores.rst",
            category="Scores",
            labels={"dataset": "{dataset}", "run": "{run}", "seed": "{seed}"},
        ),
    log:
        "results/logs/scores/{dataset}/{run}/seed{seed}.log",
    group:
        "score"
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        **decided_by("scores"),
    shell:
        "python -m gmner scores --settings {params.settings:q} --samples {input.samples:q}"
        " --predictions {input.predictions:q} --out {output:q} 2>&1 | tee -i {log:q}"
