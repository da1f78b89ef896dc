# Training: supervised fine-tuning of low-rank adapters.
rule train:
    """Stage 5: fine-tune an adapter for each run."""
    input:
        every("train"),


rule train_adapter:
    """One run's adapter for one dataset and seed; checkpoints are in results/work and outlive a killed job."""
    input:
        unpack(inputs_of("train")),
    output:
        weights=result_of("train", "adapter_model.safetensors"),
        lora=result_of("train", "adapter_config.json"),
        run=result_of("train", "run.json"),
        curves=result_of("train", "curves.csv"),
        plot=report(
            result_of("train", "curves.png"),
            caption="../workflow/report/curves.rst",
            category="Training",
            labels={"dataset": "{dataset}", "run": "{run}", "seed": "{seed}"},
        ),
        manifest=result_of("train"),
    log:
        log_of("train"),
    benchmark:
        benchmark_of("train")
    priority: 10
    conda:
        environment_of("train")
    threads: asked_of_machine("train", environments.threads)
    resources:
        mem_mb=32000,
        runtime=2880,
        gpu=asked_of_machine("train", environments.gpus),
        nodes=asked_of_machine("train", environments.nodes),
    params:
        **decided_by("train"),
        backbone=subpath(input.backbone, parent=True),
        folder=subpath(output.manifest, parent=True),
        work=work_of("train"),
        threads=threads_told("train"),
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner stage train"
        " --settings {params.settings:q} --samples {input.samples:q} --targets {input.targets:q}"
        " --backbone {params.backbone:q} --seed {wildcards.seed} --work-dir {params.work:q}"
        " --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
