"""A full round trip against an OpenAI-compatible server that is not ours: `transformers serve`.

It loads vision models through `AutoProcessor`, which wants torchvision, so it serves a text model here: a small
random Qwen2. What it writes is no reasoning; every answer must arrive, be counted, be kept and be judged.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmner.config.teachers import RationalesSettings
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.folders import store_folder
from gmner.rationales.stage import make_rationales
from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.teacher_samples import make_sample, write_samples

pytest.importorskip("fastapi", reason="pip install 'transformers[serving]' for the round trip")
pytest.importorskip("uvicorn", reason="pip install 'transformers[serving]' for the round trip")
START_S = 120


def save_model(folder: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from gmner.demo.tiny_backbone.model import CHAT_TEMPLATE, train_tokenizer

    tokenizer = train_tokenizer(["Mara Quist in Port Zelka", "the picture shows a scene", "reasoning"], 500)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    save_model(folder / "model")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    beside = Path(sys.executable).with_name("transformers")
    program = str(beside) if beside.exists() else shutil.which("transformers")
    assert program is not None
    command = [program, "serve", str(folder / "model"), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "home")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_S
        while not _is_up(f"{url}/health"):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield f"{url}/v1", folder
    finally:
        process.terminate()
        process.wait(20)


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.slow
def test_a_full_round_trip(tmp_path: Path, served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)  # an endpoint of one's own needs none
    url, folder = served
    path = write_samples(tmp_path / "samples.parquet", [make_sample(number) for number in range(6)])
    teacher = {"provider": "openai", "model": str(folder / "model"), "base_url": url, "endpoint": "serve",
               "image": None, "max_tokens": 12, "max_tries": 2, "price": {"input": 1, "output": 1}}  # fmt: skip
    settings = RationalesSettings.model_validate({"name": "served", "teacher": teacher})
    arguments = (settings, path, tmp_path / "r.parquet", tmp_path / "report.json", tmp_path / "store")
    report = make_rationales(*arguments)
    rows = read_table(tmp_path / "r.parquet", RATIONALES).to_pylist()
    assert [row["sample_id"] for row in rows] == [f"train/{number}" for number in range(6)]
    assert all(row["accepted"] or row["reason"] for row in rows)
    answers = list(AnswerStore(store_folder(tmp_path / "store", "openai", teacher["model"])))
    assert len(answers) == sum(row["tries"] for row in rows) >= 6
    for stored in answers:
        usage = stored.answer.usage
        assert stored.answer.raw["object"] == "chat.completion" and usage.tokens_in > 50 and usage.tokens_out <= 12
        assert stored.answer.cost_usd == pytest.approx(usage.tokens / 1e6)
    assert report["tokens_in"] == sum(stored.answer.usage.tokens_in for stored in answers)
    monkeypatch.setattr("gmner.llm_client.session.make_provider", None)
    assert make_rationales(*arguments) == report
