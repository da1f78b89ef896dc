"""Everything outside that the paper's run needs, stood in for on loopback, and the run itself.

GitHub and Drive serve the real annotations and made images of the annotated sizes, the hub a repository of the true
layout with random weights, a provider answers for both remote teachers. The configuration is a shipped one; laid over
it are only the number of samples, the epochs, addresses and pace.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from gmner.config.sources import GMNER_COMMIT
from gmner.core.entity_types import FINE_TO_COARSE
from tests.helpers import fault_server
from tests.helpers.loopback import Server
from tests.helpers.standin_hub import StandinHub, serving
from tests.helpers.standin_images import image_ids, write_standins
from tests.helpers.standin_qwen import MODEL_ID, REVISION

LINKED = ("Snakefile", "rules", "profiles", "workflow", "envs", "src", "config.yaml")
KEY = "sk-stand-in-3c1f"
SPLITS = ("train", "dev", "test")
# Where the coarse types of Twitter-GMNER lie in FMNERG, for the two splits whose labels are not at hand.
_COARSE = {"PER": ("person",), "ORG": ("organization",), "LOC": ("location", "building"), "OTHER": ("art", "event")}


@dataclass
class World:
    """The servers of a rehearsal and the folder that it runs in."""

    root: Path
    hub: StandinHub
    files: Server
    teacher: fault_server.FaultServer
    limit: int
    stages: list[tuple[float, str]] = field(default_factory=list)

    def overlay(self, epochs: int) -> dict[str, Any]:
        """What is laid over the shipped configuration."""
        url, api = self.files.url, f"{self.teacher.url}/v1"
        pace = {"limits": {"first_wait_s": 0.05, "longest_wait_s": 0.2}, "batch_poll_s": 0.2}
        return {
            "sources": {
                "twitter-gmner": {"mirror": f"{url}/GMNER-{GMNER_COMMIT}.zip"},
                "twitter-images": {"mirror": f"{url}/IJCAI2019_data.zip"},
                "twitter-fmnerg": {"mirror": f"{url}/txt_fine"},
            },
            "datasets": {"twitter-gmner": {"limit": self.limit}, "twitter-fmnerg": {"limit": self.limit}},
            "backbones": {"qwen2.5-vl-7b": {"mirror": self.hub.url}},
            "teachers": {
                "qwen2.5-vl-72b": {"base_url": api, **pace},
                "gpt-4o": {"base_url": api, **pace},
                # Random weights explain nothing: whatever they write is refused.
                "qwen2.5-vl-7b": {"least_accepted": 0},
            },
            "defaults": {"train": {"epochs": epochs}, "threads": 1},
        }

    def write_overlay(self, config: str, epochs: int, **more: Any) -> list[str]:
        """Write what is laid over a shipped configuration, as far as it has those names; return the arguments."""
        from gmner.config.root import deep_merge
        from gmner.config.yaml_files import read_yaml

        shipped = read_yaml(self.root / config)
        over = self.overlay(epochs)
        for section in ("datasets", "backbones", "teachers"):
            known = shipped.get(section, {})
            over[section] = {name: value for name, value in over[section].items() if name in known}
        name = f"over-{Path(config).stem}.yaml"
        (self.root / name).write_text(json.dumps(deep_merge(over, more), indent=1), encoding="utf-8")
        return ["--configfile", config, name]

    def snakemake(self, words: Sequence[str], until: Callable[[], bool] | None = None) -> str:
        """Run Snakemake to its end, or kill all of it with SIGKILL as soon as `until` holds."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "QWEN_API_KEY": KEY, "OPENAI_API_KEY": KEY}
        environment |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "0"}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
        log = self.root / "snakemake.log"
        with log.open("ab") as stream:
            start = stream.tell()
            process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=stream, stderr=stream, start_new_session=True
            )
            while process.poll() is None:
                time.sleep(0.1)
                if until is not None and until():
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    return log.read_bytes()[start:].decode()
        said = log.read_bytes()[start:].decode()
        assert process.returncode == 0, said[-12000:]
        assert until is None, "the run came to its end before it could be killed"
        return said


@contextmanager
def world(
    repo: Path, archive: Path, annotations: Path, fmnerg_test: Path, hub_folder: Path, root: Path, limit: int
) -> Iterator[World]:
    """Stand in for everything outside and make an empty folder with the workflow in it."""
    root.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (root / name).exists():
            (root / name).symlink_to(repo / name)
    version = annotations / "Twitter10000_v2.0"
    served = {
        f"/GMNER-{GMNER_COMMIT}.zip": archive.read_bytes(),
        "/IJCAI2019_data.zip": _images(version, root / "made", limit),
        **{f"/txt_fine/{split}.txt": _fine(version, fmnerg_test, split) for split in SPLITS},
    }
    answers = gold_answers(version, fmnerg_test)
    usual = fault_server.answer_to

    def answer(question: str, body: dict[str, Any]) -> str:
        if "Annotation:" in question:
            return usual(question, body)
        return next((text for tweet, text in answers.items() if f"Tweet: {tweet}" in question), "None")

    with (
        serving(hub_folder, MODEL_ID, REVISION) as hub,
        Server(served) as files,
        mock.patch.object(fault_server, "answer_to", answer),
        fault_server.FaultServer({"429": 0.05, "500": 0.05}, key=KEY) as teacher,
    ):
        yield World(root, hub, files, teacher, limit)


