"""A canary key is planted, and everything that was written is searched for it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gmner.llm_client.errors import Secret, read_secret, wait_of
from tests.helpers.fault_server import FaultServer
from tests.helpers.teacher_samples import make_sample, write_samples

CANARY = "sk-canary-5f0c2d77a1b94e3d"


def everything_in(folder: Path) -> str:
    texts = []
    for path in folder.rglob("*"):
        if path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                texts.append(str(pq.read_table(path).to_pylist()) + str(pq.read_schema(path).metadata))
    return "\n".join(texts)


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("accepted", [True, False])
def test_the_key_is_nowhere(tmp_path: Path, image: Path, provider: str, accepted: bool) -> None:
    write_samples(tmp_path / "samples.parquet", [make_sample(n, image_path=str(image)) for n in range(30)])
    # The server sends the key back in its messages, as some do.
    with FaultServer({"500": 0.2, "truncated": 0.1}, key=CANARY if accepted else "another", echo_key=True) as server:
        base = f"{server.url}/v1" if provider == "openai" else server.url
        limits = {"first_wait_s": 0.01, "longest_wait_s": 0.05}
        teacher = {"provider": provider, "model": "big", "base_url": base, "limits": limits}
        settings = json.dumps({"name": "t", "teacher": teacher})
        command = [sys.executable, "-m", "gmner", "stage", "rationales", "--settings", settings,
                   "--samples", str(tmp_path / "samples.parquet"), "--out", str(tmp_path / "r.parquet"),
                   "--report", str(tmp_path / "report.json"), "--store", str(tmp_path / "store")]  # fmt: skip
        environment = os.environ | {
            "OPENAI_API_KEY": CANARY, "ANTHROPIC_API_KEY": CANARY, "GMNER_LOG": "DEBUG", "TMPDIR": str(tmp_path)
        }  # fmt: skip
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        while process.poll() is None:
            line = Path(f"/proc/{process.pid}/cmdline")
            if line.exists():
                assert CANARY not in line.read_text()
            time.sleep(0.05)
    log_text = (tmp_path / "log").read_text()
    assert process.returncode == (0 if accepted else 1), log_text[-2000:]
    assert "Traceback" not in log_text
    if not accepted:
        errors = [line for line in log_text.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and "refuses the key" in errors[0]
    text = everything_in(tmp_path)
    assert "train/7" in text and CANARY not in text and CANARY[8:] not in text


def test_a_secret_does_not_show_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", CANARY)
    secret = read_secret("SOME_KEY", needed=True)
    assert CANARY not in repr(secret) + str(secret) + f"{[secret]}"
    assert secret.scrub_json({"a": [f"x {CANARY}"], CANARY: 1}) == {"a": ["x <SOME_KEY>"], "<SOME_KEY>": 1}
    assert Secret("V", "").scrub("text") == "text" == Secret("V", "ex").scrub("text")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({}, None), ({"retry-after": "2"}, 2.0), ({"retry-after": "1.5"}, 1.5), ({"retry-after-ms": "250"}, 0.25),
     ({"retry-after": "soon"}, None), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
     ({"retry-after": "Wed, 21 Oct 2099 07:28:05 GMT", "date": "Wed, 21 Oct 2099 07:28:00 GMT"}, 5.0)],
)  # fmt: skip
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert wait_of(headers) == expected
