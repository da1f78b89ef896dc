"""A model hub on loopback: the protocol that huggingface_hub speaks, over a folder with one model's repository.

As on the real one: the commit and the ETag come with HEAD; files in large storage are answered by a redirect to
another address, which honours ranges; the listing knows each file's size and the digest of large ones.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


class StandinHub:
    """Serves `folder` as the repository `model_id` whose one commit is `revision`, until `close`.

    `requests` keeps (method, path, range) of all that came; `cut` names files whose body breaks off half way, once
    per entry.
    """

    def __init__(self, folder: Path, model_id: str, revision: str) -> None:
        self.folder, self.model_id, self.revision = folder, model_id, revision
        self.requests: list[tuple[str, str, str | None]] = []
        self.cut: list[str] = []
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        self.entries = {name: _entry(folder / name) for name in names}
        self._by_digest = {entry["lfs"]["oid"]: name for name, entry in self.entries.items() if "lfs" in entry}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def info(self) -> dict[str, Any]:
        """What /api/models says about the repository, its files' sizes and digests included."""
        siblings = []
        for name, entry in self.entries.items():
            found = {"rfilename": name, "size": entry["size"], "blobId": entry["oid"]}
            if "lfs" in entry:
                found["lfs"] = {"sha256": entry["lfs"]["oid"], "size": entry["size"], "pointerSize": 135}
            siblings.append(found)
        about = {"_id": "0" * 24, "id": self.model_id, "modelId": self.model_id, "sha": self.revision}
        return {**about, "private": False, "gated": False, "disabled": False, "tags": [], "siblings": siblings}

    def bodies_sent(self, ending: str) -> int:
        """How many requests asked for the content of files with this ending."""
        names = {name for name in self.entries if name.endswith(ending)}
        sent = [path.rsplit("/", 1)[-1] for method, path, _ in self.requests if method == "GET"]
        return sum(name in names or self._by_digest.get(name) in names for name in sent)

    def file_of(self, path: str) -> tuple[str, bool] | None:
        """The file that a path asks for and whether it is a redirect's target; None if there is no such file."""
        if path.startswith("/lfs/"):
            name = self._by_digest.get(path.removeprefix("/lfs/"))
            return (name, True) if name else None
        found = re.fullmatch(rf"/{re.escape(self.model_id)}/resolve/([^/]+)/(.+)", path)
        if found and found[1] in (self.revision, "main") and found[2] in self.entries:
            return found[2], False
        return None


def _entry(path: Path) -> dict[str, Any]:
    digest, blob, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), path.stat().st_size
    blob.update(f"blob {size}\0".encode())
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            blob.update(chunk)
    entry: dict[str, Any] = {"type": "file", "path": path.name, "size": size, "oid": blob.hexdigest()}
    if path.suffix == ".safetensors":
        entry["lfs"] = {"oid": digest.hexdigest(), "size": size, "pointerSize": 135}
    return entry


def _handler_of(hub: StandinHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.split("?")[0]
            hub.requests.append((self.command, path, self.headers.get("Range")))
            api = f"/api/models/{hub.model_id}"
            if path in (api, f"{api}/revision/{hub.revision}", f"{api}/revision/main"):
                return self._send_json(hub.info())
            if path in (f"{api}/tree/{hub.revision}", f"{api}/tree/main"):
                return self._send_json(list(hub.entries.values()))
            found = hub.file_of(path)
            if found is None:
                code = "RevisionNotFound" if path.startswith(f"/{hub.model_id}/resolve/") else "RepoNotFound"
                if path.startswith(f"/{hub.model_id}/resolve/{hub.revision}/"):
                    code = "EntryNotFound"
                return self._send_head(404, 0, {"X-Error-Code": code, "X-Error-Message": code})
            name, redirected = found
            entry = hub.entries[name]
            headers = {"X-Repo-Commit": hub.revision, "Accept-Ranges": "bytes"}
            if "lfs" in entry and not redirected:
                digest = entry["lfs"]["oid"]
                headers |= {"X-Linked-Size": str(entry["size"]), "X-Linked-ETag": f'"{digest}"'}
                return self._send_head(302, 0, {**headers, "Location": f"{hub.url}/lfs/{digest}"})
            etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
            return self._send_file(name, {**headers, "ETag": f'"{etag}"'})

        def _send_json(self, value: Any) -> None:
            data = json.dumps(value).encode()
            self._send_head(200, len(data), {"Content-Type": "application/json"})
            if self.command == "GET":
                self.wfile.write(data)

        def _send_file(self, name: str, headers: dict[str, str]) -> None:
            size, first, last = hub.entries[name]["size"], 0, hub.entries[name]["size"] - 1
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if asked:
                first, last = int(asked[1]), min(int(asked[2] or last), last)
                headers = {**headers, "Content-Range": f"bytes {first}-{last}/{size}"}
            left = last - first + 1
            self._send_head(206 if asked else 200, left, headers)
            if self.command != "GET":
                return
            if name in hub.cut:
                hub.cut.remove(name)
                left //= 2
                self.close_connection = True
            with (hub.folder / name).open("rb") as stream:
                stream.seek(first)
                while left and (chunk := stream.read(min(_CHUNK, left))):
                    try:
                        self.wfile.write(chunk)
                    except (BrokenPipeError, ConnectionResetError):
                        self.close_connection = True
                        return
                    left -= len(chunk)

        def _send_head(self, code: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(code)
            for key, value in {"Content-Length": str(length), **headers}.items():
                self.send_header(key, value)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    return Handler


@contextmanager
def serving(folder: Path, model_id: str, revision: str) -> Iterator[StandinHub]:
    """Serve a repository for as long as the block lasts."""
    hub = StandinHub(folder, model_id, revision)
    try:
        yield hub
    finally:
        hub.close()
