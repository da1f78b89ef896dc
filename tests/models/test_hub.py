import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gmner.cli import main
from gmner.errors import DataError, MissingInputError
from gmner.models.folder import copy_backbone
from gmner.models.hub import fetch_hub
from gmner.storage.files import read_json
from gmner.storage.locks import held

MODEL = "someone/small-vl"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Enough of the hub's protocol for one model at one revision, on loopback."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.broken: set[str] = set()
        self.digests: dict[str, str] = {}
        self.sha = REVISION
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(False)

            def do_GET(self) -> None:
                self.answer(True)

            def answer(self, with_body: bool) -> None:
                path = self.path.split("?")[0]
                if with_body:
                    hub.asked.append(path)
                if path.startswith(f"/api/models/{MODEL}/tree/"):
                    self.send(200, json.dumps(hub.tree()).encode(), {"Content-Type": "application/json"}, with_body)
                    return
                if path.startswith(f"/api/models/{MODEL}"):
                    self.send(200, json.dumps(hub.info()).encode(), {"Content-Type": "application/json"}, with_body)
                    return
                name = path.removeprefix(f"/{MODEL}/resolve/{REVISION}/")
                if name not in hub.files or name == path:
                    self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
                    return
                if name in hub.broken and with_body:
                    self.send(500, b"out of order", {}, with_body)
                    return
                body = hub.files[name]
                etag = hashlib.sha256(body).hexdigest()
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": REVISION, "X-Linked-Size": str(len(body))}
                self.send(200, body, headers, with_body)

            def send(self, code: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def info(self) -> dict[str, object]:
        siblings = [
            {
                "rfilename": name,
                "size": len(body),
                "blobId": "0" * 40,
                **(
                    {"lfs": {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 1}}
                    if name.endswith(".safetensors")
                    else {}
                ),
            }
            for name, body in self.files.items()
        ]
        return {"id": MODEL, "modelId": MODEL, "sha": self.sha, "private": False, "tags": [], "siblings": siblings}

    def tree(self) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = []
        for name, body in self.files.items():
            blob = hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
            entry: dict[str, object] = {"type": "file", "path": name, "size": len(body), "oid": blob}
            if name.endswith(".safetensors"):
                entry["lfs"] = {
                    "oid": self.digests.get(name) or hashlib.sha256(body).hexdigest(),
                    "size": len(body),
                    "pointerSize": 1,
                }
            entries.append(entry)
        return entries


@pytest.fixture
def hub(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    files = {path.name: path.read_bytes() for path in backbone.iterdir() if path.name != "manifest.json"}
    files[".times.json"] = b"{}"  # ours, never taken from a hub
    files |= {"pytorch_model.bin": b"a pickle", "modeling_custom.py": b"raise SystemExit", "README.md": b"x"}
    served = Hub(files)
    yield served
    served.server.shutdown()


def test_a_model_is_fetched_at_its_revision_and_loads_offline(hub: Hub, tmp_path: Path) -> None:
    out = tmp_path / "backbones" / "small"
    settings = {
        "name": "small",
        "backbone": {"kind": "hub", "id": MODEL, "revision": REVISION, "mirror": hub.endpoint},
    }
    assert main(["stage", "backbone", "--settings", json.dumps(settings), "--out-dir", str(out)]) == 0
    manifest = read_json(out / "manifest.json")
    assert manifest["id"] == MODEL and manifest["revision"] == REVISION
    names = {path.name for path in out.iterdir()}
    assert set(manifest["files"]) == names - {"manifest.json", ".times.json"}
    assert "model.safetensors" in names and not names & {"pytorch_model.bin", "modeling_custom.py", ".cache"}
    assert sorted(path.name for path in out.parent.iterdir()) == [".small.lock", "small"]
    hub.server.shutdown()
    import torch

    from gmner.models.loading import load_backbone

    assert load_backbone(out, torch.float32, torch.device("cpu")).config.model_type == "qwen2_5_vl"


def test_an_interrupted_download_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.broken = {"model.safetensors"}
    out = tmp_path / "small"
    with pytest.raises(MissingInputError, match=r"not reachable at http://127.*run again to go on, or set .* 'mirror'"):
        fetch_hub(MODEL, REVISION, hub.endpoint, out)
    assert not out.exists()
    kept = [path.name for path in tmp_path.glob(".small.partial-*/*.json")]
    assert "config.json" in kept
    hub.broken, hub.asked = set(), []
    fetch_hub(MODEL, REVISION, hub.endpoint, out)
    assert (out / "manifest.json").exists()
    assert not any(path.endswith("/config.json") for path in hub.asked)


def test_what_another_run_has_fetched_is_checked_and_left_alone(hub: Hub, tmp_path: Path) -> None:
    """Snakemake removes a manifest before it makes it again; somebody may be reading the weights meanwhile."""
    out = tmp_path / "backbone"
    fetch_hub(MODEL, REVISION, hub.endpoint, out)
    told, weights = (out / "manifest.json").read_bytes(), (out / "model.safetensors").stat()
    (out / "manifest.json").unlink()
    hub.asked.clear()
    fetch_hub(MODEL, REVISION, hub.endpoint, out)
    assert not [path for path in hub.asked if "/resolve/" in path]
    assert (out / "manifest.json").read_bytes() == told
    assert (out / "model.safetensors").stat().st_ino == weights.st_ino
    damaged = bytearray((out / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (out / "model.safetensors").write_bytes(damaged)
    fetch_hub(MODEL, REVISION, hub.endpoint, out)
    assert (out / "manifest.json").read_bytes() == told
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".backbone.lock"]


def test_two_that_copy_one_backbone_wait_for_each_other(backbone: Path, tmp_path: Path) -> None:
    out, ended = tmp_path / "shared", []

    def copy() -> None:
        copy_backbone(backbone, out, {"kind": "tiny"}, "")
        ended.append((out / "model.safetensors").stat().st_ino)

    with held(out):
        threads = [threading.Thread(target=copy) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert not ended and not out.exists()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 4 and len(set(ended)) == 1  # made once, then left alone
    assert sorted(path.name for path in tmp_path.iterdir()) == [".shared.lock", "shared"]


def test_a_file_that_is_not_the_hubs_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.digests["model.safetensors"] = "f" * 64
    with pytest.raises(DataError, match=r"its sha256 is [0-9a-f]{64}, the hub says f{64}; 1 such files were removed"):
        fetch_hub(MODEL, REVISION, hub.endpoint, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_a_local_folder_is_a_mirror(backbone: Path, tmp_path: Path) -> None:
    fetch_hub(MODEL, REVISION, str(backbone), tmp_path / "small")
    assert read_json(tmp_path / "small" / "manifest.json")["revision"] == REVISION
    with pytest.raises(MissingInputError, match="is not a folder"):
        fetch_hub(MODEL, REVISION, str(tmp_path / "nothing"), tmp_path / "other")


def test_a_model_without_all_of_its_weights_is_refused(backbone: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in backbone.iterdir():
        if not path.name.endswith((".safetensors", "manifest.json")):
            (source / path.name).write_bytes(path.read_bytes())
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(
        DataError, match=r"2 files of the model are missing: model-1\.safetensors, model-2\.safetensors"
    ):
        fetch_hub(MODEL, REVISION, str(source), tmp_path / "small")


def test_local_and_tiny_backbones_are_copied_with_what_they_say_of_themselves(backbone: Path, tmp_path: Path) -> None:
    local = {"name": "mine", "backbone": {"kind": "local", "path": str(backbone)}}
    assert main(["stage", "backbone", "--settings", json.dumps(local), "--out-dir", str(tmp_path / "mine")]) == 0
    found = read_json(tmp_path / "mine" / "manifest.json")
    assert found["id"] == "mine" and found["source"]["id"] == "random" and "config.json" in found["files"]
    tiny = ["stage", "backbone", "--settings", json.dumps({"name": "tiny", "backbone": {"kind": "tiny"}})]
    assert main([*tiny, "--tiny", str(backbone), "--out-dir", str(tmp_path / "tiny")]) == 0
    assert main([*tiny, "--tiny", str(tmp_path / "no"), "--out-dir", str(tmp_path / "tiny2")]) == 1


def test_a_folder_of_something_else_is_left_alone(backbone: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    with pytest.raises(DataError, match="holds files that are no backbone"):
        fetch_hub(MODEL, REVISION, str(backbone), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "ten years"
