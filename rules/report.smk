# The report: tables, curves, errors and every test tweet on one page.
rule report:
    """Stage 10: write the page that shows what came out: results/report.html."""
    input:
        every("report"),


rule write_report:
    """The page; it needs no network and shows the configured runs and nothing else that lies in results/."""
    input:
        unpack(inputs_of("report")),
    output:
        report(result_of("report"), caption="../workflow/report/page.rst", category="Report"),
    log:
        log_of("report"),
    conda:
        environment_of("report")
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        **decided_by("report"),
        finished=finished_results,
    shell:
        "python -m gmner stage report --settings {params.settings:q} --results results --out {output:q}"
        " 2>&1 | tee -i {log:q}"
