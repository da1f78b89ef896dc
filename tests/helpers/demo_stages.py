"""Every command of gmner on a small demo: how it is called, what it writes, and what it leaves when it fails."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.storage.tables import OUTPUTS, iterate_samples, write_row_stream
from tests.helpers.pipeline import Ran, command

FRAME = {"coordinates": "absolute", "min_pixels": 3136, "max_pixels": 19600}
TYPES = ["PER", "LOC", "ORG", "OTHER"]
DEMO = {"kind": "demo", "train": 4, "dev": 1, "test": 2, "seed": 3}
TEACHER = {"name": "t", "teacher": {"provider": "template", "style": "evidence"}}
QUESTION = {"prompt": "short", "types": TYPES, "cot": True, "fine": False}
GENERATE = {"batch_size": 2, "max_new_tokens": 3}
TRAIN = {"epochs": 1, "batch_size": 4, "accumulation": 1, "max_length": 512, "select": "last",
         "gradient_checkpointing": False}  # fmt: skip
CONFIG = """
datasets: {demo: {kind: demo}}
backbones: {tiny: {kind: tiny}}
teachers: {gpt: {provider: openai, model: gpt}}
defaults: {backbone: tiny, teacher: gpt}
runs: {full: {}}
"""
LIGHT = ("download", "samples", "backbone", "rationales", "targets", "predictions", "scores", "tables", "figure",
         "report", "export", "import")  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One command: the words before its outputs, and its outputs by argument and name below a folder."""

    words: tuple[object, ...]
    outputs: Mapping[str, str]

    def run(self, place: Path) -> Ran:
        """Run it with its outputs in `place`."""
        return command(*self.words_in(place))

    def words_in(self, place: Path) -> list[object]:
        """Return the command's words."""
        named = [word for argument, name in self.outputs.items() for word in (argument, place / name)]
        return [*self.words, *named]


