"""The plan: which jobs there are, what each is given, and on what it depends."""

from pathlib import Path
from typing import Any

import pytest

from gmner.config import load_config
from gmner.config.root import deep_merge
from gmner.errors import ConfigError
from gmner.workflow.job import Job
from gmner.workflow.plan import Plan, compact

BASE: dict[str, Any] = {
    "datasets": {
        "demo": {"kind": "demo", "train": 8},
        "tweets": {"kind": "twitter"},
        "fine": {"kind": "twitter", "fine": True},
    },
    "backbones": {
        "tiny": {"kind": "tiny"},
        "big": {"kind": "hub", "id": "a/b", "revision": "0" * 40},
    },
    "teachers": {
        "template": {"provider": "template"},
        "terse": {"provider": "template", "style": "terse"},
        "in-process": {"provider": "local", "model": "resources/backbones/big"},
    },
    "defaults": {"backbone": "tiny", "teacher": "template", "datasets": ["demo"], "train": {"select": "last"}},
    "runs": {"untuned": {"kind": "untuned"}, "full": {}, "no-cot": {"cot": False}},
    "tables": {"table1": {"runs": ["untuned", "full"]}},
}


def plan(**over: Any) -> Plan:
    return Plan(load_config(deep_merge(BASE, over)))


def test_only_what_runs_need_is_made() -> None:
    found = plan()
    assert found.jobs("samples") == [Job("samples", dataset="demo")]
    assert found.jobs("rationales") == [Job("rationales", dataset="demo", name="template")]
    assert found.jobs("backbone") == [Job("backbone", name="tiny")]
    assert found.jobs("download") == []
    assert [job.run for job in found.jobs("train")] == ["full", "no-cot"]
    assert [job.run for job in found.jobs("scores")] == ["untuned", "full", "no-cot"]


def test_rationales_are_shared_by_runs_and_seeds() -> None:
    found = plan(seeds=[1, 2], runs={"other": {"grbp": {"beta": 0.2}}})
    assert len(found.jobs("rationales")) == 1
    assert len(found.jobs("train")) == 6 and len(found.jobs("generate")) == 7


def test_downloads_of_the_twitter_data_sets() -> None:
    def names(dataset: str, **over: Any) -> list[str]:
        found = plan(defaults={"datasets": [dataset]}, **over)
        return [job.name for job in found.jobs("download")]

    assert names("tweets") == ["twitter-gmner", "twitter-images"]
    assert names("fine") == ["twitter-gmner", "twitter-images", "twitter-fmnerg"]
    assert names("tweets", datasets={"tweets": {"images_dir": "here"}}) == ["twitter-gmner"]


def test_a_teacher_in_process_waits_for_its_model() -> None:
    found = plan(defaults={"teacher": "in-process"})
    assert set(found.jobs("backbone")) == {Job("backbone", name="tiny"), Job("backbone", name="big")}


@pytest.mark.parametrize(
    ("over", "changed"),
    [
        ({"grbp": {"beta": 0.2}}, {"targets", "train", "generate", "predictions", "scores"}),
        ({"train": {"learning_rate": 0.1}}, {"train", "generate", "predictions", "scores"}),
        ({"train": {"log_to": "tensorboard", "gradient_checkpointing": False}}, set()),
        ({"train": {"micro_batch": 1, "attention": "eager", "liger": False}}, set()),
        ({"train": {"quantization": "nf4"}}, {"train", "generate", "predictions", "scores"}),
        ({"generate": {"engine": "vllm"}}, {"generate", "predictions", "scores"}),
        ({"generate": {"max_new_tokens": 7}}, {"generate", "predictions", "scores"}),
        ({"generate": {"batch_size": 7}}, set()),
        ({"generate": {"merge": True, "precision": "fp32"}}, {"generate", "predictions", "scores"}),
        ({"generate": {"quantization": "nf4"}}, {"generate", "predictions", "scores"}),
        ({"score": {"iou": 0.75}}, {"scores"}),
        ({"title": "Ours"}, set()),
        ({"cot": False}, {"targets", "train", "generate", "predictions", "scores"}),
    ],
)
def test_what_a_setting_changes(over: dict[str, Any], changed: set[str]) -> None:
    before, after = plan(), plan(runs={"full": over})
    stages = ("targets", "train", "generate", "predictions", "scores")
    jobs = [Job(stage, dataset="demo", run="full", seed=42) for stage in stages]
    assert {job.stage for job in jobs if before.identity(job) != after.identity(job)} == changed
    untouched = [Job(stage, dataset="demo", run="no-cot", seed=42) for stage in stages]
    assert all(before.identity(job) == after.identity(job) for job in untouched)


