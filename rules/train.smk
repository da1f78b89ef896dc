# Training: supervised fine-tuning of low-rank adapters.
rule train:
    """Stage 5: fine-tune an adapter for each run."""
    input:
        every("train"),


rule train_adapter:
    """One run's adapter for one data set and seed; checkpoints are in results/work and outlive a killed job."""
    input:
        samples="results/samples/{dataset}/samples.parquet",
        targets="results/targets/{dataset}/{run}/seed{seed}/targets.parquet",
        backbone=inputs_of("train", "backbone"),
    output:
        weights="results/adapter/{dataset}/{run}/seed{seed}/adapter_model.safetensors",
        lora="results/adapter/{dataset}/{run}/seed{seed}/adapter_config.json",
        run="results/adapter/{dataset}/{run}/seed{seed}/run.json",
        curves="results/adapter/{dataset}/{run}/seed{seed}/curves.csv",
        plot=report(
            "results/adapter/{dataset}/{run}/seed{seed}/curves.png",
            caption="../workflow/report/curves.rst",
            category="Training",
            labels={"dataset": "{dataset}", "run": "{run}", "seed": "{seed}"},
        ),
        manifest="results/adapter/{dataset}/{run}/seed{seed}/manifest.json",
    log:
        "results/logs/train/{dataset}/{run}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train/{dataset}/{run}/seed{seed}.tsv"
    priority: 10
    conda:
        "../envs/train.yaml"
    threads: threads_of_run
    resources:
        mem_mb=32000,
        runtime=2880,
        gpu=gpus_of_training,
        nodes=nodes_of_training,
    params:
        **decided_by("train"),
        backbone=subpath(input.backbone, parent=True),
        folder=subpath(output.manifest, parent=True),
        work=work_of("train"),
        threads=threads_told,
    shell:
        "OMP_NUM_THREADS={params.threads:q} python -m gmner train "
        "--settings {params.settings:q} --samples {input.samples:q} --targets {input.targets:q}"
        " --backbone {params.backbone:q} --seed {wildcards.seed} --work-dir {params.work:q}"
        " --out-dir {params.folder:q} 2>&1 | tee -i {log:q}"
