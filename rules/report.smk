# The report: tables, curves, errors and every test tweet on one page.
rule report:
    """Stage 10: write the page that shows what came out: results/report.html."""
    input:
        "results/report.html",


rule write_report:
    """The page; it needs no network and shows the configured runs and nothing else that lies in results/."""
    input:
        samples=inputs_of("report", "samples"),
        rationales=inputs_of("report", "rationales"),
        adapters=inputs_of("report", "train"),
        predictions=inputs_of("report", "predictions"),
        scores=inputs_of("report", "scores"),
        tables=inputs_of("report", "table"),
    output:
        report("results/report.html", caption="../workflow/report/page.rst", category="Report"),
    log:
        "results/logs/report.log",
    conda:
        "../envs/light.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        **decided_by("report"),
    shell:
        "python -m gmner report --settings {params.settings:q} --results results --out {output:q} 2>&1 | tee -i {log:q}"
