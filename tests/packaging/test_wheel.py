"""The wheel: what is in it, and what works where nothing else is installed."""

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

# What runs in the light install: no torch, no Snakemake, no provider's SDK.
LIGHT = ("core", "storage", "runtime", "config", "prompts", "datasets", "evaluation", "targets")
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "accelerate",
    "snakemake",
    "openai",
    "anthropic",
    "matplotlib",
)
NO_NETWORK = re.compile(
    r"NewConnectionError|Temporary failure in name resolution|ConnectTimeout|ProxyError|Max retries"
)


@pytest.fixture(scope="session")
def wheel(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repo / name, folder / name)
    shutil.copytree(repo / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    (folder / "src" / "gmner" / "__pycache__").mkdir()
    (folder / "src" / "gmner" / "__pycache__" / "left.json").write_text("{}")
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."]
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    (found,) = (folder / "dist").glob("gmner-*.whl")
    return found


def test_every_file_of_the_package_is_in_the_wheel(repo: Path, wheel: Path) -> None:
    ours = {
        path.relative_to(repo / "src").as_posix()
        for path in (repo / "src" / "gmner").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == ours


def test_importing_gmner_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import gmner; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} <= {"gmner", *sys.stdlib_module_names}


def test_light_packages_import_what_the_light_install_has(repo: Path) -> None:
    modules = [
        ".".join(path.relative_to(repo / "src").with_suffix("").parts).removesuffix(".__init__")
        for name in LIGHT
        for path in sorted((repo / "src" / "gmner" / name).rglob("*.py"))
    ]
    code = f"import importlib, sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\n"
    code += f"for name in {['gmner.cli', 'gmner.commands.score', *modules]!r}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_extras_hold_what_is_heavy(repo: Path) -> None:
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    assert not set(project["dependencies"]) & set(HEAVY)
    extras = project["optional-dependencies"]
    assert {"workflow", "teachers", "train", "vllm", "gpu", "dev", "docs", "all"} <= set(extras)
    assert "snakemake" in extras["workflow"] and "torch" in extras["train"] and "openai" in extras["teachers"]


@pytest.mark.slow
def test_score_works_in_an_empty_environment(repo: Path, wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    words = ["-m", "pip", "install", "--quiet", "--constraint", repo / "constraints.txt", wheel]
    begun = time.monotonic()
    done = subprocess.run([python, *words], capture_output=True, text=True, check=False)
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip(f"packages cannot be fetched: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    installed = time.monotonic()

    gold = tmp_path / "gold" / "txt" / "test.txt"
    gold.parent.mkdir(parents=True)
    gold.write_text("IMGID:1\nMara\tB-PER\nKolen\tI-PER\nsings\tO\nin\tO\nOslo\tB-LOC\n")
    (tmp_path / "gold" / "xml").mkdir()
    (tmp_path / "gold" / "xml" / "1.xml").write_text(
        "<annotation><size><width>200</width><height>100</height></size><object><name>Mara Kolen</name><bndbox>"
        "<xmin>10</xmin><ymin>10</ymin><xmax>60</xmax><ymax>90</ymax></bndbox></object></annotation>"
    )
    predictions = tmp_path / "predictions.jsonl"
    answer = "<answer>Mara Kolen|PER|[12,10,60,90]; Oslo|OTHER|None</answer>"
    predictions.write_text(json.dumps({"image_id": "1", "output": answer}))
    command = [python.parent / "gmner", "score", gold, predictions, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    scored = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["gmner"]["f1"] == 0.5
    code = f"import gmner, importlib.util as u; print([n for n in {HEAVY!r} if u.find_spec(n)], gmner.__file__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("[]") and str(tmp_path) in done.stdout
    print(f"installed in {installed - begun:.1f} s, scored in {scored - installed:.1f} s")
    assert scored - installed < 10
