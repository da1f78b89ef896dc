# Downloads: annotations and images of the Twitter data sets, into resources/.
localrules:
    download_source,
    downloads,


rule downloads:
    """Stage 0: fetch what the configured data sets are made from."""
    input:
        every("download"),


rule download_source:
    """One source, resumable and checked; its manifest is written last."""
    output:
        "resources/{name}/manifest.json",
    log:
        "results/logs/download/{name}.log",
    wildcard_constraints:
        name="twitter-gmner|twitter-images|twitter-fmnerg",
    conda:
        "../envs/data.yaml"
    params:
        **decided_by("download"),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m gmner download --settings {params.settings:q} --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
