# Refinement: a trained adapter made better by its own answers.
rule refine:
    """After stage 5: refine the adapter of each run of kind refined."""
    input:
        every("refine"),


rule refine_adapter:
    """One refined adapter; sampled answers and checkpoints are in results/work and outlive a killed job."""
    input:
        unpack(inputs_of("refine")),
    output:
        weights=result_of("refine", "adapter_model.safetensors"),
        lora=result_of("refine", "adapter_config.json"),
        run=result_of("refine", "run.json"),
        curves=result_of("refine", "curves.csv"),
        plot=report(
            result_of("refine", "curves.png"),
            caption="../workflow/report/curves.rst",
            category="Refinement",
            labels={"dataset": "{dataset}", "run": "{run}", "seed": "{seed}"},
        ),
        manifest=result_of("refine"),
    log:
        log_of("refine"),
    benchmark:
        benchmark_of("refine")
    priority: 9
    conda:
        environment_of("refine")
    threads: asked_of_machine("refine", environments.threads)
    resources:
        mem_mb=32000,
        runtime=2880,
        gpu=asked_of_machine("refine", environments.gpus),
    params:
        **decided_by("refine"),
        backbone=subpath(input.backbone, parent=True),
        start=start_of_refinement,
        targets=targets_of_start,
        folder=subpath(output.manifest, parent=True),
        work=work_of("refine"),
        threads=threads_told("refine"),
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner stage refine"
        " --settings {params.settings:q} --samples {input.samples:q} {params.targets:q}"
        " --backbone {params.backbone:q} --adapter {params.start:q} --seed {wildcards.seed}"
        " --work-dir {params.work:q} --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
