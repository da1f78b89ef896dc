"""Checking a configuration: defaults, overrides, and errors that say what is right."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gmner.config import config_schema, load_config, load_config_file
from gmner.errors import ConfigError

BASE: dict[str, Any] = {
    "datasets": {"demo-gmner": {"kind": "demo"}, "demo-fmnerg": {"kind": "demo", "fine": True}},
    "backbones": {"tiny": {"kind": "tiny"}},
    "teachers": {"template": {"provider": "template"}},
    "defaults": {"backbone": "tiny", "teacher": "template", "train": {"epochs": 3}},
    "runs": {"full": None, "no-cot": {"cot": False, "train": {"batch_size": 4}}, "plain": {"kind": "untuned"}},
    "tables": {"table1": {"runs": ["full", "plain"]}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(BASE)
    *folders, last = path.split("/")
    here = data
    for name in folders:
        here[name] = here.get(name) or {}
        here = here[name]
    here[last] = value
    return data


def test_defaults_are_merged_into_runs() -> None:
    config = load_config(BASE)
    assert config.runs["no-cot"].train.epochs == 3
    assert config.runs["no-cot"].train.batch_size == 4
    assert config.runs["full"].train.batch_size == 2  # the authors'
    assert not config.runs["no-cot"].cot and config.runs["full"].cot


def test_authors_settings_are_the_defaults() -> None:
    run = load_config(BASE).runs["full"]
    assert (run.train.learning_rate, run.train.weight_decay, run.train.accumulation) == (5e-4, 0.1, 8)
    assert (run.train.lora.r, run.train.lora.alpha, run.train.lora.dropout) == (32, 64, 0.05)
    assert (run.grbp.beta, run.grbp.gamma, run.grbp.iou_guard, run.grbp.tries) == (0.1, 0.1, 0.6, 5)


def test_frame_follows_the_backbone_family() -> None:
    revision = "0" * 40
    data = changed("backbones/q25", {"kind": "hub", "id": "Qwen/Qwen2.5-VL-7B-Instruct", "revision": revision})
    newer = {"kind": "hub", "id": "Qwen/Qwen3-VL-8B-Instruct", "revision": revision, "family": "qwen3-vl"}
    data["backbones"]["q3"] = newer
    data["backbones"]["small"] = {"kind": "tiny", "frame": {"max_pixels": 30000}}
    found = load_config(data).backbones
    q25, q3, small = found["q25"].frame, found["q3"].frame, found["small"].frame
    assert (q25.coordinates, q25.factor, q25.min_pixels) == ("absolute", 28, 256 * 28 * 28)
    assert q25.max_pixels == 1024 * 28 * 28
    assert (q3.coordinates, q3.factor) == ("norm1000", 32)
    assert (small.min_pixels, small.max_pixels) == (14000, 30000)


def test_sources_keep_what_is_not_changed() -> None:
    source = load_config(changed("sources/twitter-gmner/mirror", "folder")).sources["twitter-gmner"]
    assert source.mirror == "folder" and "c5679560682d038e9d7b91f2de145350d21e4cc1" in source.url


def test_numbers_that_yaml_reads_as_text() -> None:
    assert load_config(changed("defaults/train/learning_rate", "5e-4")).runs["full"].train.learning_rate == 5e-4


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("runs/full/grbp/betta", 1, "runs.full.grbp.betta: unknown key; did you mean 'beta'?"),
        ("runs/full/grbp/beta", -1, "runs.full.grbp.beta is -1: input should be greater than or equal to 0"),
        (
            "runs/full/backbone",
            "tinny",
            "runs.full.backbone is 'tinny': no such name in backbones; did you mean 'tiny'?",
        ),
        ("runs/full/teacher", "templat", "runs.full.teacher is 'templat': no such name in teachers; did you mean"),
        ("runs/full/datasets", ["demo-gmnr"], "runs.full.datasets is 'demo-gmnr': no such name in datasets; did you"),
        ("tables/table1/runs", ["ful"], "tables.table1 is 'ful': no such name in runs; did you mean 'full'?"),
        ("tables/tabel1", {"runs": ["full"]}, "tables.tabel1: unknown key; did you mean 'table1'?"),
        ("datasets/demo-gmner/kind", "dmo", 'datasets.demo-gmner.kind is "dmo": not one of the choices; did you mean'),
        ("datasets/demo-gmner/trian", 3, "datasets.demo-gmner.trian: unknown key; did you mean 'train'?"),
        ("datasets/demo-gmner/train", 0, "datasets.demo-gmner.train is 0: "),
        ("datasets/x", {"train": 3}, "datasets.x.kind: is missing"),
        (
            "datasets/t",
            {"kind": "twitter", "fine": True, "version": "v1"},
            "datasets.t: fine types exist for version v2.0",
        ),
        (
            "teachers/template/style",
            "tersse",
            'teachers.template.style is "tersse": not one of the choices; did you mean',
        ),
        ("backbones/h", {"kind": "hub", "id": "a/b", "revision": "main"}, 'backbones.h.revision is "main": '),
        (
            "backbones/tiny/frame",
            {"min_pixels": 30000},
            "backbones.tiny.frame: min_pixels is 30000, more than max_pixels",
        ),
        ("runs/full/train/learning_rate", "fast", 'runs.full.train.learning_rate is "fast": '),
        ("runs/full/train/warmup_ratio", 1.0, "runs.full.train.warmup_ratio is 1.0: input should be less than 1"),
        ("runs/full/grbp/scale_bounds", [2, 1], "runs.full.grbp: scale_bounds are 2.0 and 1.0; need"),
        ("sources/twitter-gmnr", {"url": "x"}, "did you mean 'twitter-gmner'?"),
        ("runs/a b", {}, 'runs.a b is "a b": '),
        ("seeds", [1, 1], "seeds: seeds must be different"),
        ("seeeds", [1], "seeeds: unknown key; did you mean 'seeds'?"),
    ],
)
def test_errors_name_key_value_and_the_nearest_right_one(path: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(changed(path, value))
    assert said in str(caught.value)


def test_the_figure_shows_tuned_runs_only() -> None:
    config = changed("tables/figure3", {"runs": ["full"]})
    config["runs"]["full"] = {"kind": "untuned"}
    with pytest.raises(ConfigError, match=r"tables.figure3 shows run 'full', whose kind is untuned"):
        load_config(config)


def test_what_is_wrong_in_defaults_is_said_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(changed("defaults/grbp", {"beta": 7}))
    assert str(caught.value) == "defaults.grbp.beta is 7: input should be less than or equal to 1"


def test_what_is_wrong_in_defaults_is_said_once_for_runs_with_a_dot_too() -> None:
    data = changed("defaults/train/epochs", 0)
    data["runs"]["strength-0.2"] = {"grbp": {"beta": 0.2}}
    with pytest.raises(ConfigError) as caught:
        load_config(data)
    assert len(str(caught.value).splitlines()) == 1, caught.value


def test_all_problems_are_named_at_once() -> None:
    data = changed("runs/full", {"backbone": "x", "teacher": "y"})
    with pytest.raises(ConfigError) as caught:
        load_config(data)
    assert len(str(caught.value).splitlines()) == 2


def test_untuned_runs_have_one_seed_and_need_no_teacher() -> None:
    data = changed("seeds", [1, 2, 3])
    data["runs"]["plain"]["teacher"] = "nobody"
    config = load_config(data)
    assert config.seeds_of("plain") == (1,) and config.seeds_of("full") == (1, 2, 3)


def test_file_errors_name_the_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("runs: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not valid YAML"):
        load_config_file(broken)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config_file(tmp_path / "none.yaml")


def test_schema_in_the_repository_is_the_models(repo: Path) -> None:
    kept = json.loads((repo / "workflow/schemas/config.schema.json").read_text())
    assert kept == config_schema(), "run: python -m gmner config schema --out workflow/schemas/config.schema.json"


def test_import_is_light() -> None:
    heavy = ("torch", "pandas", "numpy", "pyarrow")
    code = f"import sys, gmner.workflow.plan; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("action", ["check", "show"])
def test_command_line(repo: Path, action: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gmner", "config", action, str(repo / "config.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0 and ("good" in done.stdout or "learning_rate: 0.003" in done.stdout)


REFINED = {
    "datasets": {"d": {"kind": "demo"}, "e": {"kind": "demo"}},
    "backbones": {"tiny": {"kind": "tiny"}},
    "teachers": {"t": {"provider": "template"}},
    "defaults": {"backbone": "tiny", "teacher": "t"},
    "runs": {"full": {}, "better": {"kind": "refined", "from": "full"}, "held": {"kind": "decoded", "from": "better"}},
}


def test_a_run_takes_the_adapter_of_another() -> None:
    config = load_config(REFINED)
    assert config.trained_run("held") == config.runs["full"]
    assert load_config(config.model_dump(mode="json", exclude={"defaults"})).runs == config.runs


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"kind": "refined"}, "takes no run's adapter; set from: to one of full"),
        ({"kind": "refined", "from": "fulll"}, "did you mean 'full'"),
        ({"kind": "tuned", "from": "full"}, "only a run of kind refined or decoded takes another one's adapter"),
        ({"kind": "decoded", "from": "raw"}, "no such name in the runs that are trained"),
        ({"kind": "refined", "from": "loop"}, "takes, over others, its own adapter"),
        ({"kind": "refined", "from": "one"}, "'one', whose adapter it takes, is not trained on e"),
        ({"kind": "refined", "from": "full", "backbone": "other"}, "'full' was trained on 'tiny'"),
        ({"kind": "refined", "from": "full", "refine": {"micro_batch": 7}}, "does not divide the 64 answers"),
        ({"kind": "refined", "start": "full"}, "did you mean"),
    ],
)
def test_an_adapter_that_cannot_be_taken_is_named(run: dict[str, object], words: str) -> None:
    config = copy.deepcopy(REFINED)
    config["backbones"]["other"] = {"kind": "tiny"}
    config["runs"] |= {
        "raw": {"kind": "untuned"},
        "loop": {"kind": "refined", "from": "bad"},
        "one": {"datasets": ["d"]},
    }
    config["runs"]["bad"] = run
    if run.get("from") != "loop":
        del config["runs"]["loop"]
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(config)
