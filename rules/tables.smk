# Tables and figure, beside the paper's printed numbers.
localrules:
    table1,
    tables,
    all,
    write_table,
    compare_runs,
    draw_figure3,


rule tables:
    """Stage 9: lay the scores out as the paper's Tables 1 to 3 and its Figure 3."""
    input:
        every("tables"),


rule write_table:
    """One of Tables 1 to 3, or newer systems: for programs (csv, json), for reading (md) and for papers (tex)."""
    input:
        unpack(inputs_of("tables")),
        paper=local("workflow/paper/{name}.csv"),
    output:
        csv=report(result_of("tables"), caption="../workflow/report/table.rst", category="Tables"),
        md=result_of("tables", "{name}.md"),
        json=result_of("tables", "{name}.json"),
        tex=result_of("tables", "{name}.tex"),
    log:
        log_of("tables"),
    wildcard_constraints:
        name="table[123]|newer",
    conda:
        environment_of("tables")
    params:
        **decided_by("tables"),
    shell:
        "python -m gmner stage tables --name {wildcards.name} --settings {params.settings:q} --scores {input.scores:q}"
        " --paper {input.paper:q} --out {output.csv:q} 2>&1 | tee -i {log:q}"


rule compare_runs:
    """Table 4: runs against a reference run; nothing printed stands beside them."""
    input:
        unpack(inputs_of("tables")),
    output:
        csv=report(result_of("tables"), caption="../workflow/report/table.rst", category="Tables"),
        md=result_of("tables", "{name}.md"),
        json=result_of("tables", "{name}.json"),
        tex=result_of("tables", "{name}.tex"),
    log:
        log_of("tables"),
    wildcard_constraints:
        name="table4",
    conda:
        environment_of("tables")
    params:
        **decided_by("tables"),
    shell:
        "python -m gmner stage tables --name {wildcards.name} --settings {params.settings:q} --scores {input.scores:q}"
        " --out {output.csv:q} 2>&1 | tee -i {log:q}"


rule draw_figure3:
    """Figure 3: metrics against the strength of box perturbation."""
    input:
        unpack(inputs_of("tables")),
    output:
        csv=result_of("tables"),
        md=result_of("tables", "{name}.md"),
        json=result_of("tables", "{name}.json"),
        png=report(
            result_of("tables", "{name}.png"), caption="../workflow/report/figure3.rst", category="Tables"
        ),
        pdf=result_of("tables", "{name}.pdf"),
    log:
        log_of("tables"),
    wildcard_constraints:
        name="figure3",
    conda:
        environment_of("tables")
    params:
        **decided_by("tables"),
    shell:
        "python -m gmner stage tables --name {wildcards.name} --settings {params.settings:q} --scores {input.scores:q}"
        " --out {output.csv:q} 2>&1 | tee -i {log:q}"
