# Downloads: annotations and images of the Twitter datasets, into resources/.
localrules:
    download_source,
    downloads,


rule downloads:
    """Stage 0: fetch what the configured datasets are made from."""
    input:
        every("download"),


rule download_source:
    """One source, resumable and checked; its manifest is written last."""
    output:
        result_of("download"),
    log:
        log_of("download"),
    wildcard_constraints:
        name="twitter-gmner|twitter-images|twitter-fmnerg",
    conda:
        environment_of("download")
    params:
        **decided_by("download"),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m gmner stage download --settings {params.settings:q} --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