ADDRESS = {"endpoint": "ours", "base_url": "http://a:1/v1"}


@pytest.mark.parametrize(
    ("before", "over", "same"),
    [
        (ADDRESS, {"base_url": "http://b:2/v1"}, True),  # `endpoint` stands for it
        ({"base_url": "http://a:1/v1"}, {"base_url": "http://b:2/v1"}, False),
        (ADDRESS, {"endpoint": "theirs"}, False),
        (ADDRESS, {"max_tokens_name": "max_completion_tokens"}, True),
        (ADDRESS, {"image": {"tokens": 99}}, True),
        (ADDRESS, {"image": {"max_side": 99}}, False),
        (ADDRESS, {"image": None}, False),
        (ADDRESS, {"least_accepted": 0.1, "budget": {"requests": 9}, "limits": {"longest_asked_wait_s": 9}}, True),
        (ADDRESS, {"max_tokens": 9}, False),
    ],
)
def test_what_a_teacher_s_setting_changes(before: dict[str, Any], over: dict[str, Any], same: bool) -> None:
    def planned(more: dict[str, Any]) -> Plan:
        teacher = {"provider": "openai", "model": "big", **before, **more}
        return plan(
            teachers={"remote": teacher},
            runs={"taught": {"teacher": "remote"}, "alone": {"kind": "api", "teacher": "remote"}},
        )

    jobs = [Job("rationales", dataset="demo", name="remote"), Job("generate", dataset="demo", run="alone", seed=42)]
    jobs += [Job(stage, dataset="demo", run="taught", seed=42) for stage in ("targets", "train", "scores")]
    first, second = planned({}), planned(over)
    assert [first.identity(job) == second.identity(job) for job in jobs] == [same] * 5


def test_a_source_s_mirror_changes_nothing() -> None:
    job = Job("samples", dataset="tweets")
    mirrored = plan(sources={"twitter-gmner": {"mirror": "here"}})
    assert plan().identity(job) == mirrored.identity(job)
    assert '"mirror":"here"' in compact(mirrored.settings(Job("download", name="twitter-gmner")).model_dump())


def test_a_table_says_what_each_row_is() -> None:
    settings = plan(seeds=[1, 2]).settings(Job("tables", name="table1")).model_dump()
    rows = [(row["run"], row["seed"], row["strength"], row["teacher"]) for row in settings["rows"]]
    assert rows == [("untuned", 1, None, None), ("full", 1, 0.1, "template"), ("full", 2, 0.1, "template")]
    assert settings["rows"][1]["scores"] == "results/scores/demo/full/seed1/scores.json"


def test_a_table_that_is_not_configured() -> None:
    with pytest.raises(ConfigError, match=r"tables\.table2 is not in the configuration"):
        plan().inputs(Job("tables", name="table2"))


def test_an_api_run_asks_a_provider_and_needs_no_backbone() -> None:
    teacher = {"provider": "openai", "model": "gpt-4o"}
    found = plan(teachers={"gpt": teacher}, runs={"asked": {"kind": "api", "teacher": "gpt", "backbone": "none"}})
    job = Job("generate", dataset="demo", run="asked", seed=42)
    assert job in found.jobs("generate")
    assert job.run not in {other.run for other in found.jobs("train")}
    predictions = Job("predictions", dataset="demo", run="asked", seed=42)
    assert job in found.inputs(predictions)
    assert found.settings(predictions).model_dump()["frame"]["coordinates"] == "norm1000"
    with pytest.raises(ConfigError, match="that answers no question"):
        plan(runs={"asked": {"kind": "api"}})


