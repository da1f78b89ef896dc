"""What the benchmarks share: clock, peak memory, versions, and the one JSON document that each of them prints.

Every benchmark imports this first: it makes the package in `src/` of this checkout importable where none is installed.
"""

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("GMNER_SHARED", REPO.parent / "shared"))
"""Where the real annotations are, if anywhere: `data/GMNER-<commit>.zip`."""
PACKAGES = ("numpy", "scipy", "pyarrow", "torch", "transformers", "trl", "peft", "snakemake")

if (REPO / "src" / "gmner").is_dir():
    sys.path.insert(0, str(REPO / "src"))


@dataclass(frozen=True)
class Timed:
    """The median of some runs of one piece of work: wall-clock and CPU seconds, peak memory of the process, MiB.

    CPU seconds are those of this process and of the processes it has waited for.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: int
    result: Any

    def to_json(self, work: float | None = None) -> dict[str, Any]:
        """Return the numbers, with the rate where the amount of `work` is given."""
        rate = {} if work is None else {"rate": round(work / self.seconds, 2)}
        seconds = {"seconds": round(self.seconds, 4), "cpu_seconds": round(self.cpu_seconds, 4)}
        return {**seconds, **rate, "peak_mib": self.peak_mib}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a small amount of work, to see that the script runs")
    return made


def timed(function: Callable[[], Any], repeats: int = 1) -> Timed:
    """Run `function` some times and return the medians and the last result."""
    return timed_together([function], repeats)[0]


def timed_together(functions: Sequence[Callable[[], Any]], repeats: int = 3) -> list[Timed]:
    """Run several functions in turn, some rounds, so that a busy moment of the machine meets all of them alike."""
    walls: list[list[float]] = [[] for _ in functions]
    processors: list[list[float]] = [[] for _ in functions]
    peaks = [0 for _ in functions]
    results: list[Any] = [None for _ in functions]
    for _ in range(repeats):
        for place, function in enumerate(functions):
            results[place] = None
            gc.collect()
            _reset_peak()
            wall, processor = time.perf_counter(), _cpu_seconds()
            results[place] = function()
            walls[place].append(time.perf_counter() - wall)
            processors[place].append(_cpu_seconds() - processor)
            peaks[place] = max(peaks[place], peak_mib())
    return [
        Timed(statistics.median(wall), statistics.median(processor), peak, result)
        for wall, processor, peak, result in zip(walls, processors, peaks, results, strict=True)
    ]


def _cpu_seconds() -> float:
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def _reset_peak() -> None:
    """Let Linux count the process's peak memory from here on; elsewhere it stays that of the whole run."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_mib() -> int:
    """Return the peak of the process's resident memory since it was last reset, MiB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
    except (OSError, StopIteration):
        return own_peak_mib()


def own_peak_mib() -> int:
    """Return the peak of the process's resident memory over its whole life, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def document(name: str, quick: bool, **found: Any) -> dict[str, Any]:
    """Return what a benchmark prints: its name, what it found, and what it ran on."""
    return {"benchmark": name, "quick": quick, **found, "versions": versions(), "device": device()}


def against_baseline(unit: str, work: float, ours: Timed, baseline: Timed, way: str, target: float) -> dict[str, Any]:
    """Return the part of a document that compares us with the authors' way (`way`, in words) on the same work."""
    return {
        "work": work,
        "unit": unit,
        "ours": ours.to_json(work),
        "baseline": {"way": way, **baseline.to_json(work)},
        "ratio": round(baseline.seconds / ours.seconds, 2),
        "cpu_ratio": round(baseline.cpu_seconds / ours.cpu_seconds, 2),
        "target": target,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on, as far as installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device() -> dict[str, Any]:
    """Return the machine: processor, cores, threads of numerical libraries, the GPU in use if torch has one."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else None
    threads = os.environ.get("OMP_NUM_THREADS")
    return {"processor": name, "cores": cores, "threads": threads, "gpu": gpu, "load_average": load}


def emit(found: dict[str, Any]) -> None:
    """Print a document."""
    print(json.dumps(found, indent=1))
