"""How fast questions go out and how much memory they take; prints JSON.

    python benchmarks/teachers.py [--quick] [--samples 100000]

`in_process`: a stand-in that answers in 300 ms, 64 in flight, against the ideal of 213 a second. `sdk`: the same
through OpenAI's SDK and a server on loopback, in a process of its own. `memory`: peak resident memory in MiB after
a tenth of the samples and after all of them; their difference is the index of keys. The baseline, one question after
the other as a plain loop asks them, is the delay itself.
"""

import measure  # noqa: I001
import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from gmner.config.teachers import Budget, Limits, OpenAITeacher
from gmner.llm_client.ask import Asker, ask_all
from gmner.llm_client.errors import Secret
from gmner.rationales.prompted import PromptedTeaching
from gmner.llm_client.answer_store import AnswerStore
from standins.teachers import SlowProvider, ask, make_sample, server_in_a_process

IN_FLIGHT, DELAY_S = 64, 0.3
LIMITS = Limits(start_in_flight=IN_FLIGHT, max_in_flight=IN_FLIGHT)


def rate_in_process(folder: Path, rounds: int) -> float:
    """Return questions per second through a stand-in in this process."""
    count = IN_FLIGHT * rounds
    return count / ask(folder, SlowProvider(DELAY_S), count, LIMITS)


def rate_through_sdk(folder: Path, rounds: int) -> float:
    """Return questions per second through OpenAI's SDK and a server in another process.

    Counted from the end of the first round to the end of the last but one: connecting happens once.
    """
    from gmner.llm_client.providers.openai import OpenAIProvider

    count = IN_FLIGHT * rounds
    with server_in_a_process(DELAY_S) as url:
        settings = OpenAITeacher(model="m", base_url=f"{url}/v1", image=None, limits=LIMITS)
        provider = OpenAIProvider(settings, Secret("OPENAI_API_KEY", "none"))
        asker = Asker(provider, AnswerStore(folder), Budget(), LIMITS, None, 64)
        done: list[float] = []
        teaching = PromptedTeaching(settings, ())
        asyncio.run(
            ask_all(asker, teaching, map(make_sample, range(count)), lambda _: done.append(time.perf_counter()))
        )
        first, last = (IN_FLIGHT - 1, -IN_FLIGHT - 1) if rounds > 2 else (0, -1)
        return len(done[first:last]) / (done[last] - done[first])


def peak_memory(folder: Path, count: int) -> int:
    """Return the peak of resident memory so far, in MiB, after asking `count` questions."""
    ask(folder, SlowProvider(0.0), count, LIMITS)
    return measure.own_peak_mib()


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = measure.parser(__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = arguments()
    samples, rounds = (200, 1) if args.quick else (args.samples, 30)
    ideal = IN_FLIGHT / DELAY_S
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_process = rate_in_process(folder / "a", rounds)
        sdk = rate_through_sdk(folder / "b", rounds)
        memory = {str(count): peak_memory(folder / f"c{count}", count) for count in (samples // 10, samples)}
    measure.emit(
        measure.document(
            "teachers",
            args.quick,
            work=IN_FLIGHT * rounds,
            unit="questions",
            rate=round(in_process, 1),
            ideal_per_second=round(ideal, 1),
            in_process_of_ideal=round(in_process / ideal, 3),
            sdk_of_ideal=round(sdk / ideal, 3),
            ratio=round(in_process * DELAY_S, 1),
            peak_memory_mib=memory,
            baseline={"way": "one question after the other", "rate": round(1 / DELAY_S, 2)},
        )
    )


if __name__ == "__main__":
    main()
