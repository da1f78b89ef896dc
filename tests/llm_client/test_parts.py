"""A teacher asked by several jobs: the table of one job, each question asked once, the budget kept by all together."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gmner.cli import main
from gmner.config.teachers import RationalesSettings
from gmner.errors import GmnerError
from gmner.generation.shares import Shard
from gmner.llm_client.answer_store import AnswerStore, store_folder
from gmner.llm_client.ledger import read_sums, spent_of
from gmner.llm_client.parts import part_folder
from gmner.rationales.stage import ask_shard, make_rationales
from tests.helpers.fault_server import INPUT_PRICE, OUTPUT_PRICE, FaultServer
from tests.helpers.teacher_samples import make_sample, write_samples

COUNT = 30


@pytest.fixture
def samples(tmp_path: Path, image: Path) -> Path:
    made = [make_sample(number, image_path=str(image)) for number in range(COUNT)]
    return write_samples(tmp_path / "samples.parquet", made)


def ask(samples: Path, server: FaultServer, store: str, *more: str, **changes: Any) -> int:
    teacher = {
        **{"provider": "openai", "model": "big", "base_url": f"{server.url}/v1", "max_tokens": 64, "shards": 3},
        **{"price": {"input": INPUT_PRICE, "output": OUTPUT_PRICE}, **changes},
    }
    place = samples.parent
    out = place / (f"{store}-{more[1]}.json" if more else f"{store}.parquet")
    report = () if more else ("--report", str(place / f"{store}.json"))
    return main(
        [
            *("rationales", "--settings", json.dumps({"name": "t", "teacher": teacher}), "--samples", str(samples)),
            *("--out", str(out), "--store", str(place / store), *report, *more),
        ]
    )


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


def test_parts_make_the_table_of_the_whole_and_ask_nothing_twice(samples: Path) -> None:
    place = samples.parent
    with FaultServer() as server:
        assert ask(samples, server, "whole", shards=1) == 0
        once = len(server.ledger.seen)
        for number in range(3):
            assert ask(samples, server, "parts", "--shard", f"{number}-of-3") == 0
        folder = store_folder(place / "parts", "openai", "big")
        assert len(AnswerStore(folder)) == 0 and len(AnswerStore(part_folder(folder, Shard(0, 3)))) >= COUNT // 3
        assert ask(samples, server, "parts", "--shard", "0-of-2") == 0  # other parts' answers count
        assert ask(samples, server, "parts") == 0
        assert len(server.ledger.seen) == 2 * once
        assert ask(samples, server, "parts", "--shard", "1-of-3") == 0
        assert ask(samples, server, "parts") == 0
        assert len(server.ledger.seen) == 2 * once
    assert not (folder / "parts").exists()
    whole = store_folder(place / "whole", "openai", "big")
    assert {stored.key for stored in AnswerStore(folder)} == {stored.key for stored in AnswerStore(whole)}
    assert read_sums(folder)[0].paid.requests == read_sums(whole)[0].paid.requests == once
    assert (place / "parts.parquet").read_bytes() == (place / "whole.parquet").read_bytes()
    assert (place / "parts.json").read_bytes() == (place / "whole.json").read_bytes()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_budget_holds_for_main_and_parts_that_ask_at_the_same_time(
    samples: Path, image: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    place, dollars = samples.parent, 0.03
    others = [make_sample(100 + number, image_path=str(image)) for number in range(COUNT)]
    other = write_samples(place / "other.parquet", others)
    with FaultServer({"500": 0.1, "reset": 0.1}, delay_s=0.01) as server:
        teacher = {
            **{"provider": provider, "model": "big", "max_tokens": 64, "budget": {"usd": dollars}},
            **{"base_url": server.url + ("/v1" if provider == "openai" else "")},
            **{"limits": {"first_wait_s": 0.01}, "price": {"input": INPUT_PRICE, "output": OUTPUT_PRICE}},
        }
        settings = RationalesSettings.model_validate({"name": "t", "teacher": teacher})

        def ask_all(shard: Shard | None) -> str:
            try:
                if shard is None:
                    make_rationales(settings, other, place / "o.parquet", place / "o.json", place / "store")
                else:
                    ask_shard(settings, samples, shard, place / f"{shard}.json", place / "store")
            except GmnerError as error:
                return str(error)
            return ""

        shards = [None, *(Shard(number, 3) for number in range(3)), *(Shard(number, 2) for number in range(2))]
        for _ in range(2):
            with ThreadPoolExecutor(len(shards)) as pool:
                said = list(pool.map(ask_all, shards))
            assert any("the budget is spent: $0.0" in text for text in said)
            folder = store_folder(place / "store", provider, "big")
            noted = sum(spent_of(one).usd or 0.0 for one in (folder, *(folder / "parts").glob("*")))
            assert 0 < server.ledger.dollars() <= noted + 1e-9 <= dollars + 2e-9


def test_a_budget_holds_for_all_parts_together(samples: Path) -> None:
    with FaultServer() as server:
        budget = {"requests": COUNT // 2}
        codes = [ask(samples, server, "poor", "--shard", f"{number}-of-3", budget=budget) for number in range(3)]
        assert codes == [0, 1, 1]  # who comes first takes what it needs
        assert len(server.ledger.seen) == COUNT // 2
        assert ask(samples, server, "poor", budget=budget) == 1
        assert len(server.ledger.seen) == COUNT // 2
    folder = store_folder(samples.parent / "poor", "openai", "big")
    assert len(AnswerStore(folder)) == COUNT // 2
