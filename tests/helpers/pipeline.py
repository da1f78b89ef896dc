"""A user's own data set through the real commands, in this process: what each says, and what it leaves."""

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.cli import main
from gmner.core.records import Sample
from gmner.storage.tables import OUTPUTS, PREDICTIONS, read_samples, read_table

TYPES = ["PER", "LOC", "ORG", "OTHER"]
FRAME = {"coordinates": "absolute", "min_pixels": 3136, "max_pixels": 31360}
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Ran:
    """How a command ended. A traceback is no end: it would fail the test."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one message of a command that failed."""
        assert self.code == 1, f"{self.code}: {self.out}{self.err}"
        assert self.err.count("error: ") == 1 or self.err.rsplit("error: ", 1)[1], self.err
        return self.err[self.err.index("error: ") + len("error: ") :].strip()


def command(*words: object) -> Ran:
    """Run one command of gmner."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:
            code = int(left.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


class Pipeline:
    """One data set of the folder kind and the stages from samples to scores on it, with the tiny backbone untuned."""

    def __init__(self, root: Path, repo: Path) -> None:
        self.root, self.repo = root, repo
        self.data = root / "mine"
        self.images = self.data / "images"
        self.images.mkdir(parents=True)
        self.table = root / "samples.parquet"

    def lines(self, split: str, tweets: Sequence[Mapping[str, Any] | str | bytes]) -> Path:
        """Write a split's JSONL; what is text or bytes already is written as it is."""
        path = self.data / f"{split}.jsonl"
        path.write_bytes(b"".join(_line(tweet) + b"\n" for tweet in tweets))
        return path

    def samples(self, **settings: Any) -> Ran:
        """Run the stage samples."""
        dataset = {"kind": "folder", "path": str(self.data), "types": TYPES, **settings}
        told = json.dumps({"name": "mine", "dataset": dataset})
        report = self.root / "report.json"
        return command("stage", "samples", "--settings", told, "--out", self.table, "--report", report)

    def read(self, split: str | None = None) -> list[Sample]:
        """Return what the stage samples wrote."""
        return read_samples(self.table, split)

    def backbone(self) -> Path:
        """Return the folder of the tiny backbone, as its stage makes it."""
        place = self.root / "backbone"
        if not place.exists():
            told = json.dumps({"name": "tiny", "backbone": {"kind": "tiny"}})
            words = ["stage", "backbone", "--settings", told, "--tiny", self.repo / "workflow/assets/tiny"]
            ran = command(*words, "--out-dir", place)
            assert ran.code == 0, ran.err
        return place

    def generate(self, max_new_tokens: int = 6, batch_size: int = 8) -> Ran:
        """Let the untuned backbone answer the test split."""
        os.environ["HF_HUB_OFFLINE"] = "1"
        told = {
            "backbone": {"kind": "tiny", "frame": FRAME},
            "generate": {"batch_size": batch_size, "max_new_tokens": max_new_tokens},
            "question": {"prompt": "short", "types": TYPES, "cot": False, "fine": False},
        }
        words = [
            "stage",
            "generate",
            "--settings",
            json.dumps(told),
            "--samples",
            self.table,
            "--backbone",
            self.backbone(),
        ]
        return command(*words, "--work-dir", self.root / "work", "--out", self.root / "outputs.parquet")

    def predictions(self) -> Ran:
        """Parse the answers."""
        told = json.dumps({"frame": FRAME, "types": TYPES})
        words = [
            "stage",
            "predictions",
            "--settings",
            told,
            "--samples",
            self.table,
            "--outputs",
            self.root / "outputs.parquet",
        ]
        return command(*words, "--out", self.root / "predictions.parquet")

    def scores(self) -> dict[str, Any]:
        """Count, and return what was counted."""
        told = json.dumps({"score": {}, "fine": False})
        words = ["stage", "scores", "--settings", told, "--samples", self.table]
        out = self.root / "scores.json"
        ran = command(*words, "--predictions", self.root / "predictions.parquet", "--out", out)
        assert ran.code == 0, ran.err
        return json.loads(out.read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def outputs(self) -> dict[str, str]:
        """Return what the model wrote for each sample."""
        rows = read_table(self.root / "outputs.parquet", OUTPUTS).to_pylist()
        return {row["sample_id"]: row["output"] for row in rows}

    def check_counts(self, test: int) -> None:
        """Run everything after samples; each stage has every sample of the test split, once."""
        wanted = [sample.sample_id for sample in self.read("test")]
        assert len(wanted) == len(set(wanted)) == test
        for ran in (self.generate(), self.predictions()):
            assert ran.code == 0, ran.err
        for name, schema in (("outputs", OUTPUTS), ("predictions", PREDICTIONS)):
            assert read_table(self.root / f"{name}.parquet", schema).column("sample_id").to_pylist() == wanted
        assert self.scores()["samples"] == test


def _line(tweet: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(tweet, bytes):
        return tweet
    return (tweet if isinstance(tweet, str) else json.dumps(tweet)).encode("utf-8")
