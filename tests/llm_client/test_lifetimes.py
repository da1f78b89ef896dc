"""Teachers that outlive their models: retirement, thinking, and what is said of an endpoint that is dead."""

import datetime
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from gmner.config.teachers import AnthropicTeacher, OpenAITeacher, RationalesSettings
from gmner.errors import ConfigError, GmnerError
from gmner.llm_client.answer_key import key_of
from gmner.llm_client.pricing import most_of
from gmner.llm_client.providers import make_provider
from gmner.llm_client.session import check_retirement
from gmner.llm_client.types import Message
from gmner.rationales.stage import make_rationales
from tests.helpers.fault_server import FaultServer
from tests.helpers.teacher_samples import make_sample, write_samples
from tests.helpers.teacher_stage import PROVIDERS, Stage

ASKED = (Message("user", "x"),)


def test_a_model_that_retires_is_warned_of_and_then_refused(caplog: pytest.LogCaptureFixture) -> None:
    teacher = OpenAITeacher(model="m", retires=datetime.date(2027, 1, 14))
    check_retirement(teacher, "t", datetime.date(2026, 12, 1))
    assert not caplog.records
    check_retirement(teacher, "t", datetime.date(2026, 12, 20))
    assert "retires on 2027-01-14, in 25 days" in caplog.text
    with pytest.raises(ConfigError, match=r"model 'm' retired on 2027-01-14.*name its successor"):
        check_retirement(teacher, "t", datetime.date(2027, 1, 14))


def test_a_retired_teacher_s_answers_are_still_used(tmp_path: Path, image: Path) -> None:
    stage = Stage(tmp_path, image, 3)
    with FaultServer() as server:
        rows = stage.run(server, "openai")
        assert stage.run(server, "openai", retires="2026-01-01") == rows
        with pytest.raises(ConfigError, match="retired on 2026-01-01"):
            stage.run(server, "openai", retires="2026-01-01", temperature=0.5)


def test_thinking_is_paid_and_counted_apart_from_the_answer() -> None:
    gpt = OpenAITeacher(model="m", max_tokens=100, thinking_tokens=4000, reasoning_effort="low",
                        max_tokens_name="max_completion_tokens", extra_body={"seed": 1})  # fmt: skip
    claude = AnthropicTeacher(model="m", max_tokens=100, thinking_tokens=4000)
    bodies: list[dict[str, Any]] = [
        make_provider(one)._body(ASKED)  # type: ignore[attr-defined]
        for one in (gpt, claude)
    ]
    assert bodies[0]["max_completion_tokens"] == 4100 == bodies[1]["max_tokens"]
    assert bodies[0]["reasoning_effort"] == "low" and bodies[0]["seed"] == 1
    assert bodies[1]["thinking"] == {"type": "enabled", "budget_tokens": 4000}
    assert most_of(ASKED, gpt.written_at_most, None, batch=False).tokens > 4100
    others = [gpt.model_copy(update=change) for change in
              ({"thinking_tokens": 0}, {"reasoning_effort": None}, {"extra_body": {}}, {"max_tokens": 5})]  # fmt: skip
    assert len({key_of(one, "v", ASKED) for one in (gpt, *others)}) == 5
    assert key_of(gpt, "v", ASKED) == key_of(gpt.model_copy(update={"retires": datetime.date.max}), "v", ASKED)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"thinking_tokens": 5}, "takes 0 or at least 1024"),
        ({"thinking_tokens": 2000, "temperature": 0.0}, "exclude each other"),
        ({"extra_body": {"max_tokens": 9}}, "would pass the budget"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AnthropicTeacher(model="m", **settings)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_dead_endpoint_says_so_at_once(
    tmp_path: Path, image: Path, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    samples = write_samples(tmp_path / "s.parquet", [make_sample(n, image_path=str(image)) for n in range(3)])
    teacher = {"provider": provider, "model": "m", "base_url": url, "limits": {"attempts": 2, "first_wait_s": 0.2}}
    settings = RationalesSettings.model_validate({"name": "t", "teacher": teacher})
    with caplog.at_level(logging.INFO), pytest.raises(GmnerError, match="samples have no answer"):
        make_rationales(settings, samples, tmp_path / "r", tmp_path / "report", tmp_path / "store")
    assert "no answer yet; 1 connection error; next try in 0." in caplog.text
    assert "samples/s" not in caplog.text


def test_a_usage_that_is_not_believed_is_told_and_keeps_its_bound(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tests.helpers.fault_server.tokens_of", lambda body: -120_000_000)
    stage = Stage(tmp_path, image, 6)
    with FaultServer() as server, pytest.raises(GmnerError, match="the budget is spent"):
        stage.run(server, "openai", budget={"usd": 0.02})
    assert len(server.ledger.seen) < 6 and "is not believable" in caplog.text
