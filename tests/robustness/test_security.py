"""What SECURITY.md promises."""

import ast
import os
import re
import stat
from pathlib import Path

import pytest

from gmner.storage.files import atomic_path


def test_every_test_that_the_threat_model_names_exists(repo: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (repo / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) >= 15
    for file, test in named:
        tree = ast.parse((repo / file).read_text(encoding="utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not test or test in tests, f"{file}::{test}"
        assert any(name.startswith("test_") for name in tests)


FORBIDDEN = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load",
             "marshal.loads", "tempfile.mktemp", "shelve.open"}  # fmt: skip


def calls_of(path: Path) -> list[tuple[str, ast.Call]]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [(ast.unparse(node.func), node) for node in nodes if isinstance(node, ast.Call)]


def test_nothing_unpickles_evaluates_or_trusts_code(repo: Path) -> None:
    loads = 0
    for path in (repo / "src").rglob("*.py"):
        for name, call in calls_of(path):
            words = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert name not in FORBIDDEN, f"{path}: {name}"
            assert words.get("shell", "False") == words.get("trust_remote_code", "False") == "False", path
            assert words.get("allow_pickle", "False") == "False", path
            if name == "torch.load":
                assert words.get("weights_only") == "True", f"{path}: torch.load"
            if name.endswith("AutoModelForImageTextToText.from_pretrained"):
                loads += 1
                assert words["use_safetensors"] == "True" and words["trust_remote_code"] == "False"
    assert loads >= 1


def test_rules_quote_every_value(repo: Path) -> None:
    """A value goes to the shell quoted (`:q`), or has a form that the workflow checks (a seed, a table's name)."""
    safe = {"wildcards.seed", "wildcards.shard", "wildcards.name", "params.code"}  # the last: hex digits of ours
    found = 0
    for path in (repo / "rules").glob("*.smk"):
        for block in re.findall(r'shell:\n((?:\s+".*"\n)+)', path.read_text(encoding="utf-8")):
            for field in re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", block):
                found += 1
                assert field.endswith(":q") or field in safe, f"{path.name}: {{{field}}}"
    assert found > 30


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_files_are_as_private_as_the_umask_asks_from_the_first_byte_on(tmp_path: Path, mask: int, mode: int) -> None:
    target = tmp_path / "a.json"
    before = os.umask(mask)
    try:
        with atomic_path(target) as temporary:
            assert stat.S_IMODE(temporary.stat().st_mode) & ~mode == 0
        assert stat.S_IMODE(target.stat().st_mode) == mode
    finally:
        os.umask(before)


def test_the_folder_of_locks_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmner.errors import ConfigError
    from gmner.models import claim_gpu as gpu

    monkeypatch.setattr(gpu.tempfile, "gettempdir", lambda: str(tmp_path))
    assert stat.S_IMODE(gpu._lock_folder(None).stat().st_mode) == 0o700
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"gmner-gpus-{os.getuid()}").rmdir()
    (tmp_path / f"gmner-gpus-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="belongs to another user"):
        gpu._lock_folder(None)


def test_no_secret_is_read_from_anywhere_but_the_environment(repo: Path) -> None:
    """No setting holds a key: what names one names a variable of the environment."""
    schema = (repo / "workflow/schemas/config.schema.json").read_text(encoding="utf-8")
    names = set(re.findall(r'"(\w*(?:api_key|token|secret|password)\w*)": \{', schema, re.IGNORECASE))
    assert not {name for name in names if not re.search(r"env|tokens|max_", name)}, names
