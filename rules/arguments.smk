# Arguments of single rules: what is not the same for all stages.


def source_folders(wildcards):
    """Return the arguments that name the folders which a dataset is read from."""
    dataset = PLAN.config.datasets[wildcards.dataset]
    if dataset.kind != "twitter":
        return []
    found = ["--annotations-dir", "resources/twitter-gmner"]
    found += ["--images-dir", dataset.images_dir or "resources/twitter-images"]
    return [*found, "--fine-dir", "resources/twitter-fmnerg"] if dataset.fine else found


def shipped_backbone(wildcards):
    """Return the manifest of the tiny backbone that ships with the project, for a backbone that is made of it."""
    backbone = PLAN.config.backbones[wildcards.name]
    shipped = backbone.kind == "tiny" and not backbone.rebuild
    return local("workflow/assets/tiny/manifest.json") if shipped else []


def tiny_arguments(wildcards, input):
    """Return the argument that names the folder of the tiny backbone, shipped or trained here."""
    return ["--tiny", str(Path(str(input[0])).parent)] if len(input) else []


def rationales_or_none(wildcards, input):
    """Return the run's rationales for the command line, or the word none."""
    return str(input.get("rationales", "none"))


def start_of_refinement(wildcards, input):
    """Return the folder of the adapter that a refinement starts from."""
    return str(Path(str(input.get("train") or input.refine)).parent)


def targets_of_start(wildcards, input):
    """Return the argument that names the targets of the run that a refinement starts from, if it takes any."""
    return ["--targets", str(input.targets)] if input.get("targets") else []


def shards_of(wildcards):
    """Return in how many jobs a run's answers are made."""
    return (
        PLAN.config.settings_of(wildcards.run, wildcards.dataset).generate.shards
        if PLAN.kind(job_of("generate", wildcards)).sharded
        else 1
    )


def shards_to_gather(wildcards):
    """Return the results of all shards, for what gathers them; none if the work is done at once."""
    count = shards_of(wildcards)
    folder = Path(PLAN.place(job_of("generate", wildcards))).parent / "shards"
    return [f"{folder}/{number}-of-{count}.parquet" for number in range(count)] if count > 1 else []


def what_is_read(wildcards, input):
    """Return the arguments that name what a job reads."""
    words = []
    for name, path in input.items():
        if name in STAGES:
            words += [STAGES[name].read_as, str(Path(str(path)).parent if STAGES[name].read_folder else path)]
    return words


def gather_arguments(wildcards, input):
    """Return the arguments that name the shards to put together."""
    return ["--gather", *input.shards] if input.shards else []


def finished_results(wildcards):
    """Return the digests of what a report of what is finished shows: it is written again when they change."""
    return compact(PLAN.finished())


def unless_in_a_table():
    """Return what the default target makes beside Table 1: scores of the datasets that no table shows."""
    return [PLAN.place(job) for job in PLAN.shown_nowhere()]
