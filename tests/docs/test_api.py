"""The examples of docs/api.md run, and the page names everything that is public."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import gmner
from gmner.errors import DataError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
EXAMPLES = re.findall(r"## ([^\n]+)\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example(
    title: str, code: str, example_files: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(code.strip().splitlines()) <= 6, f"{title}: an example has five lines, or six"
    if "load_adapter" in code:
        request.getfixturevalue("random_run")
    monkeypatch.chdir(example_files)
    exec(compile(code, f"docs/api.md, {title}", "exec"), {})


def test_every_public_name_is_there_and_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in gmner.__all__:
        assert getattr(gmner, name) is not None
    wanted = {"score", "load_samples", "parse_output", "render_answer", "load_adapter", "annotate"}
    assert wanted | {"Sample", "Entity", "Record", "Frame"} <= set(gmner.__all__) <= set(re.findall(r"\w+", text))
    assert set(gmner.__all__) <= set(dir(gmner))
    with pytest.raises(AttributeError, match=r"it has .*score"):
        _ = gmner.scores


def test_scoring_needs_no_torch() -> None:
    code = "import gmner, sys; gmner.score, gmner.load_samples, gmner.Sample; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport gmner; gmner.load_adapter"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("pip install 'gmner[train]'"), done.stderr


def test_scoring_two_lists_or_two_files(example_files: Path) -> None:
    gold = gmner.load_samples(example_files / "gold" / "txt" / "test.txt")
    from_files = gmner.score(
        gold_path := example_files / "gold" / "txt" / "test.txt", example_files / "predictions.jsonl"
    )
    records = gmner.parse_output("<answer>Mara Kolen|PER|[12,10,60,90]; Oslo|OTHER|None</answer>").records
    in_memory = gmner.score(gold, [records])
    assert in_memory["gmner"] == from_files["gmner"] and in_memory["signature"] == from_files["signature"]
    with pytest.raises(DataError, match="1 samples but 0 predictions"):
        gmner.score(gold, [])
    with pytest.raises(DataError, match="two files or two lists"):
        gmner.score(gold_path, [records])
