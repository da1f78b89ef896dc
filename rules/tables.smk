# Tables and figure, beside the paper's printed numbers.
localrules:
    table1,
    tables,
    all,
    write_table,
    draw_figure3,


rule tables:
    """Stage 9: lay the scores out as the paper's Tables 1 to 3 and its Figure 3."""
    input:
        tables(),


rule write_table:
    """One of Tables 1 to 3: for programs (csv), for reading (md) and for papers (tex)."""
    input:
        scores=inputs_of("table", "scores"),
        paper=local("workflow/paper/{name}.csv"),
    output:
        csv=report("results/{name}.csv", caption="../workflow/report/table.rst", category="Tables"),
        md="results/{name}.md",
        tex="results/{name}.tex",
    log:
        "results/logs/table/{name}.log",
    wildcard_constraints:
        name="table[123]",
    conda:
        "../envs/report.yaml"
    params:
        **decided_by("table"),
    shell:
        "python -m gmner table --name {wildcards.name} --settings {params.settings:q} --scores {input.scores:q}"
        " --paper {input.paper:q} --out {output.csv:q} 2>&1 | tee -i {log:q}"


rule draw_figure3:
    """Figure 3: metrics against the strength of box perturbation."""
    input:
        scores=inputs_of("table", "scores"),
    output:
        csv="results/{name}.csv",
        md="results/{name}.md",
        png=report("results/{name}.png", caption="../workflow/report/figure3.rst", category="Tables"),
        pdf="results/{name}.pdf",
    log:
        "results/logs/table/{name}.log",
    wildcard_constraints:
        name="figure3",
    conda:
        "../envs/report.yaml"
    params:
        **decided_by("table"),
    shell:
        "python -m gmner table --name {wildcards.name} --settings {params.settings:q} --scores {input.scores:q}"
        " --out {output.csv:q} 2>&1 | tee -i {log:q}"
