"""Questions that a provider will not take: a wrong setting stops the run, its policy is an answer, nothing is green."""

import json
from pathlib import Path
from typing import Any

import pytest

from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.errors import Secret, failure_of_status, is_refusal
from gmner.llm_client.folders import store_folder
from gmner.llm_client.types import Answer, PassingError, RejectedError
from tests.helpers.fault_server import WRONG_SETTING, FaultServer
from tests.helpers.teacher_stage import PROVIDERS, Stage

SECRET = Secret("KEY", "sk-secret-key")


def folder_of(stage: Stage, provider: str) -> Path:
    return store_folder(stage.folder / "store", provider, "big")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_a_wrong_setting_stops_the_run_and_is_no_answer(tmp_path: Path, image: Path, provider: str, mode: str) -> None:
    stage = Stage(tmp_path, image, 40)
    with FaultServer({"wrong_setting": 1.0}, batch_faults={"rejection": "wrong_setting"}) as server:
        with pytest.raises(GmnerError, match="it names 'max_tokens': set the teacher's max_tokens_name to") as caught:
            stage.run(server, provider, mode=mode)
        assert "\n" not in str(caught.value) and len(server.ledger.seen) <= 40
        assert not (tmp_path / "r.parquet").exists() and len(AnswerStore(folder_of(stage, provider))) == 0
        server.faults, server.batch_faults = {}, {}
        assert all(row["accepted"] for row in stage.run(server, provider, mode=mode))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_when_the_first_questions_are_all_rejected_it_is_a_setting(
    tmp_path: Path, image: Path, provider: str, mode: str
) -> None:
    stage = Stage(tmp_path, image, 200)
    with FaultServer({"rejected": 1.0}, batch_faults={"rejection": "rejected"}) as server:
        with pytest.raises(GmnerError, match=r"rejected the first \d+ questions and answered none.*process image"):
            stage.run(server, provider, mode=mode, batch_requests=20)
        assert len(server.ledger.seen) <= (30 if mode == "sync" else 200)
        assert len(AnswerStore(folder_of(stage, provider))) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_one_rejected_question_is_named_and_asked_once(tmp_path: Path, image: Path, provider: str) -> None:
    stage = Stage(tmp_path, image, 20)
    with FaultServer({"rejected": 0.2}, seed=3) as server:
        limits = {"start_in_flight": 1, "max_in_flight": 1, "first_wait_s": 0.01}
        with pytest.raises(GmnerError, match=r"samples have no answer.*question about sample 'train/\d+'.*import"):
            stage.run(server, provider, limits=limits)
        assert len(server.ledger.seen) == 20 == len({one.question for one in server.ledger.seen})


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_a_refusal_by_policy_is_an_answer(tmp_path: Path, image: Path, provider: str, mode: str) -> None:
    stage = Stage(tmp_path, image, 3)
    with FaultServer({"policy": 1.0}, batch_faults={"rejection": "policy"}) as server:
        rows = stage.run(server, provider, mode=mode, max_tries=1)
        assert [row["reason"].split(":")[0] for row in rows] == ["refused"] * 3
        stage.run(server, provider, mode=mode, max_tries=1)
        assert len(server.ledger.seen) == 3


@pytest.mark.parametrize(
    ("status", "error", "kind", "said"),
    [
        (400, {"message": WRONG_SETTING, "param": "max_tokens"}, GmnerError, "max_tokens_name to max_completion"),
        (400, {"message": "temperature: range is 0..1"}, GmnerError, "it names 'temperature'"),
        (400, {"message": "Unsupported value: 'temperature' does not support 0 with this model."}, GmnerError, "null"),
        (400, {"message": "max_tokens: 9 > 8, which is the maximum"}, GmnerError, "change the teacher's max_tokens"),
        (400, {"message": "invalid model ID", "param": None}, GmnerError, "it names 'model'"),
        (400, {"message": "The model `x` does not exist", "param": None}, GmnerError, "it names 'model'"),
        (400, {"message": "Your credit balance is too low"}, GmnerError, "no credit"),
        (400, {"message": "This model's maximum context length is 10 tokens", "param": "messages"}, RejectedError, ""),
        (400, {"message": "input length and `max_tokens` exceed context limit"}, RejectedError, ""),
        (413, {"message": "Request exceeds the maximum size"}, RejectedError, "413"),
        (400, {"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
               "code": "invalid_prompt"}, Answer, ""),
        (400, {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
                          "policy.", "param": "prompt", "code": "content_filter"}, Answer, ""),
        (400, {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed"},
         Answer, ""),
        (403, {"message": "x requires moderation and your input was flagged"}, Answer, ""),
        (403, {"message": "Your organization violated our usage policies"}, GmnerError, "refuses the key"),
        (500, {"message": "content_filter"}, PassingError, ""),
    ],
)  # fmt: skip
def test_what_an_error_means(status: int, error: dict[str, Any], kind: type, said: str) -> None:
    for body in ({"error": error}, error):
        text = f"Error code: {status} - {body}"
        meaning = failure_of_status(status, text, {}, SECRET, "m", body)
        assert isinstance(meaning, kind) and said in str(meaning), meaning
        assert is_refusal(text) == (kind in (Answer, PassingError))
    assert type(failure_of_status(status, json.dumps({"error": error}), {}, SECRET, "m")) is type(meaning)
