"""Runs that were killed: their locks go, a living one's stay; their jobs are waited for, and stop by themselves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gmner.workflow import killed_runs as session

BEGIN = """
import sys, time
from pathlib import Path
from gmner.workflow import killed_runs as session
begun = session.begin(lambda line: print(line, flush=True), temporary=[Path(word) for word in sys.argv[1:]])
Path(".snakemake/locks").mkdir(parents=True, exist_ok=True)
Path(".snakemake/locks/0.input.lock").write_text("a")
print("jobs", begun.jobs, flush=True)
line = sys.stdin.readline().strip()
if line == "cluster":
    begun.hands_out_jobs()
if line == "failed":
    begun.failed()
print("noted", flush=True)
if line != "end":
    time.sleep(60)
"""
JOB = """
import signal, sys, time
from gmner.workflow.killed_runs import as_job
def stop(number, frame):
    print("asked to stop", flush=True)
    time.sleep(0.3)
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
with as_job() as wanted:
    print("wanted" if wanted else "not wanted", flush=True)
    time.sleep(60 if wanted else 0)
"""
Process = subprocess.Popen[str]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    """The processes of a test, in a folder of its own; all end with it."""
    monkeypatch.chdir(tmp_path)
    found: list[Process] = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def run(started: list[Process], code: str, *words: str, **variables: str) -> Process:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **variables}
    command = [sys.executable, "-c", code, *words]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    started.append(process)
    return process


def tell(process: Process, word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    assert line_of(process) == "noted"


def line_of(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def begin(**options: bool) -> list[str]:
    """Begin a run in this process and end it; return what was said."""
    said: list[str] = []
    begun = session.begin(said.append, **options)
    assert begun is not None
    begun.end()
    return said


def locked() -> bool:
    return Path(".snakemake/locks/0.input.lock").exists()


def kept() -> list[str]:
    return [path.name for path in Path(".snakemake/gmner").iterdir() if path.name != "door"]


def kill(process: Process) -> None:
    process.kill()
    process.wait()


def test_a_killed_runs_lock_half_written_files_and_temporary_folders_go(started: list[Process]) -> None:
    Path("temporary/inner").mkdir(parents=True)
    Path("results").mkdir()
    Path("results/.a.csv.abcdefgh.csv").touch()
    owner = run(started, BEGIN, "temporary")
    assert line_of(owner).startswith("jobs")
    kill(owner)
    assert begin() == [
        "the last run here was killed: its lock and 1 half-written files removed; going on from what it had done"
    ]
    assert not locked() and not kept() and not Path("temporary").exists() and not list(Path("results").iterdir())
    assert begin() == []


def test_a_living_runs_lock_stays(started: list[Process]) -> None:
    dead, alive = run(started, BEGIN), run(started, BEGIN)
    assert line_of(dead).startswith("jobs") and line_of(alive).startswith("jobs")
    kill(dead)
    assert begin() == [] and locked() and len(kept()) == 4
    kill(alive)
    assert "its lock" in begin()[0] and not locked() and not kept()


def test_a_run_that_ends_well_leaves_nothing_and_one_whose_job_failed_is_looked_after(started: list[Process]) -> None:
    for word in ("end", "failed"):
        process = run(started, BEGIN)
        assert line_of(process).startswith("jobs")
        tell(process, word)
        if word == "failed":
            kill(process)
        process.wait()
        assert bool(kept()) == (word == "failed")
    begin()
    assert not kept()


def test_after_jobs_on_a_cluster_the_user_decides(started: list[Process]) -> None:
    owner = run(started, BEGIN)
    assert line_of(owner).startswith("jobs")
    tell(owner, "cluster")
    kill(owner)
    assert "cluster" in begin()[0] and locked()
    begin(unlock=True)
    assert not locked() and not kept()


def test_another_machines_run_is_left_to_the_user(started: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    owner = run(started, BEGIN)
    assert line_of(owner).startswith("jobs")
    kill(owner)
    monkeypatch.setattr(session.socket, "gethostname", lambda: "another")
    assert "another machine" in begin()[0] and locked()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux alone tells of a process's end")
def test_an_orphan_is_asked_to_stop_and_waited_for(started: list[Process]) -> None:
    owner = run(started, BEGIN)
    jobs = line_of(owner).removeprefix("jobs ")
    told = f'[{owner.pid}, "{session._birth(owner.pid)}", "{session._namespace()}"]'
    job = run(started, JOB, **{session.JOBS_VARIABLE: jobs, session.OWNER_VARIABLE: told})
    assert line_of(job) == "wanted"
    kill(owner)
    assert begin()[0].startswith("waiting for the jobs")
    assert job.wait(5) == 3 and line_of(job) == "asked to stop"
    late = run(started, JOB, **{session.JOBS_VARIABLE: jobs, session.OWNER_VARIABLE: told})
    assert line_of(late) == "not wanted" and late.wait(5) == 0 and not kept()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux alone tells of a process's end")
def test_a_job_stops_when_its_shell_is_killed(started: list[Process], tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(JOB, encoding="utf-8")
    command = f"{sys.executable} {script} | cat; true"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment[session.OWNER_VARIABLE] = session.owner_of_jobs()
    shell = subprocess.Popen(["bash", "-c", command], env=environment, stdout=subprocess.PIPE, text=True)
    started.append(shell)
    assert line_of(shell) == "wanted"
    kill(shell)
    assert line_of(shell) == "asked to stop"


def test_a_job_whose_shell_is_gone_before_it_begins_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, expected in ((os.getppid(), True), (os.getpid(), True), (1 << 30, False)):
        monkeypatch.setenv(session.SHELL_VARIABLE, str(number))
        with session.as_job() as wanted:
            assert wanted == expected and session.SHELL_VARIABLE not in os.environ


def test_a_process_of_another_machine_or_container_is_not_watched() -> None:
    assert session._watch('[1, "0", "elsewhere pid:[1]"]')


def test_without_variables_a_command_is_nobodys_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (session.JOBS_VARIABLE, session.OWNER_VARIABLE, session.SHELL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with session.as_job() as wanted:
        assert wanted


def test_a_file_system_without_locks_keeps_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session.fcntl, "flock", refuse)
    assert session.begin(print) is None
