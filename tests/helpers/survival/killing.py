"""Starting the workflow, killing it at a drawn moment, starting it again."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.helpers.survival.ledger import Kill
from tests.helpers.survival.processes import Job, job_of, kill, members, worked
from tests.helpers.survival.progress import batches, progress, resumed, seconds_since, stored_answers
from tests.helpers.survival.project import Project, Servers

KINDS, SHARES = ("all", "job", "shell", "snakemake"), (0.5, 0.2, 0.1, 0.2)
PLANNING = ("planning", "")
PACED = ("download", "rationales")
LATE = ("train", "generate")  # they begin with loading torch and the backbone
_LOOK_S = 0.02
Place = tuple[str, str]


@dataclass
class Start:
    """One start of the command."""

    process: "subprocess.Popen[bytes]"
    output: Path
    began: float = field(default_factory=time.time)
    jobs: dict[Place, float] = field(default_factory=dict)  # when each was first seen

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


@dataclass
class Seen:
    """How much work each job of an undisturbed run was, in the order in which they ran."""

    work: dict[Place, float]


class Killer:
    """Runs a project to its end with kills; `plan` says how many at each place."""

    def __init__(self, project: Project, servers: Servers, seen: Seen, kills: dict[str, int], seed: int) -> None:
        self.project, self.servers, self.seen = project, servers, seen
        self.plan = spread(kills, list(seen.work))
        self.generator = np.random.default_rng(seed)
        self.kills: list[Kill] = []
        self.starts: list[Start] = []
        self.asked_before, self.sent_before = len(servers.teacher.ledger.seen), len(servers.archive.sent)
        self.questions = 0

    def run(self) -> None:
        """Start and kill until every planned kill has been made or the run is done."""
        while self.plan.total():
            start = self._start()
            if not self._kill_once(start):
                self._wait(start)
                return

    def finish(self) -> Start:
        """Start once more and let it end."""
        start = self._start()
        self._wait(start)
        return start

    def _start(self) -> Start:
        start = begin(self.project, len(self.starts))
        self.starts.append(start)
        return start

    def _wait(self, start: Start) -> None:
        for _ in jobs_of(start):
            pass
        self._settle(start)
        assert start.process.returncode == 0, f"start {len(self.starts)}: {start.said[-6000:]}"

    def _kill_once(self, start: Start) -> bool:
        """Kill this start at a drawn moment; False where it ended before there was anything to kill."""
        if self.plan[PLANNING]:
            until = float(self.generator.uniform(0.1, 0.9) * self.seen.work[PLANNING])
            while start.running and worked(start.process.pid) < until and job_of(start.process.pid) is None:
                time.sleep(_LOOK_S / 2)
            return self._kill_now(start, PLANNING, start.began)
        for job, began in jobs_of(start):
            place = (job.stage, job.name)
            if self.plan[place] > 0:
                until = self._moment(place)
                later = float(self.generator.uniform(0.0, 0.2))
                while job.alive and work_of(job, began) < until:
                    time.sleep(_LOOK_S / 2)
                if not job.alive:
                    time.sleep(later)  # Snakemake's own work behind a job is a moment too
                return self._kill_now(start, place, began)
        return False

    def _moment(self, place: Place) -> float:
        """Draw after how much of a job's usual work it is killed.

        A kill should not miss its job while more are planned there, and what is kept makes the next try shorter; the
        last one may come behind it, but not behind the last job: after that there is nothing to kill.
        """
        low, high = (0.25, 1.0) if place[0] in LATE else (0.0, 0.6)
        if self.plan[place] == 1 and any(row.stage == place[0] for row in self.kills):
            high = 0.8 if place == list(self.seen.work)[-1] else 1.1
        return float(self.generator.uniform(low, high) * self.seen.work[place])

    def _kill_now(self, start: Start, aim: Place, began: float) -> bool:
        kind = str(self.generator.choice(KINDS, p=SHARES))
        job = job_of(start.process.pid)
        if not start.running:
            return False
        place = (job.stage, job.name) if job else (PLANNING if aim == PLANNING else ("between jobs", f"after {aim[0]}"))
        kind = kind if job else ("all" if kind != "snakemake" else kind)
        began = began if place == aim else time.time()  # a job that has only just begun
        row = Kill(len(self.kills) + 1, *place, kind, time.time() - began, "", 0)
        strike(start, job, kind)
        self._note(row, job, began)
        self._settle(start, row.number)
        self._count(place, aim)
        return True

    def _note(self, row: Kill, job: Job | None, began: float) -> None:
        """Write down what was kept at the moment of a kill."""
        root = self.project.root
        done = progress(root, row.stage, row.name)
        row.kept, row.amount, row.moment = done.text, done.amount, time.time()
        row.redone = f"{seconds_since(done.kept_at, began):.1f} s" if job else "0 s"
        row.resumed = "" if row.stage in ("download", "rationales", "train", "generate") else "its start"
        if job is None:
            row.resumed = "the next job"
        row.asked, row.sent = len(self.servers.teacher.ledger.seen), len(self.servers.archive.sent)
        row.answers, row.batches = frozenset(stored_answers(root)), {}
        if row.stage == "generate":
            row.batches = batches(root, row.name)
            row.resumed = f"batch {row.amount}"
        self.kills.append(row)

    def _settle(self, start: Start, without: int = 0) -> None:
        """Wait for what was not killed of a start, but not for orphans; find what earlier kills were resumed from."""
        if without and self.kills[-1].kind in ("job", "shell"):
            start.process.wait(120)
        for row in self.kills:
            if not row.resumed and row.number != without:
                if row.stage == "download":
                    fresh = self.servers.archive.sent[row.sent :]
                    # Each start asks for the whole first, to learn its size, then for what is missing: a start that
                    # was killed in between has not gone on from anywhere.
                    first = max((sent.start for sent in fresh), default=0)
                    if first or (fresh and not row.amount) or self._is_fetched(row):
                        row.resumed = f"byte {first}" if fresh else "the whole archive"
                elif (since := start.jobs.get((row.stage, row.name))) is not None:
                    row.resumed = resumed(self.project.root, row.stage, row.name, since) or ""

    def _is_fetched(self, row: Kill) -> bool:
        return (self.project.root / "resources" / row.name / "manifest.json").exists()

    def _count(self, place: Place, aim: Place) -> None:
        """Count a kill; those that are left for a job that is done by now are left for the next ones."""
        self.plan[aim] -= 1
        order = list(self.seen.work)
        later = order[order.index(aim) + 1 :]
        later = [other for other in later if other[0] == aim[0]] or later
        if place != aim and later:
            rest, self.plan[aim] = self.plan[aim] + 1, 0
            for number in range(rest):
                self.plan[later[number % len(later)]] += 1


def spread(kills: dict[str, int], places: list[Place]) -> Counter[Place]:
    """Deal each stage's kills out to its jobs."""
    plan: Counter[Place] = Counter()
    for stage, count in kills.items():
        mine = [place for place in places if place[0] == stage]
        assert mine, f"{stage}: no such stage ran"
        for number in range(count):
            plan[mine[number % len(mine)]] += 1
    return plan


