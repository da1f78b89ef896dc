"""A provider that answers after a while, a server that does so by HTTP, and the samples they are asked about."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gmner.config.teachers import Budget, Limits
from gmner.core.records import Entity, Sample
from gmner.llm_client.answer_key import answer_key
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.ask import Asker, ask_all
from gmner.llm_client.chain import Judged
from gmner.llm_client.types import Answer, Message, Request, Usage


def make_sample(number: int) -> Sample:
    """Return a tweet with three entities, one of them visible."""
    entities = (
        Entity(0, 2, "Mara Quist", "PER", boxes=((4.0, 5.0, 40.0, 50.0),), description="red person"),
        Entity(3, 5, "Port Zelka", "LOC", description="green house"),
        Entity(6, 7, "Tavin", "PER"),
    )
    text = f"Mara Quist in Port Zelka with Tavin {number}"
    names = (f"train/{number}", "toy", "train", str(number), "none.png")
    return Sample(*names, (56, 56), tuple(text.split()), text, entities, "red person, blue house")


class OneQuestion:
    """A teaching with one question a sample and no judgement."""

    prompt_version, max_tries = "v", 1

    def first(self, sample: Sample) -> Request:
        """Return the question about a sample."""
        key = answer_key(provider="p", model="m", parameters={}, prompt_version="v", content={"text": sample.text})
        return Request(key, sample, (Message("user", sample.text),))

    def again(self, request: Request, answer: Answer, refusal: Any) -> Request:
        """Never called: nothing is refused."""
        raise AssertionError("nothing is refused")

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Take every answer."""
        return Judged(answer.text, None)


class SlowProvider:
    """A provider that answers every question after `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s

    async def answer(self, request: Request) -> Answer:
        """Wait, and answer."""
        await asyncio.sleep(self.delay_s)
        text = f"to {request.sample.text} " + "because " * 20
        return Answer(text, usage=Usage(30, 20), raw={"x": "y" * 500})

    async def close(self) -> None:
        """Nothing to close."""


def ask(folder: Path, provider: SlowProvider, count: int, limits: Limits) -> float:
    """Ask about so many samples; return the seconds."""
    store = AnswerStore(folder)
    asker = Asker(provider, store, Budget(), limits, None, 64)
    started = time.perf_counter()
    gave_up = asyncio.run(ask_all(asker, OneQuestion(), map(make_sample, range(count)), lambda sample: None))
    seconds = time.perf_counter() - started
    assert gave_up == 0 and len(store) == count
    return seconds


@contextmanager
def server_in_a_process(delay_s: float) -> Iterator[str]:
    """Run a server of chat completions in a process of its own; yield its address."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        asyncio.run(_serve(delay_s, writer))
        os._exit(0)
    try:
        yield os.read(reader, 100).decode()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


async def _serve(delay_s: float, ready: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head_of(reader):
            length = next(int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length"))
            body = json.loads(await reader.readexactly(length))
            await asyncio.sleep(delay_s)
            writer.write(_completion(body))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    os.write(ready, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}".encode())
    async with server:
        await server.serve_forever()


async def _head_of(reader: asyncio.StreamReader) -> list[bytes]:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return []


def _completion(body: dict[str, Any]) -> bytes:
    # An answer that is accepted: a rejected one is asked for again, which is not what is measured here.
    told = "Mara Quist is visible. Port Zelka is absent. Tavin is absent. " + "The text says so. " * 5
    message = {"role": "assistant", "content": told}
    data = json.dumps({
        "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140},
    }).encode()  # fmt: skip
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data