def _images(version: Path, folder: Path, limit: int) -> bytes:
    """Return Drive's archive with an image of the annotated size for each tweet that is used."""
    ids = [name for split in SPLITS for name in image_ids(version / f"txt/{split}.txt", limit)]
    write_standins(folder, version / "xml", ids)
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ids:
            # Which folder an image is in is told by its name: ids of 2017 have an underscore or are short.
            kind = "twitter2017_images" if "_" in name else "twitter2015_images"
            archive.write(folder / f"{name}.jpg", f"IJCAI2019_data/{kind}/{name}.jpg")
    shutil.rmtree(folder)
    return path.read_bytes()


def _fine(version: Path, fmnerg_test: Path, split: str) -> bytes:
    """Return FMNERG's file of a split: the real labels of test, drawn fine types for the mentions of train and dev."""
    if split == "test":
        return fmnerg_test.read_bytes()
    draw = random.Random(split)
    kinds = {coarse: [fine for fine, above in FINE_TO_COARSE.items() if above == coarse] for coarse in
             set(FINE_TO_COARSE.values())}  # fmt: skip
    lines, last = [], ("", "")
    for line in (version / f"txt/{split}.txt").read_text(encoding="utf-8").split("\n"):
        token, _, tag = line.partition("\t")
        if not tag:
            lines.append(line)
            continue
        head, _, name = tag.partition("-")
        if head == "B":
            coarse = draw.choice(_COARSE[name])
            last = (coarse, draw.choice(sorted(kinds[coarse])))
        lines.append(f"{token}\tO\tO" if head == "O" else f"{token}\t{head}-{last[0]}\t{head}-{last[1]}")
    return "\n".join(lines).encode()


def gold_answers(version: Path, fmnerg_test: Path) -> dict[str, str]:
    """Return an answer in the model's format for each test tweet: its mentions and types, nothing located."""
    found: dict[str, str] = {}
    for path in (version / "txt/test.txt", fmnerg_test):
        for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            rows = [line.split("\t") for line in block.split("\n") if "\t" in line]
            records: list[list[str]] = []
            for token, *tags in rows:
                head, _, kind = tags[-1].partition("-")
                if head == "B":
                    records.append([token, kind])
                elif head == "I" and records:
                    records[-1][0] += f" {token}"
            text = " ".join(row[0] for row in rows)
            found.setdefault(text, "<think>Read.</think><answer>" + "; ".join(f"{m}|{k}|None" for m, k in records)
                             + "</answer>")  # fmt: skip
    return found


def write_log(made: World, page: Path, config: str) -> None:
    """Write what each stage took into the generated part of the page: from Snakemake's own measurements."""
    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted(made.root.glob("results/benchmarks/**/*.tsv")):
        head, row = (line.split("\t") for line in path.read_text().splitlines()[:2])
        stage = path.relative_to(made.root / "results/benchmarks").parts[0]
        found.setdefault(stage, []).append(dict(zip(head, row, strict=True)))
    lines = [f"`{config}`: {made.limit} tweets of each split, after one `kill -9` and a second start.", ""]
    lines += ["| stage | jobs | seconds, all | seconds, longest | most memory, MiB |", "|---|---:|---:|---:|---:|"]
    for stage in ("samples", "backbone", "rationales", "targets", "train", "generate"):
        rows = found.get(stage, [])
        seconds = [float(row["s"]) for row in rows]
        memory = max((float(row["max_rss"]) for row in rows if row["max_rss"] not in ("-", "NA")), default=0)
        if rows:
            lines.append(f"| {stage} | {len(rows)} | {sum(seconds):.0f} | {max(seconds):.0f} | {memory:.0f} |")
    charged = sum(one.charged for one in made.teacher.ledger.seen)
    asked = len(made.teacher.ledger.seen)
    lines += ["", f"The provider saw {asked} questions in {made.teacher.ledger.batches_created} batches and singly, "
              f"{charged} of them charged; the hub sent {made.hub.bodies_sent('.safetensors')} shards."]  # fmt: skip
    text = page.read_text(encoding="utf-8")
    head, rest = text.split("<!-- log: begin -->")
    tail = rest.split("<!-- log: end -->")[1]
    block = "\n".join(["<!-- log: begin -->", *lines, "<!-- log: end -->"])
    page.write_text(f"{head}{block}{tail}", encoding="utf-8")
