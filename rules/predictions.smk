# Predictions: answers parsed, boxes back in the original image.
rule predictions:
    """Stage 7: parse the answers; every failure is kept with its reason."""
    input:
        every("predictions"),


rule parse_predictions:
    """One run's predictions."""
    input:
        unpack(inputs_of("predictions")),
    output:
        result_of("predictions"),
    log:
        log_of("predictions"),
    group:
        "score"
    conda:
        environment_of("predictions")
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        **decided_by("predictions"),
        read=what_is_read,
    shell:
        "python -m gmner stage predictions --settings {params.settings:q} {params.read:q}"
        " --out {output:q} 2>&1 | tee -i {log:q}"
