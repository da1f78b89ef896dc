"""A small project to kill: the workflow in a folder of its own, and servers for its downloads and its teacher."""

import io
import json
import os
import random
import re
import shutil
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

from tests.helpers import fault_server

COPIED = ("Snakefile", "rules", "profiles", "envs", "src", "config.yaml")
KEY = "sk-survival"
ARCHIVE_BYTES = 6 << 20
TWEETS = 16  # for training, in the archive
_CHUNK = 32 << 10
_NAMES = ("Ann Lee", "Ben Roe", "Cara Fox", "Dan Poe")
_PLACES = ("Rome", "Kew", "Oslo", "Lima")


@dataclass
class Sent:
    """One answer of the archive's server: from which byte on, and how many were sent."""

    start: int
    bytes: int = 0


class ArchiveServer:
    """Serves one archive at a pace, with ranges; `sent` is its own ledger."""

    def __init__(self, archive: bytes) -> None:
        self.archive, self.seconds, self.sent = archive, 0.0, list[Sent]()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/GMNER-made.zip"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
                start, total = int(found[1]) if found else 0, len(server.archive)
                sent = Sent(start)
                server.sent.append(sent)
                self.send_response(206 if found else 200)
                if found:
                    self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
                self.send_header("Content-Length", str(total - start))
                self.send_header("Content-Type", "application/zip")
                self.end_headers()
                try:
                    for place in range(start, total, _CHUNK):
                        sent.bytes += self.wfile.write(server.archive[place : place + _CHUNK])
                        time.sleep(server.seconds * _CHUNK / total)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def made_archive(tweets: int) -> bytes:
    """Return an archive in the form of the public one, with something large beside what is wanted."""
    stream, generator = io.BytesIO(), random.Random(5)
    with zipfile.ZipFile(stream, "w") as bundle:
        for split in ("train", "dev", "test"):
            text = ""
            for number in range(tweets if split == "train" else 4):
                name, place = _NAMES[number % 4], _PLACES[number // 4 % 4]
                first, last = name.split()
                text += f"IMGID:{split}{number}\n{first}\tB-PER\n{last}\tI-PER\nin\tO\n{place}\tB-LOC\n{number}\tO\n\n"
                boxes = f"<object><name>{name}</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>{20 + number}</xmax>"
                size = "<size><width>96</width><height>64</height><depth>3</depth></size>"
                xml = f"<annotation>{size}{boxes}<ymax>40</ymax></bndbox></object></annotation>"
                bundle.writestr(f"GMNER-made/Twitter10000_v2.0/xml/{split}{number}.xml", xml)
            bundle.writestr(f"GMNER-made/Twitter10000_v2.0/txt/{split}.txt", text)
        bundle.writestr("GMNER-made/unwanted.bin", generator.randbytes(ARCHIVE_BYTES))
    return stream.getvalue()


def image_names(tweets: int) -> list[str]:
    return [f"{split}{n}.jpg" for split in ("train", "dev", "test") for n in range(tweets if split == "train" else 4)]


def configuration(archive_url: str, teacher_url: str, small: bool) -> dict[str, Any]:
    """Return the experiment: the demo with a teacher that is asked; small: without any model."""
    twitter = {"kind": "twitter", "images_dir": "images"}
    demo = {"kind": "demo", "train": 24, "dev": 6, "test": 48, "seed": 3}
    gpt = {
        "provider": "openai",
        "model": "gpt-4o",
        "base_url": f"{teacher_url}/v1",
        "endpoint": "loopback",
        "limits": {"start_in_flight": 2, "max_in_flight": 2, "first_wait_s": 0.05, "longest_wait_s": 0.2},
        "price": {"input": 2, "output": 10},
    }
    train = {"epochs": 8, "batch_size": 8, "accumulation": 1, "max_length": 512, "gradient_checkpointing": False}
    return {
        "datasets": {"twitter-gmner": twitter} if small else {"demo-gmner": demo, "twitter-gmner": twitter},
        "sources": {"twitter-gmner": {"url": archive_url, "file_name": "GMNER-made.zip", "tree_sha256": None}},
        "backbones": {"tiny": {"kind": "tiny"}},
        "teachers": {"gpt": gpt},
        "defaults": {
            "backbone": "tiny",
            "teacher": "gpt",
            "prompt": "short",
            "datasets": ["twitter-gmner" if small else "demo-gmner"],
            "train": train,
            "generate": {"batch_size": 4, "max_new_tokens": 24},
        },
        "runs": {"full": {}}
        if small
        else {"untuned": {"kind": "untuned"}, "full": {}, "no-grbp": {"grbp": {"enabled": False}}},
        "tables": {"table1": {"runs": ["full"]}}
        if small
        else {
            "table1": {"runs": ["untuned", "full"]},
            "table3": {"runs": ["full", "no-grbp"]},
            "figure3": {"runs": ["no-grbp", "full"]},
        },
    }


class Project:
    """The workflow's files, a configuration, the images, a temporary folder of its own, and the command."""

    def __init__(self, root: Path, source: Path, config: dict[str, Any], targets: list[str], tweets: int) -> None:
        self.root, self.targets = root, targets
        root.mkdir()
        for name in COPIED:  # copies, so that an edit of the sources while this runs changes nothing here
            if (source / name).is_dir():
                shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("*.egg-info"))
            else:
                shutil.copy(source / name, root / name)
        (root / "workflow").symlink_to((source / "workflow").resolve())
        (root / "experiment.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
        (root / "images").mkdir()
        for number, name in enumerate(image_names(tweets)):
            Image.new("RGB", (96, 64), (number * 5 % 256, 80, 120)).save(root / "images" / name)
        self.temporary = root.parent / f"{root.name}-tmp"
        self.temporary.mkdir()

    @property
    def command(self) -> list[str]:
        """The one command of this test, whatever happened before."""
        words = ["--cores", "1", "--configfile", "experiment.yaml", "--", *self.targets]
        return [sys.executable, "-m", "snakemake", *words]

    @property
    def environment(self) -> dict[str, str]:
        found = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        }
        fixed = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": KEY, "MPLBACKEND": "Agg"}
        return {**found, **fixed, "TMPDIR": str(self.temporary), "XDG_CACHE_HOME": str(self.temporary / "cache")}


@dataclass
class Servers:
    """Where the project's downloads and its teacher's answers come from."""

    archive: ArchiveServer
    teacher: fault_server.FaultServer

    def pace(self, archive_s: float, answer_s: float) -> None:
        """Let the whole archive, and each answer, take so long."""
        self.archive.seconds, self.teacher.delay_s = archive_s, answer_s

    def close(self) -> None:
        self.archive.close()
        self.teacher.close()


def serve(tweets: int) -> Servers:
    return Servers(ArchiveServer(made_archive(tweets)), fault_server.FaultServer(key=KEY))