class Demo:
    """The inputs of every command, made once by the commands themselves in `root`."""

    def __init__(self, root: Path, repo: Path) -> None:
        root.mkdir(parents=True)
        self.root, self.tiny = root, repo / "workflow/assets/tiny"
        self.paper = shutil.copyfile(repo / "workflow/paper/table1.csv", root / "table1.csv")
        (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
        with zipfile.ZipFile(root / "data.zip", "w") as archive:
            archive.writestr("txt/a.txt", "word " * 5000)
        self._reference = root / "reference"
        self.digests: dict[str, dict[str, str]] = {}

    def result(self, name: str) -> Path:
        """Return where an output lies that the commands made without a fault."""
        return self._reference / name

    def make(self, *names: str) -> None:
        """Run commands without a fault, in their order, and note what each has written."""
        for name in names:
            before = digests(self._reference)
            ran = self.stage(name).run(self._reference)
            assert ran.code == 0, f"{name}: {ran.err}"
            after = digests(self._reference)
            self.digests[name] = {path: digest for path, digest in after.items() if before.get(path) != digest}
            if name == "rationales":
                (self.root / "import.jsonl").write_text(self._to_import(), encoding="utf-8")

    def _to_import(self) -> str:
        samples = list(iterate_samples(self.result("samples.parquet"), "train"))
        return "".join(
            json.dumps({"image_path": one.image_path, "think": "It shows. " * 600}) + "\n" for one in samples
        )

    def stage(self, name: str) -> Stage:
        """Return one of the commands."""
        return getattr(self, f"_{name}")()  # type: ignore[no-any-return]

    def _given(self, *names: str) -> list[object]:
        return [word for name in names for word in (f"--{name}", self.result(f"{name}.parquet"))]

    def _download(self) -> Stage:
        place = str(self.root / "data.zip")
        source = {"url": "http://127.0.0.1:1/data.zip", "mirror": place, "keep": ["txt/*.txt"]}
        told = json.dumps({"name": "twitter-gmner", "source": source})
        return Stage(("stage", "download", "--settings", told), {"--out-dir": "source"})

    def _samples(self) -> Stage:
        told = json.dumps({"name": "demo", "dataset": DEMO})
        return Stage(("stage", "samples", "--settings", told), {"--out": "samples.parquet", "--report": "samples.json"})

    def _backbone(self) -> Stage:
        told = json.dumps({"name": "tiny", "backbone": {"kind": "tiny"}})
        return Stage(("stage", "backbone", "--settings", told, "--tiny", self.tiny), {"--out-dir": "tiny"})

    def _rationales(self) -> Stage:
        words = ("stage", "rationales", "--settings", json.dumps(TEACHER), *self._given("samples"))
        return Stage(words, {"--out": "rationales.parquet", "--report": "rationales.json", "--store": "store"})

    def _targets(self) -> Stage:
        told = {"cot": True, "epochs": 1, "grbp": {}, "frame": FRAME, "fine": False, "when_refused": "drop"}
        words = ("stage", "targets", "--settings", json.dumps(told), *self._given("samples", "rationales"), "--seed", 1)
        return Stage(words, {"--out": "targets.parquet"})

    def _train(self) -> Stage:
        told = {"run": "full", "dataset": "demo", "backbone": {"kind": "tiny"}, "question": QUESTION, "train": TRAIN}
        given = (*self._given("samples", "targets"), "--backbone", self.result("tiny"), "--seed", 1)
        words = ("stage", "train", "--settings", json.dumps(told), *given)
        return Stage(words, {"--work-dir": "work-train", "--out-dir": "adapter"})

    def _generate(self) -> Stage:
        told = {"backbone": {"kind": "tiny", "frame": FRAME}, "generate": GENERATE, "question": QUESTION}
        given = (*self._given("samples"), "--backbone", self.result("tiny"))
        return Stage(
            ("stage", "generate", "--settings", json.dumps(told), *given),
            {"--work-dir": "work-generate", "--out": "outputs.parquet"},
        )

    def _annotate(self) -> Stage:
        image = next((self._reference / "images").glob("*.jpg"))
        words = ("annotate", "--run", self.result("adapter"), "--backbone", self.result("tiny"), "--image", image)
        return Stage((*words, "--text", "Ann in red", "--max-new-tokens", 3), {"--draw": "drawn.png"})

    def _predictions(self) -> Stage:
        told = json.dumps({"frame": FRAME, "types": TYPES})
        words = ("stage", "predictions", "--settings", told, *self._given("samples", "outputs"))
        return Stage(words, {"--out": "predictions.parquet"})

    def _scores(self) -> Stage:
        words = ("stage", "scores", "--settings", json.dumps({"score": {}, "fine": False}))
        return Stage((*words, *self._given("samples", "predictions")), {"--out": "scores.json"})

    def _row(self) -> dict[str, Any]:
        told = {"run": "full", "title": "Full", "kind": "untuned", "dataset": "demo", "fine": False, "backbone": "tiny"}
        scores = str(self.result("scores.json"))
        return {**told, "teacher": None, "cot": True, "strength": 0.1, "seed": 1, "scores": scores}

    def _tables(self) -> Stage:
        told = json.dumps({"name": "table1", "rows": [self._row()]})
        words = ("stage", "tables", "--name", "table1", "--settings", told, "--scores", self.result("scores.json"))
        return Stage((*words, "--paper", self.paper), {"--out": "table1.csv"})

    def _figure(self) -> Stage:
        told = json.dumps({"name": "figure3", "rows": [self._row()]})
        words = ("stage", "tables", "--name", "figure3", "--settings", told, "--scores", self.result("scores.json"))
        return Stage(words, {"--out": "figure3.csv"})

    def _report(self) -> Stage:
        told = json.dumps({"datasets": [], "runs": [], "tables": [], "backbones": [], "report": {}})
        return Stage(("stage", "report", "--settings", told, "--results", self._reference), {"--out": "report.html"})

    def _export(self) -> Stage:
        return Stage(("teacher", "export", *self._given("samples", "rationales")), {"--out": "exported.jsonl"})

    def _import(self) -> Stage:
        config = self.root / "config.yaml"
        words = ("teacher", "import", self.root / "import.jsonl", "--config", config, "--teacher", "gpt")
        return Stage((*words, *self._given("samples")), {"--store": "imported"})

    def answer(self) -> None:
        """Put answers of a model there without asking one: no torch is needed for what comes after."""
        rows = [
            {"sample_id": one.sample_id, "output": "<answer>Ann|PER|None</answer>", "prompt_tokens": 1,
             "output_tokens": 1, "finish_reason": "stop"}
            for one in iterate_samples(self.result("samples.parquet"), "test")
        ]  # fmt: skip
        write_row_stream(self.result("outputs.parquet"), rows, OUTPUTS)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path there."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