def test_a_run_can_differ_by_dataset() -> None:
    more = {"demo2": {"kind": "demo", "train": 9}}
    own = {"demo2": {"train": {"epochs": 7}, "teacher": "in-process"}}
    found = plan(datasets=more, runs={"full": {"datasets": ["demo", "demo2"], "per_dataset": own}})
    epochs = {
        name: found.settings(Job("targets", name, "full", 42)).model_dump()["epochs"] for name in ("demo", "demo2")
    }
    assert epochs["demo2"] == 7 != epochs["demo"]
    assert Job("rationales", dataset="demo2", name="in-process") in found.jobs("rationales")
    same = plan(datasets=more, runs={"full": {"datasets": ["demo", "demo2"]}})
    assert found.identity(Job("scores", "demo", "full", 42)) == same.identity(Job("scores", "demo", "full", 42))
    for wrong, said in (
        ({"demo3": {}}, r"per_dataset\.demo3 is 'demo3': no such name in datasets; did you mean"),
        ({"demo2": {"kind": "untuned"}}, r"per_dataset\.demo2\.kind: is the same for all datasets"),
        ({"demo2": {"train": {"epochz": 1}}}, r"epochz: unknown key; did you mean 'epochs'"),
        ({"demo2": {"backbone": "none"}}, r"per_dataset\.demo2\.backbone is 'none': no such name in backbones"),
    ):
        with pytest.raises(ConfigError, match=said):
            plan(datasets=more, runs={"full": {"per_dataset": wrong}})


@pytest.mark.parametrize(
    ("both", "over"),
    [
        ({"grbp": {"enabled": False}}, {"grbp": {"beta": 0.7, "gamma": 0.2, "tries": 9}}),
        ({"train": {"select": "last"}}, {"train": {"eval_samples": 3}, "generate": {"batch_size": 9}}),
    ],
)
def test_what_is_off_decides_nothing(both: dict[str, Any], over: dict[str, Any]) -> None:
    before, after = plan(runs={"full": both}), plan(runs={"full": deep_merge(both, over)})
    job = Job("scores", dataset="demo", run="full", seed=42)
    assert before.identity(job) == after.identity(job)
    assert before.identity(Job("tables", name="table1")) == after.identity(Job("tables", name="table1"))


def test_printed_numbers_and_the_shipped_backbone_count_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = {"table": Job("tables", name="table1"), "backbone": Job("backbone", name="tiny")}
    files = {"table": Path("workflow/paper/table1.csv"), "backbone": Path("workflow/assets/tiny/manifest.json")}
    for name, path in files.items():
        before = plan().identity(jobs[name])
        path.parent.mkdir(parents=True)
        path.write_text("a")
        first = plan().identity(jobs[name])
        path.write_text("b")
        assert len({before, first, plan().identity(jobs[name])}) == 3


def test_what_no_table_shows_is_said() -> None:
    found = plan(datasets={"mine": {"kind": "demo"}}, teachers={"spare": {"provider": "template"}}).config.in_no_table()
    assert "mine" in found["datasets"] and "spare" in found["teachers"] and "full" not in found["runs"]


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"seeds": 42}, r"seeds is 42: must be a list; write \[42\]"),
        ({"runs": {"full": {"train": {"lora": {"rank": 8}}}}}, r"lora\.rank: unknown key; did you mean 'r'\?"),
        ({"runs": {"full": {"train": 3}}}, r"train is 3: must be a mapping"),
    ],
)
def test_an_error_says_what_to_write(over: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(**over)


def test_a_folder_of_ones_own_is_done_by_default_though_other_tables_show_it(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    datasets = {"demo": {"kind": "demo"}, "mine": {"kind": "folder", "path": str(tmp_path)}}
    tables = {"table1": {"runs": ["full"], "datasets": ["demo"]}, "table3": {"runs": ["full"]}}
    runs = {"full": {}, "other": {}}
    found = plan(datasets=datasets, defaults={"datasets": ["demo", "mine"]}, runs=runs, tables=tables)
    assert {(job.dataset, job.run) for job in found.shown_nowhere()} == {("mine", "full")}
