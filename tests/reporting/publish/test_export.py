"""An exported run, used by plain transformers and peft in a process that cannot import gmner."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from transformers import AutoTokenizer

from gmner.cli import main
from gmner.reporting.annotate import annotate, load_adapter
from gmner.reporting.publish.export import push

WITHOUT = "import runpy, sys; sys.modules['gmner'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "a.png"
    Image.radial_gradient("L").resize((120, 80)).convert("RGB").save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("merge", [False, True], ids=["adapter", "merged"])
def test_use_py_gives_the_same_answer_without_gmner(
    run_dir: Path, backbone: Path, image: Path, tmp_path: Path, merge: bool
) -> None:
    out = tmp_path / "out"
    assert main(["export", "--run", str(run_dir), "--out", str(out), *(["--merge"] if merge else [])]) == 0
    expected = annotate(load_adapter(run_dir, max_new_tokens=512), image, "Anna in &amp; Oslo").output
    command = [sys.executable, "-c", WITHOUT, str(out / "use.py"), str(image), "Anna in &amp; Oslo"]
    command += [] if merge else [str(backbone)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    written = done.stdout.strip().removesuffix("</answer>").removesuffix("<|im_end|>")
    assert written[:200] == expected.strip()[:200]
    assert AutoTokenizer.from_pretrained(out).chat_template
    card = (out / "README.md").read_text(encoding="utf-8")
    for word in ("license:", "## Training", "## Scores", "## Licence", "prompt", "seed", "carbon"):
        assert word in card
    assert str(backbone.parent) not in (out / "adapter_config.json").read_text() if not merge else True
    assert main(["export", "--run", str(run_dir), "--out", str(out)]) == 1  # never over another


def test_push_uploads_to_the_hub_and_refuses_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    class Hub:
        def create_repo(self, name: str, **options: Any) -> str:
            asked.append((name, options))
            return f"https://hub/{name}"

        def upload_folder(self, **options: Any) -> None:
            asked.append(("upload", options))

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    with pytest.raises(Exception, match="expected ORG/NAME"):
        push(tmp_path, "name")
    with pytest.raises(Exception, match="expected a folder that gmner export wrote"):
        push(tmp_path, "a/b")
    (tmp_path / "README.md").write_text("x")
    assert push(tmp_path, "a/b") == "https://hub/a/b"
    assert asked[0] == ("a/b", {"private": True, "exist_ok": True}) and asked[1][1]["folder_path"] == str(tmp_path)


def test_a_table_has_a_card_whose_lines_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa.parquet.write_table(pa.table({"sample_id": ["a", "b"], "text": ["x", "y"]}), tmp_path / "targets.parquet")
    out = tmp_path / "card"
    assert main(["export", "--table", str(tmp_path / "targets.parquet"), "--out", str(out)]) == 0
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'load_dataset("parquet", data_files="data/targets.parquet")' in card and "| sample_id | `string` |" in card
    monkeypatch.chdir(out)
    rows = datasets.load_dataset("parquet", data_files="data/targets.parquet", cache_dir=str(tmp_path / "cache"))
    assert len(rows["train"]) == 2
