"""Names of files and folders with blanks, quotes, semicolons, line breaks and leading dashes, from end to end."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.faults import Faults
from tests.helpers.pipeline import Pipeline, command

NASTY = (
    "two words.png",
    "semi;colon.png",
    'quote\'s "double".png',
    "$(touch pwned) `touch pwned`.png",
    "-rf.png",
    "--out=pwned.png",
    "new\nline.png",
    "{braces} {params.settings}.png",
    "glob*?[a].png",
    "ünï\u202ecode.png",
    "&& touch pwned #.png",
    "~.png",
    "50%s %(x)s \\n.png",
)


def tweets(names: tuple[str, ...]) -> list[dict[str, object]]:
    return [{"image": name, "text": "Ann in Rome", "entities": [{"mention": "Ann", "type": "PER"}]} for name in names]


@pytest.fixture
def pipeline(tmp_path: Path, repo: Path) -> Pipeline:
    made = Pipeline(tmp_path, repo)
    for name in NASTY:
        Image.new("RGB", (60, 40), "red").save(made.images / name)
    return made


def test_images_with_any_name_go_through_every_stage(pipeline: Pipeline, faults: Faults) -> None:
    pipeline.lines("test", tweets(NASTY))
    ran = pipeline.samples()
    assert ran.code == 0, ran.err
    pipeline.check_counts(len(NASTY))
    for name in NASTY:
        faults.add("names and paths", f"an image named `{name.encode('unicode_escape').decode()}`", "read and counted")


def test_a_path_with_a_leading_dash_is_given_as_a_path_or_refused(tmp_path: Path) -> None:
    assert command("config", "check", "--", "-config.yaml").code == 1
    assert command("config", "check", tmp_path / "-x.yaml").error.count("-x.yaml")


CONFIG = """
datasets:
  mine: {kind: folder, path: %s}
backbones:
  tiny: {kind: tiny}
teachers:
  t: {provider: template}
defaults: {backbone: tiny, teacher: t, prompt: short, generate: {batch_size: 16, max_new_tokens: 4}}
runs:
  untuned: {kind: untuned, title: "it's; $(touch pwned) {x} \\"q\\""}
tables:
  table1: {runs: [untuned]}
"""
FOLDER = "my data; touch pwned $(touch pwned) 'q' \"d\" {run}\n-x"
CONFIG_NAME = "-my config; touch pwned $(touch pwned) 'q'.yaml"
LINKED = ("Snakefile", "rules", "profiles", "workflow", "envs", "src", "config.yaml")


@pytest.mark.slow
@pytest.mark.e2e
def test_the_whole_workflow_with_nasty_names(tmp_path: Path, repo: Path, faults: Faults) -> None:
    root = tmp_path / "a folder; touch pwned 'x'"
    root.mkdir()
    for name in LINKED:
        (root / name).symlink_to(repo / name)
    images = root / FOLDER / "images"
    images.mkdir(parents=True)
    for name in NASTY:
        Image.new("RGB", (60, 40), "red").save(images / name)
    for split in ("train", "dev", "test"):
        text = "".join(json.dumps(tweet) + "\n" for tweet in tweets(NASTY))
        (root / FOLDER / f"{split}.jsonl").write_text(text, encoding="utf-8")
    (root / CONFIG_NAME).write_text(CONFIG % json.dumps(FOLDER), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    words = [sys.executable, "-m", "snakemake", "--cores", "1", f"--configfile=./{CONFIG_NAME}"]
    done = subprocess.run(
        [*words, "--", "results/table1.csv"], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    with (root / "results/table1.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = [row for row in csv.DictReader(stream) if row["source"] == "measured"]
    assert row["method"] == 'it\'s; $(touch pwned) {x} "q"' and row["samples"] == str(len(NASTY))
    assert not list(tmp_path.rglob("pwned*")) and not Path("pwned").exists()
    faults.add(
        "names and paths",
        "a project folder, data set folder, configuration and title with blanks, quotes, `;`, `$(…)`, braces, a line "
        "break, a leading dash, through Snakemake",
        "the table is written; nothing in a name is run",
    )
