"""A provider is added as docs/extending.md says: a new module, a settings class, a line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from gmner.config.teachers import PromptedTeacher
from gmner.llm_client.providers import PROVIDERS
from gmner.storage.tables import RATIONALES, read_table
from tests.helpers.teacher_samples import make_sample, write_samples

ECHO = '''
"""Says what it was asked."""

from gmner.config.teachers import EchoTeacher
from gmner.llm_client.errors import Secret
from gmner.llm_client.types import Answer, Request, Usage


class EchoProvider:
    """Says what it was asked."""

    def __init__(self, settings: EchoTeacher, secret: Secret) -> None:
        self._word = settings.word

    async def answer(self, request: Request) -> Answer:
        """Answer."""
        return Answer(f"{self._word}: {request.sample.text}", usage=Usage(9, 9))

    async def close(self) -> None:
        """Nothing to close."""
'''
SETTINGS = '''
class EchoTeacher(_Remote):
    """Says what it was asked."""

    provider: Literal["echo"] = "echo"
    key_variable: str = "ECHO_API_KEY"
    word: str = "echo"


PromptedTeacher = EchoTeacher | '''


def test_every_provider_is_registered_under_its_name() -> None:
    settings = {entry.settings for entry in PROVIDERS.values()}
    assert settings == set(PromptedTeacher.__args__)
    assert all(entry.settings.model_fields["provider"].default == name for name, entry in PROVIDERS.items())


def test_a_provider_takes_three_files(tmp_path: Path, repo: Path) -> None:
    shutil.copytree(repo / "src/gmner", tmp_path / "src/gmner", ignore=shutil.ignore_patterns("__pycache__"))
    package = tmp_path / "src/gmner"
    (package / "llm_client/providers/echo.py").write_text(ECHO, encoding="utf-8")
    settings = package / "config/teachers.py"
    settings.write_text(settings.read_text("utf-8").replace("PromptedTeacher = ", SETTINGS, 1), encoding="utf-8")
    registry = package / "llm_client/providers/__init__.py"
    line = '    "echo": ProviderEntry(EchoTeacher, "gmner.llm_client.providers.echo:EchoProvider"),\n'
    text = registry.read_text("utf-8").replace("ProviderEntry] = {\n", "ProviderEntry] = {\n" + line)
    registry.write_text(text.replace("import AnthropicTeacher", "import AnthropicTeacher, EchoTeacher"), "utf-8")
    samples = write_samples(tmp_path / "samples.parquet", [make_sample(number) for number in range(3)])
    teacher = {"provider": "echo", "model": "m", "image": None, "acceptance": "none", "word": "so"}
    command = [sys.executable, "-m", "gmner", "stage", "rationales",
               "--settings", json.dumps({"name": "t", "teacher": teacher}),
               "--samples", str(samples), "--out", "r.parquet", "--report", "report.json",
               "--store", "store"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "ECHO_API_KEY": "x"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "r.parquet", RATIONALES).to_pylist()
    assert [row["text"] for row in rows] == [f"so: {make_sample(number).text}" for number in range(3)]
