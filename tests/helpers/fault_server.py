"""A server on loopback that speaks both wire formats and fails by script; it keeps its own ledger."""

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import threading
import time
import uuid
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

INPUT_PRICE, OUTPUT_PRICE = 2.0, 10.0  # dollars per million tokens
ALL_FAULTS = ("429", "429_after", "429_date", "500", "503", "502", "timeout", "reset", "truncated", "invalid",
              "empty", "refused", "wrong_type", "drip")  # fmt: skip
FREE = {"429", "429_after", "429_date", "500", "503"}  # the server did not do the work
WRONG_SETTING = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
REJECTIONS = {  # status, message, code, parameter
    "wrong_setting": (400, WRONG_SETTING, "unsupported_parameter", "max_tokens"),
    "rejected": (400, "Could not process image", None, None),
    "policy": (400, "Output blocked by content filtering policy", "content_filter", "prompt"),
}
FREE |= REJECTIONS.keys()
_ERRORS = {"429": 429, "429_after": 429, "429_date": 429, "500": 500, "503": 503, "502": 502}


@dataclass
class Seen:
    """One request for an answer, as the server saw it."""

    question: str
    answer_id: str
    fault: str | None
    charged: bool
    tokens: int = 0
    delivered: bool = False


@dataclass
class Ledger:
    """What the server was asked and what it charges; times are positions in `seen`."""

    seen: list[Seen] = field(default_factory=list)
    batches_created: int = 0
    batch_dollars: float = 0.0
    most_in_flight: int = 0
    in_flight: int = 0
    unauthorised: int = 0

    def dollars(self) -> float:
        paid = [one for one in self.seen if one.charged]
        return sum(one.tokens * INPUT_PRICE + 30 * OUTPUT_PRICE for one in paid) / 1e6 + self.batch_dollars


