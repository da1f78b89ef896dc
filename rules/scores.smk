# Scores: metrics counted by a named convention.
rule scores:
    """Stage 8: count GMNER, MNER and EEG against the annotation."""
    input:
        every("scores"),


rule score_predictions:
    """One run's scores, with the convention's signature."""
    input:
        unpack(inputs_of("scores")),
    output:
        report(
            result_of("scores"),
            caption="../workflow/report/scores.rst",
            category="Scores",
            labels={"dataset": "{dataset}", "run": "{run}", "seed": "{seed}"},
        ),
    log:
        log_of("scores"),
    group:
        "score"
    conda:
        environment_of("scores")
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        **decided_by("scores"),
    shell:
        "python -m gmner stage scores --settings {params.settings:q} --samples {input.samples:q}"
        " --predictions {input.predictions:q} --out {output:q} 2>&1 | tee -i {log:q}"
