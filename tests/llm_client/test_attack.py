"""A provider that answers anything at all: never a traceback, never over the budget, no answer lost."""

import http.server
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.folders import store_folder
from gmner.rationales.stage import make_rationales
from tests.helpers.teacher_samples import make_sample, write_samples
from tests.helpers.teacher_stage import PROVIDERS, rationales_settings

DEEP = "[" * 20_000 + "]" * 20_000
COUNTS = st.sampled_from([0, 1, 30, -7, 10**20, True, "12", 1.5, None, [], {}, float("nan"), float("inf")])
ODD = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**20), st.text(max_size=5), st.just([]), st.just({}),
                st.just([[{}]]), st.just(float("nan")))  # fmt: skip
STATUSES = (400, 429, 500, 200, "200", None, 0)
BODIES = ("good", "usage", "part", "odd", "deep", "cut", "empty")
LINES = (*BODIES, "no_id", "no_status", "odd_response", "foreign", "twice", "missing", "error", "status", "not_json")


@st.composite
def script(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw what happens to each question in turn; what follows is answered well."""
    return [
        {"kind": draw(st.sampled_from(LINES)), "value": draw(ODD), "place": draw(st.integers(0, 3)),
         "usage": [draw(COUNTS) for _ in range(4)], "status": draw(st.sampled_from(STATUSES))}
        for _ in range(draw(st.integers(1, 12)))
    ]  # fmt: skip


class Anything:
    """A server of both wire formats that plays a script; it charges for every question that it was sent."""

    def __init__(self, plays: list[dict[str, Any]], *, shuffle: bool) -> None:
        self.plays, self.shuffle = list(plays), shuffle
        self.charged, self.good = 0, set[str]()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._reply(*server.post(self.path.split("?")[0].removeprefix("/v1"), body))

            def do_GET(self) -> None:
                self._reply(200, server.get(self.path.split("?")[0].removeprefix("/v1")))

            def _reply(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path in ("/chat/completions", "/messages"):
            self.charged += 1
            play = self.plays.pop() if self.plays else {"kind": "good"}
            if play["kind"] == "status" and play["status"] in (429, 500):
                self.charged -= 1  # these say themselves that they did no work
                return play["status"], b"{}"
            return 200, self.body(path == "/messages", play)
        if path == "/files":
            self.files["file-1"] = body.split(b"\r\n\r\n")[-1].split(b"\r\n--")[0]
            for piece in body.split(b"\r\n--"):
                if b"filename=" in piece.split(b"\r\n\r\n")[0]:
                    self.files["file-1"] = piece.split(b"\r\n\r\n", 1)[1]
            return 200, b'{"id": "file-1"}'
        value = json.loads(body)
        anthropic = "requests" in value
        rows = value["requests"] if anthropic else [json.loads(r) for r in self.files["file-1"].split(b"\n") if r]
        self.charged += len(rows)
        lines = [line for row in rows for line in self.lines(anthropic, row["custom_id"])]
        name = f"b{len(self.batches)}"
        self.files[f"out-{name}"] = b"\n".join(lines[::-1] if self.shuffle else lines) + b"\n"
        self.batches[name] = {"id": name, "status": "completed", "processing_status": "ended", "created_at": 1,
                              "metadata": value.get("metadata"), "output_file_id": f"out-{name}"}  # fmt: skip
        if anthropic:
            self.batches[name]["created_at"] = "2026-01-01T00:00:00Z"
        return 200, json.dumps(self.batches[name]).encode()

    def get(self, path: str) -> bytes:
        parts = path.strip("/").split("/")
        if parts[0] == "files":
            return self.files[parts[1]]
        if parts[-1] == "results":
            return self.files[f"out-{parts[-2]}"]
        if parts[-1] == "batches":
            return json.dumps({"data": list(self.batches.values()), "has_more": False}).encode()
        return json.dumps(self.batches[parts[-1]]).encode()

    def body(self, anthropic: bool, play: dict[str, Any]) -> bytes:
        text = "A scene. Mara Quist: visible. Port Zelka: absent. Tavin: absent."
        usage: Any = dict(zip(("input_tokens", "output_tokens"), (40, 20), strict=True)) if anthropic else {
            "prompt_tokens": 40, "completion_tokens": 20}  # fmt: skip
        kind = play["kind"]
        if kind == "usage":
            a, b, c, d = play["usage"]
            usage = {"input_tokens": a, "output_tokens": b, "cache_read_input_tokens": c,
                     "cache_creation_input_tokens": d} if anthropic else {
                     "prompt_tokens": a, "completion_tokens": b,
                     "prompt_tokens_details": {"cached_tokens": c}}  # fmt: skip
            usage = [usage, None, play["value"], usage][play["place"]]
        reply = {"role": "assistant", "content": text}
        value: Any = {"id": "x", "usage": usage}
        value |= (
            {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"} if anthropic
            else {"choices": [{"message": reply, "finish_reason": "stop"}]}
        )  # fmt: skip
        if kind == "part":
            name = ("content" if anthropic else "choices", "stop_reason", "usage", "id")[play["place"]]
            value[name] = play["value"]
        if kind == "odd":
            value = play["value"]
        data = json.dumps(value).encode()
        if kind == "deep":
            data = data[:-1] + f', "x": {DEEP}}}'.encode()
        return {"cut": data[: len(data) // 2], "empty": b""}.get(kind, data)

    def lines(self, anthropic: bool, name: str) -> list[bytes]:
        play = self.plays.pop() if self.plays else {"kind": "good"}
        kind, odd = play["kind"], play.get("value")
        body = self.body(anthropic, play if kind in BODIES else {"kind": "good"}).decode() or "null"
        error = json.dumps({"code": "x", "message": odd})
        if anthropic:
            result = f'{{"type": "succeeded", "message": {body}}}'
            if kind in ("error", "status"):
                result = json.dumps({"type": ["errored", "expired", "canceled", odd][play["place"]], "error": odd})
            if kind == "odd_response":
                result = json.dumps(odd)
            line = f'{{"custom_id": {json.dumps(name)}, "result": {result}}}'
        else:
            status = json.dumps(play["status"]) if kind == "status" else "200"
            response = f'{{"status_code": {status}, "body": {body}}}'
            if kind == "no_status":
                response = f'{{"body": {body}}}'
            if kind == "odd_response":
                response = json.dumps(odd)
            if kind == "error":
                response = "null"
            line = f'{{"custom_id": {json.dumps(name)}, "response": {response}, "error": {error}}}'
        if kind == "no_id":
            line = line.replace('"custom_id"', '"other"')
        if kind == "foreign":
            line = line.replace(name, "f" * 60)
        if kind == "not_json":
            line = line[:-5]
        if kind == "good":
            self.good.add(name)
        return {"missing": [], "twice": [line.encode()] * 2}.get(kind, [line.encode()])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", ["sync", "batch"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(plays=script(), shuffle=st.booleans(), room=st.integers(1, 9))
def test_whatever_a_provider_answers(
    provider: str, mode: str, plays: list[dict[str, Any]], shuffle: bool, room: int
) -> None:
    server = Anything(plays, shuffle=shuffle)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            count = 4
            samples = write_samples(folder / "samples.parquet", [make_sample(number) for number in range(count)])
            more = {"mode": mode, "image": None, "max_tries": 1, "batch_requests": 3, "budget": {"requests": room}}
            teacher = rationales_settings(server.url, provider, **more)
            try:
                make_rationales(teacher, samples, folder / "r.parquet", folder / "report.json", folder / "store")
                ended = True
            except GmnerError as error:
                assert "\n" not in str(error)
                ended = False
            assert server.charged <= room
            store = AnswerStore(store_folder(folder / "store", provider, "big"))
            assert not store.damage and len(store) <= count
            kept = [one.key for one in store]
            assert all(any(key.startswith(good.partition("-")[2] or good) for key in kept) for good in server.good)
            committed = store.committed()
            assert server.charged <= committed.requests and committed.requests <= room
            assert ended == (folder / "r.parquet").exists()
            store.close()
    finally:
        server.close()
