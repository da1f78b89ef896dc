"""Real tweets and boxes through every stage, from download to a table, with stand-in images."""

import csv
import json
import zipfile

import pytest

from gmner.storage.tables import read_samples
from tests.helpers.standin_images import image_ids, write_standins

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LIMIT = 12


def test_the_smoke_configuration_runs_on_the_real_annotations(workspace, shared_dir, tmp_path):
    archive = next((shared_dir / "data").glob("GMNER-*.zip"))
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(tmp_path)  # only to know the sizes of the images to stand in
    version = next(tmp_path.glob("GMNER-*/Twitter10000_v2.0"))
    ids = [name for split in ("train", "dev", "test") for name in image_ids(version / f"txt/{split}.txt", LIMIT)]
    write_standins(workspace.root / "images", version / "xml", ids)
    settings = [
        f"datasets={{'twitter-gmner': {{'images_dir': 'images', 'limit': {LIMIT}}}}}",
        f"sources={{'twitter-gmner': {{'mirror': '{archive}'}}}}",
    ]
    command = ["--configfile", "workflow/configs/smoke.yaml", "--config", *settings]
    workspace.snakemake(*command, "--", "results/table1.csv")

    samples = read_samples(workspace.root / "results/samples/twitter-gmner/samples.parquet")
    assert len(samples) == 3 * LIMIT and {sample.image_id for sample in samples} == set(ids)
    assert any(entity.boxes for sample in samples for entity in sample.entities)
    with (workspace.root / "results/table1.csv").open(encoding="utf-8", newline="") as stream:
        measured = [row for row in csv.DictReader(stream) if row["source"] == "measured"]
    assert {row["dataset"] for row in measured} == {"twitter-gmner"} and len(measured) == 2
    scores = json.loads(
        (workspace.root / "results/scores/twitter-gmner/full/seed42/scores.json").read_text(encoding="utf-8")
    )
    assert scores["samples"] == LIMIT
    assert "Nothing to be done" in workspace.snakemake(*command, "--dry-run", "--", "results/table1.csv")
