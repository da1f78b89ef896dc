"""One target under atheris: `python fuzz/libfuzzer.py <target> <corpus folder> <libFuzzer's options>`."""

import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

with atheris.instrument_imports(include=["gmner", "yaml", "defusedxml", "json"]):
    import targets  # noqa: F401

from run import checked  # noqa: E402

name = sys.argv.pop(1)
atheris.Setup(sys.argv, lambda data: checked(name, data))
atheris.Fuzz()