class FaultServer:
    """Serves from a thread of its own until `close`; `faults` gives the share of each fault."""

    def __init__(
        self,
        faults: dict[str, float] | None = None,
        *,
        seed: int = 0,
        delay_s: float = 0.0,
        key: str | None = None,
        echo_key: bool = False,
        retry_after_s: float = 0.05,
        batch_polls: int = 2,
        batch_faults: dict[str, Any] | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.faults = faults or {}
        self.delay_s, self.key, self.retry_after_s = delay_s, key, retry_after_s
        self.echo_key = echo_key
        self.batch_polls, self.batch_faults = batch_polls, batch_faults or {}
        self._random = random.Random(seed)
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._started.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def __enter__(self) -> "FaultServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ", 2)
                headers = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if not await self._route(method, path, headers, body, writer):
                    break
        writer.close()

    async def _route(
        self, method: str, path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.key is not None and given != self.key:
            self.ledger.unauthorised += 1
            return await _reply(
                writer, 401, {"error": {"message": f"Incorrect API key provided: {given}", "type": "x"}}
            )
        self._said = f" for {given}" if self.echo_key else ""
        route = path.split("?")[0].removeprefix("/v1")
        if method == "POST" and route in ("/chat/completions", "/messages"):
            self.ledger.in_flight += 1
            self.ledger.most_in_flight = max(self.ledger.most_in_flight, self.ledger.in_flight)
            try:
                return await self._answer(json.loads(body), route == "/messages", writer)
            finally:
                self.ledger.in_flight -= 1
        return await self._batch_route(method, path, route, headers, body, writer)

    async def _answer(self, body: dict[str, Any], anthropic: bool, writer: asyncio.StreamWriter) -> bool:
        draw, fault = self._random.random(), None
        for name, share in self.faults.items():
            draw -= share
            if draw < 0:
                fault = name
                break
        seen = Seen(question_of(body), f"a-{uuid.uuid4().hex}", fault, fault not in FREE, tokens_of(body))
        self.ledger.seen.append(seen)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if fault in _ERRORS:
            extra = {}
            if fault == "429_after":
                extra["retry-after"] = str(self.retry_after_s)
            if fault == "429_date":
                extra["retry-after"] = formatdate(time.time() + self.retry_after_s, usegmt=True)
            return await _reply(
                writer, _ERRORS[fault], {"error": {"message": f"fault {fault}{self._said}", "type": "x"}}, extra
            )
        if fault in REJECTIONS:
            return await _reply(writer, REJECTIONS[fault][0], rejection(fault, anthropic))
        if self.echo_key:
            body = {**body, "model": body["model"] + self._said}
        text = {"empty": "", "refused": "I can not help with that."}.get(fault or "", answer_to(seen.question, body))
        reply = message(body, seen, text) if anthropic else completion(body, seen, text)
        if fault == "timeout":
            await asyncio.sleep(30)
            return False
        return await self._send(writer, json.dumps(reply).encode(), fault, seen)

    async def _send(self, writer: asyncio.StreamWriter, data: bytes, fault: str | None, seen: Seen) -> bool:
        if fault == "reset":
            writer.write(_head(200, len(data)) + data[: len(data) // 2])
            await writer.drain()
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST
            return False
        if fault == "truncated":
            data = data[: len(data) // 2]
        if fault == "invalid":
            data = b"{'choices': nonsense"
        if fault == "wrong_type":
            data = b"<html>gateway</html>"
        kind = "text/html" if fault == "wrong_type" else "application/json"
        writer.write(_head(200, len(data), kind))
        if fault == "drip":
            for start in range(0, len(data), 64):
                writer.write(data[start : start + 64])
                await writer.drain()
                await asyncio.sleep(0.02)
        else:
            writer.write(data)
        await writer.drain()
        seen.delivered = True
        return True

    async def _batch_route(
        self, method: str, path: str, route: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        parts = route.strip("/").split("/")
        if route == "/files" and method == "POST":
            name = f"file-{uuid.uuid4().hex}"
            self._files[name] = body.split(b"\r\n\r\n")[-1].split(b"\r\n--")[0]
            for piece in body.split(b"\r\n--"):
                if b"filename=" in piece.split(b"\r\n\r\n")[0]:
                    self._files[name] = piece.split(b"\r\n\r\n", 1)[1]
            return await _reply(writer, 200, {"id": name, "object": "file", "bytes": 1, "created_at": int(time.time()),
                                              "filename": "x", "purpose": "batch", "status": "processed"})  # fmt: skip
        if parts[0] == "files" and parts[-1] == "content":
            data = self._files[parts[1]]
            if self.batch_faults.pop("cut_results", False):
                data = data[: len(data) // 2]
            return await _reply_bytes(writer, data, "application/octet-stream")
        anthropic = parts[0] == "messages"
        parts = parts[1:] if anthropic else parts
        if parts == ["batches"] and method == "POST":
            return await self._create(json.loads(body), anthropic, writer)
        if parts == ["batches"]:
            batches = [self._view(batch) for batch in reversed(self._batches.values())]
            if "after" in path:
                batches = []
            page = {"data": batches, "has_more": False, "object": "list", "first_id": None, "last_id": None}
            return await _reply(writer, 200, page)
        batch = self._batches.get(parts[1])
        if batch is None:
            return await _reply(writer, 404, {"error": {"message": "no such batch", "type": "x"}})
        if parts[-1] == "results":
            return await _reply_bytes(writer, b"".join(batch["results"]), "application/x-jsonl")
        if self.batch_faults.get("poll_500", 0) > 0:
            self.batch_faults["poll_500"] -= 1
            return await _reply(writer, 500, {"error": {"message": "fault 500", "type": "x"}})
        batch["polls"] -= 1
        return await _reply(writer, 200, self._view(batch))

    async def _create(self, body: dict[str, Any], anthropic: bool, writer: asyncio.StreamWriter) -> bool:
        if self.batch_faults.get("create_500", 0) > 0:
            self.batch_faults["create_500"] -= 1
            return await _reply(writer, 500, {"error": {"message": "fault 500", "type": "x"}})
        self.ledger.batches_created += 1
        name = f"batch_{uuid.uuid4().hex}"
        batch: dict[str, Any] = {"id": name, "anthropic": anthropic, "created": time.time(), "results": [],
                                 "polls": self.batch_polls, "metadata": body.get("metadata")}  # fmt: skip
        if anthropic:
            lines = [(one["custom_id"], one["params"]) for one in body["requests"]]
        else:
            rows = [json.loads(row) for row in self._files[body["input_file_id"]].decode().split("\n") if row]
            lines = [(row["custom_id"], row["body"]) for row in rows]
        batch["count"] = len(lines)
        # So many of the first batch's questions expire.
        expired = batch["expired"] = self.batch_faults.pop("expire", 0)
        for index, (custom_id, question) in enumerate(lines):
            batch["results"] += self._result(custom_id, question, anthropic, index < expired)
        if self.batch_faults.get("duplicates"):
            batch["results"] += batch["results"][::2]
        self._random.shuffle(batch["results"])
        if not anthropic:
            batch["output"] = f"file-{uuid.uuid4().hex}"
            self._files[batch["output"]] = b"".join(batch["results"])
        self._batches[name] = batch
        if self.batch_faults.pop("lose_created", False):  # the batch is there, its answer is not
            writer.write(_head(200, 1000))
            await writer.drain()
            return False
        return await _reply(writer, 200, self._view(batch))

    def _result(self, custom_id: str, question: dict[str, Any], anthropic: bool, expired: bool) -> list[bytes]:
        seen = Seen(question_of(question), f"a-{uuid.uuid4().hex}", "expired" if expired else None, False, 0, True)
        self.ledger.seen.append(seen)
        result: dict[str, Any]
        if fault := self.batch_faults.get("rejection"):
            result = {"type": "errored", "error": rejection(fault, True)} if anthropic else {"status_code": 400}
            if not anthropic:
                result["body"] = rejection(fault, False)
        elif expired:
            result = {"type": "expired"} if anthropic else {"code": "batch_expired", "message": "expired"}
        else:
            seen.tokens = tokens_of(question)
            self.ledger.batch_dollars += (seen.tokens * INPUT_PRICE + 30 * OUTPUT_PRICE) / 2e6
            text = answer_to(seen.question, question)
            reply = message(question, seen, text) if anthropic else completion(question, seen, text)
            result = {"type": "succeeded", "message": reply} if anthropic else {"status_code": 200, "body": reply}
        if anthropic:
            line: dict[str, Any] = {"custom_id": custom_id, "result": result}
        elif expired:
            line = {"custom_id": custom_id, "id": "r", "response": None, "error": result}
        else:
            line = {"custom_id": custom_id, "id": "r", "response": {**result, "request_id": "r"}, "error": None}
        return [json.dumps(line, ensure_ascii=False).encode() + b"\n"]

    def _view(self, batch: dict[str, Any]) -> dict[str, Any]:
        ended, count = batch["polls"] <= 0, batch["count"]
        if batch["anthropic"]:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch["created"]))
            counts = {"processing": 0 if ended else count, "succeeded": count if ended else 0, "errored": 0,
                      "canceled": 0, "expired": 0}  # fmt: skip
            results = f"{self.url}/v1/messages/batches/{batch['id']}/results"
            return {"id": batch["id"], "type": "message_batch", "created_at": stamp, "expires_at": stamp,
                    "processing_status": "ended" if ended else "in_progress", "request_counts": counts,
                    "results_url": results if ended else None}  # fmt: skip
        return {"id": batch["id"], "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "f",
                "completion_window": "24h", "created_at": int(batch["created"]), "metadata": batch["metadata"],
                "status": "completed" if ended else "in_progress",
                "request_counts": {"total": count, "completed": count - batch["expired"], "failed": 0},
                "output_file_id": batch["output"] if ended else None}  # fmt: skip


def question_of(body: dict[str, Any]) -> str:
    """Return what makes a question: all texts of the conversation."""
    return "\n".join(_texts(body))


def tokens_of(body: dict[str, Any]) -> int:
    """Count tokens as this server does: a token for four characters, eighty for an image."""
    return sum(len(text) // 4 for text in _texts(body)) + 80 * json.dumps(body).count("base64")


def _texts(body: dict[str, Any]) -> list[str]:
    texts = []
    system = body.get("system") or []
    for content in [system, *(one["content"] for one in body["messages"])]:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts += [part["text"] for part in parts if part["type"] == "text"]
    return texts


def answer_to(question: str, body: dict[str, Any]) -> str:
    """Write a rationale that fits the annotation in the question."""
    found = dict(re.findall(r"- mention: (.*?); type: .*?; in the picture: (visible|absent)", question))
    return "The picture shows a scene. " + " ".join(f"{mention}: {seen}." for mention, seen in found.items())


def completion(body: dict[str, Any], seen: Seen, text: str) -> dict[str, Any]:
    """Return a chat completion."""
    refusal = text if seen.fault == "refused" else None
    usage = {"prompt_tokens": seen.tokens, "completion_tokens": 30, "total_tokens": seen.tokens + 30}
    reply = {"role": "assistant", "content": None if refusal else text, "refusal": refusal}
    return {"id": seen.answer_id, "object": "chat.completion", "created": 1, "model": body["model"], "usage": usage,
            "choices": [{"index": 0, "finish_reason": "stop", "message": reply}]}  # fmt: skip


def message(body: dict[str, Any], seen: Seen, text: str) -> dict[str, Any]:
    """Return an Anthropic message."""
    cached = seen.tokens // 3 if "cache_control" in json.dumps(body.get("system", "")) else 0
    usage = {"input_tokens": seen.tokens - cached, "output_tokens": 30, "cache_read_input_tokens": cached}
    stop = "refusal" if seen.fault == "refused" else "end_turn"
    return {"id": seen.answer_id, "type": "message", "role": "assistant", "model": body["model"], "usage": usage,
            "stop_reason": stop, "stop_sequence": None, "content": [{"type": "text", "text": text}]}  # fmt: skip


def rejection(fault: str, anthropic: bool) -> dict[str, Any]:
    """Return the body of an error that asking again does not mend."""
    _, text, code, parameter = REJECTIONS[fault]
    if anthropic:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
    return {"error": {"message": text, "type": "invalid_request_error", "param": parameter, "code": code}}


def _head(status: int, length: int, kind: str = "application/json", extra: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _reply(
    writer: asyncio.StreamWriter, status: int, value: dict[str, Any], extra: dict[str, str] | None = None
) -> bool:
    data = json.dumps(value).encode()
    writer.write(_head(status, len(data), extra=extra) + data)
    await writer.drain()
    return True


async def _reply_bytes(writer: asyncio.StreamWriter, data: bytes, kind: str) -> bool:
    writer.write(_head(200, len(data), kind) + data)
    await writer.drain()
    return True
