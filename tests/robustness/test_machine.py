"""Disk full, read-only, permission denied, limits, signals: one clear line, and nothing half-written looks whole."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.demo_stages import LIGHT, Demo, digests
from tests.helpers.faults import Faults
from tests.helpers.machine import AREA, check, completes, left_whole, noted
from tests.helpers.refusals import denied, full, read_only, short_files, signalled, small_disk, unreadable, with_memory


@pytest.mark.parametrize("name", LIGHT)
def test_a_full_disk(name: str, demo: Demo, tmp_path: Path, faults: Faults) -> None:
    place = tmp_path / "disk"
    with small_disk(place, 48):
        with full(place):
            line = check(demo.stage(name).run(place), place, {}, demo, name)
        assert re.search(r"the disk is full.*; make room|has 0 left; make room", line)
        completes(place, demo, name)
    noted(faults, "disk full", name, line)


@pytest.mark.parametrize("name", LIGHT)
def test_a_read_only_file_system_keeps_the_former_results(
    name: str, demo: Demo, tmp_path: Path, faults: Faults
) -> None:
    place = tmp_path / "disk"
    with small_disk(place, 48):
        former = name != "download"  # a download that is complete writes nothing
        if former:
            completes(place, demo, name)
        before = digests(place)
        with read_only(place):
            line = check(demo.stage(name).run(place), place, before, demo, name)
            assert digests(place) == before
        assert "read-only" in line
        completes(place, demo, name)
    noted(faults, "read-only", name, line)


@pytest.mark.parametrize("name", LIGHT)
def test_no_permission_to_write(name: str, demo: Demo, everybodys: Path, faults: Faults) -> None:
    place = everybodys / name
    place.mkdir(mode=0o755)
    if name != "download":
        completes(place, demo, name)
    before = digests(place)
    with denied(place):
        ran = demo.stage(name).run(place)
    line = check(ran, place, before, demo, name)
    assert digests(place) == before and "permission denied" in line.lower()
    completes(place, demo, name)
    noted(faults, "no permission to write", name, line)


@pytest.mark.parametrize("name", LIGHT)
def test_a_limit_on_a_files_size(name: str, demo: Demo, tmp_path: Path, faults: Faults) -> None:
    """What `ulimit -f` refuses, as any user can try it."""
    with short_files():
        ran = demo.stage(name).run(tmp_path)
    line = check(ran, tmp_path, {}, demo, name)
    assert "larger than this process may write" in line or "disk I/O error" in line  # SQLite has one word for both
    completes(tmp_path, demo, name)
    if name == "samples":
        noted(faults, "a limit on a file's size", name, line)


READ = {"targets": "rationales.parquet", "predictions": "outputs.parquet", "scores": "predictions.parquet",
        "tables": "scores.json", "export": "samples.parquet"}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_no_permission_to_read(name: str, demo: Demo, tmp_path: Path, everybodys: Path, faults: Faults) -> None:
    place = everybodys / f"{name}-unread"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    with unreadable(demo.result(READ[name])):
        line = check(demo.stage(name).run(place), place, {}, demo, name)
    assert "permission denied" in line and READ[name] in line and "delete" not in line
    completes(place, demo, name)
    noted(faults, f"no permission to read `{READ[name]}`", name, line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", LIGHT)
def test_a_signal_before_a_file_has_its_name(
    name: str, number: signal.Signals, demo: Demo, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(number)
    with signalled(monkeypatch, number):
        ran = demo.stage(name).run(tmp_path)
    assert ran.code == 128 + number and ran.err == "interrupted; rerun the same command to resume\n"
    assert signal.getsignal(number) == handler
    left_whole(tmp_path, {}, demo, name)
    completes(tmp_path, demo, name)
    keys = {signal.SIGINT: "Ctrl-C (SIGINT)", signal.SIGTERM: "SIGTERM"}
    result = f"`{ran.err.strip()}`, exit status {ran.code}; nothing half-written is left"
    faults.add(AREA, f"{keys[number]} while a file is written: every command", result)


@pytest.mark.parametrize("name", ["samples", "scores"])
def test_too_little_memory(name: str, demo: Demo, tmp_path: Path, faults: Faults) -> None:
    stage = demo.stage(name)
    done = with_memory(8, f"gmner.commands.stages.{name}", *stage.words_in(tmp_path))
    assert done.returncode == 1 and done.stderr.count("error: not enough memory") == 1, done.stderr
    assert "Traceback" not in done.stderr
    left_whole(tmp_path, {}, demo, name)
    completes(tmp_path, demo, name)
    result = "error: `not enough memory (what was asked for); close other programs, give the job more memory, …`"
    faults.add(AREA, "too little memory (`ulimit -v`): `gmner stage samples`, `… scores`, `… train`", result)


def test_standard_output_that_takes_nothing(demo: Demo, faults: Faults) -> None:
    gold, found = demo.result("samples.parquet"), demo.result("predictions.parquet")
    words = [sys.executable, "-m", "gmner", "score", str(gold), str(found), "--json"]
    with Path("/dev/full").open("w") as sink:
        done = subprocess.run(words, stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: the disk is full; make room"), done.stderr
    assert done.stderr.count("\n") == 1
    faults.error(AREA, "disk full: `gmner score … > file`", done.stderr.removeprefix("error: ").strip())
    words = ["bash", "-c", 'set -o pipefail; "$@" | true', "bash", *words]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and not done.stderr
