"""The door: version, help, and the nearest word for a wrong one."""

import os
import subprocess
import sys

import pytest

from gmner.cli import COMMANDS, build_parser, main
from gmner.workflow.stages import STAGES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scroe"], "did you mean 'score'?"),
        (["stage", "sample"], "did you mean 'samples'?"),
        (["score", "a", "b", "--profle", "x"], "did you mean '--profile'?"),
        (["quux"], "known: annotate, "),
    ],
)
def test_a_wrong_word(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2 and said in capsys.readouterr().err


def test_version_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for word, said in (("--version", "gmner "), ("--help", "examples:")):
        with pytest.raises(SystemExit) as left:
            main([word])
        assert left.value.code == 0 and said in capsys.readouterr().out


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_has_a_command_of_its_name(name: str) -> None:
    parser = build_parser(["stage", name])
    with pytest.raises(SystemExit) as left:
        parser.parse_args(["stage", name, "--help"])
    assert left.value.code == 0


def test_settings_from_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["stage", "scores", "--settings", "none.json", "--samples", "s", "--predictions", "p", "--out", "o"]
    assert main(words) == 1
    assert "--settings none.json: neither JSON nor a file" in capsys.readouterr().err


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = "import sys; from gmner.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([n for n in ('torch', 'snakemake', 'pandas', 'pydantic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.splitlines()[-1] == "[]" and all(name in done.stdout for name in COMMANDS)