def begin(project: Project, number: int) -> Start:
    """Give the command."""
    output = project.root.parent / f"{project.root.name}-{number:03d}.out"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            project.command,
            cwd=project.root,
            env=project.environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Start(process, output)


def jobs_of(start: Start) -> Iterator[tuple[Job, float]]:
    """Yield each job as it appears, with the time."""
    known: set[int] = set()
    while start.running:
        job = job_of(start.process.pid)
        if job is not None and job.number not in known:
            known.add(job.number)
            start.jobs[job.stage, job.name] = time.time()
            yield job, time.time()
        time.sleep(_LOOK_S)


def strike(start: Start, job: Job | None, kind: str) -> None:
    """`kill -9`."""
    if kind == "all":
        kill(start.process.pid, group=True)
        start.process.wait()
    elif kind == "snakemake":
        kill(start.process.pid)
        start.process.wait()
    elif job is not None:
        kill(job.shell if kind == "shell" else job.number)


def work_of(job: Job, began: float) -> float:
    """Return how far a job is: by the clock where a server sets the pace, else by the processor's time."""
    return time.time() - began if job.stage in PACED else job.worked


def undisturbed(project: Project) -> Seen:
    """Run a project to its end and measure its jobs."""
    start = begin(project, 0)
    work: dict[Place, float] = {PLANNING: 0.0}
    for job, began in jobs_of(start):
        work[PLANNING] = work[PLANNING] or worked(start.process.pid)
        place = (job.stage, job.name)
        while job.alive:
            work[place] = max(work.get(place, 0.0), work_of(job, began))
            time.sleep(_LOOK_S / 2)
    assert start.process.wait() == 0, start.said[-6000:]
    return Seen(work)


def orphans(starts: list[Start], patience_s: float) -> list[int]:
    """Return the processes of all starts that are still there after some time."""
    end = time.time() + patience_s
    while (left := [number for start in starts for number in members(start.process.pid)]) and time.time() < end:
        time.sleep(0.1)
    return left
