"""How fast questions go out and how much memory they take; prints JSON.

    python benchmarks/teachers.py [--samples 100000]

`in_process`: a stand-in that answers in 300 ms, 64 in flight, against the ideal of 213 a second. `sdk`: the same
through OpenAI's SDK and a server on loopback, in a process of its own. `memory`: peak resident memory in MiB after
a tenth of the samples and after all of them; their difference is the index of keys.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "teachers"))

from fault_server import FaultServer
from teacher_samples import make_sample
from test_throughput import StandIn, ask

from gmner.config.teachers import Budget, Limits, OpenAITeacher
from gmner.teachers.asking import Asker, ask_all
from gmner.teachers.failures import Secret
from gmner.teachers.ledger import Ledger
from gmner.teachers.prompted import PromptedTeaching
from gmner.teachers.store import AnswerStore

IN_FLIGHT, DELAY_S = 64, 0.3
LIMITS = Limits(start_in_flight=IN_FLIGHT, max_in_flight=IN_FLIGHT)


def rate_in_process(folder: Path, rounds: int) -> float:
    """Return questions a second through a stand-in in this process."""
    count = IN_FLIGHT * rounds
    return count / ask(folder, StandIn(DELAY_S), count, LIMITS)


def rate_through_sdk(folder: Path, rounds: int) -> float:
    """Return questions a second through OpenAI's SDK and a server in another process."""
    from gmner.teachers.openai_provider import OpenAIProvider

    count = IN_FLIGHT * rounds
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        with FaultServer(delay_s=DELAY_S) as server:
            os.write(writer, server.url.encode())
            time.sleep(3600)
    url = os.read(reader, 100).decode()
    try:
        settings = OpenAITeacher(model="m", base_url=f"{url}/v1", image=None, limits=LIMITS)
        provider = OpenAIProvider(settings, Secret("OPENAI_API_KEY", "none"))
        asker = Asker(provider, AnswerStore(folder), Ledger(folder, Budget()), LIMITS, None, 64)
        samples = (make_sample(number) for number in range(count))
        started = time.perf_counter()
        asyncio.run(ask_all(asker, PromptedTeaching(settings, ()), samples, lambda sample: None))
        return count / (time.perf_counter() - started)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def peak_memory(folder: Path, count: int) -> int:
    """Return the peak of resident memory so far, in MiB, after asking `count` questions."""
    ask(folder, StandIn(0.0), count, LIMITS)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    samples = parser.parse_args().samples
    ideal = IN_FLIGHT / DELAY_S
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_process = rate_in_process(folder / "a", 30)
        sdk = rate_through_sdk(folder / "b", 30)
        memory = {str(count): peak_memory(folder / f"c{count}", count) for count in (samples // 10, samples)}
    print(json.dumps({
        "ideal_per_second": round(ideal, 1), "in_process_of_ideal": round(in_process / ideal, 3),
        "sdk_of_ideal": round(sdk / ideal, 3), "peak_memory_mib": memory,
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
