"""The local provider with a real, untrained Qwen2.5-VL of the tiny backbone's form."""

import json
import shutil
from pathlib import Path

import pytest

from gmner.config.teachers import RationalesSettings
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.folders import store_folder
from gmner.rationales.stage import make_rationales
from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.teacher_samples import make_sample, write_samples

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gmner.demo.tiny_backbone.model import build_config, build_tiny, save_backbone, train_tokenizer

    path = tmp_path_factory.mktemp("backbone")
    tokenizer = train_tokenizer(["Mara Quist in Port Zelka", "the picture shows a scene", "reasoning"], 600)
    config = build_config(tokenizer, hidden=64, layers=2, feed_forward=96, vision_hidden=32, vision_layers=1)
    save_backbone(path, build_tiny(config, seed=0), tokenizer)
    return path


def test_a_local_model_answers_in_batches_and_is_not_asked_again(
    tmp_path: Path, image: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [make_sample(number, image_path=str(image)) for number in range(5)]
    path = write_samples(tmp_path / "samples.parquet", samples)
    teacher = {"provider": "local", "model": str(folder), "max_tokens": 8, "max_tries": 1, "batch_size": 4}
    settings = RationalesSettings.model_validate({"name": "t", "teacher": teacher})
    arguments = (settings, path, tmp_path / "r.parquet", tmp_path / "report.json", tmp_path / "store")
    report = make_rationales(*arguments)
    rows = read_table(tmp_path / "r.parquet", RATIONALES).to_pylist()
    assert len(rows) == 5 and report["samples"] == 5
    assert all(row["tokens_in"] > 100 and 0 < row["tokens_out"] <= 8 for row in rows)
    assert not rows[0]["accepted"] and rows[0]["reason"] is not None  # it is untrained
    from gmner.llm_client.providers import local as local_provider

    monkeypatch.setattr(local_provider, "load_backbone", None)
    make_rationales(*arguments)
    assert read_table(tmp_path / "r.parquet", RATIONALES).to_pylist() == rows


def test_the_hub_s_sampling_and_penalty_decide_nothing(tmp_path: Path, image: Path, folder: Path) -> None:
    hub = tmp_path / "hub"
    shutil.copytree(folder, hub)
    generation = json.loads((hub / "generation_config.json").read_text())
    generation |= {"do_sample": True, "temperature": 5.0, "repetition_penalty": 1.9, "top_k": 50, "top_p": 0.9}
    (hub / "generation_config.json").write_text(json.dumps(generation))
    path = write_samples(tmp_path / "samples.parquet", [make_sample(1, image_path=str(image))])
    texts = []
    for model in (folder, hub, hub):
        teacher = {"provider": "local", "model": str(model), "max_tokens": 24, "max_tries": 1}
        settings = RationalesSettings.model_validate({"name": "t", "teacher": teacher})
        store = tmp_path / f"store{len(texts)}"
        make_rationales(settings, path, tmp_path / "r.parquet", tmp_path / "report.json", store)
        texts += [one.answer.text for one in AnswerStore(store_folder(store, "local", str(model)))]
    assert texts[0] == texts[1] == texts[2]


def test_a_folder_without_a_model_is_named(tmp_path: Path, image: Path) -> None:
    path = write_samples(tmp_path / "samples.parquet", [make_sample(image_path=str(image))])
    teacher = {"provider": "local", "model": str(tmp_path / "none")}
    settings = RationalesSettings.model_validate({"name": "t", "teacher": teacher})
    with pytest.raises(GmnerError, match=r"none/config\.json: missing; expected the folder of a backbone"):
        make_rationales(settings, path, tmp_path / "r.parquet", tmp_path / "report.json", tmp_path / "store")
