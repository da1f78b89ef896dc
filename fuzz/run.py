"""Fuzz the readers: `python fuzz/run.py answer --seconds 600` (or `all`), coverage-guided where atheris is installed.

An input that does not end as it should is kept in fuzz/findings, one that reaches new code in fuzz/corpus (atheris
only; base64, one input a line). Without atheris Hypothesis draws inputs from the formats' own pieces for the same time.
One JSON line a run.
"""

import argparse
import base64
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

SLOWEST_S = 1.0  # for one input of up to a megabyte
LONGEST = 4096  # bytes of an input that atheris makes
EXAMPLES = 300  # of Hypothesis in a row
MOST_KEPT = 400  # inputs of a corpus


def checked(name: str, data: bytes) -> None:
    """Run a target on one input; an error or a slow end is raised as it is."""
    from targets import TARGETS

    started = time.process_time()
    TARGETS[name](data)
    taken = time.process_time() - started
    if taken > SLOWEST_S:
        raise AssertionError(f"{taken:.1f} s for {len(data)} bytes")


def keep(name: str, data: bytes) -> Path:
    """Keep an input that ended badly."""
    path = HERE / "findings" / name / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read_corpus(name: str) -> list[bytes]:
    """Return the inputs that are kept for a target."""
    path = HERE / "corpus" / f"{name}.txt"
    return [base64.b64decode(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []


def write_corpus(name: str, inputs: list[bytes]) -> None:
    """Keep the shortest inputs, each once."""
    chosen = sorted(set(inputs), key=lambda data: (len(data), data))[:MOST_KEPT]
    lines = "".join(f"{base64.b64encode(data).decode('ascii')}\n" for data in chosen)
    (HERE / "corpus" / f"{name}.txt").write_text(lines, encoding="ascii")


def with_hypothesis(name: str, seconds: float) -> int:
    """Draw inputs for so long; return how many. Raises what the target raises, its input kept."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
    from targets import WORDS

    words = st.lists(st.one_of(st.sampled_from(WORDS[name]), st.text(max_size=6)), max_size=60)
    inputs = st.one_of(words.map(lambda parts: "".join(parts).encode("utf-8", "replace")), st.binary(max_size=300))
    end, count = time.monotonic() + seconds, 0
    failed: list[bytes] = []

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def batch(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            checked(name, data)
        except BaseException:
            failed[:] = [data]
            raise

    try:
        while time.monotonic() < end:
            batch()
    except BaseException:
        if failed:
            keep(name, failed[0])
        raise
    return count


def with_atheris(name: str, seconds: int) -> int:
    """Let libFuzzer mutate inputs for so long, in a process of its own; return how many it ran."""
    corpus, findings = Path(tempfile.mkdtemp(prefix="gmner-fuzz-")), HERE / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(read_corpus(name)):
        (corpus / str(number)).write_bytes(data)
    words = [sys.executable, str(HERE / "libfuzzer.py"), name, str(corpus), f"-max_total_time={seconds}"]
    words += [f"-artifact_prefix={findings}/", f"-max_len={LONGEST}", "-timeout=10", "-print_final_stats=1"]
    words += [f"-dict={_dictionary(name)}", "-reload=0", "-rss_limit_mb=2048"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    write_corpus(name, [path.read_bytes() for path in corpus.iterdir()])
    shutil.rmtree(corpus)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    return int(runs[-1].split(":")[-1])


def _dictionary(name: str) -> Path:
    from targets import WORDS

    path = Path(tempfile.mkdtemp(prefix="gmner-fuzz-")) / f"{name}.dict"
    lines = ["".join(f"\\x{byte:02x}" for byte in word.encode("utf-8")) for word in WORDS[name]]
    path.write_text("".join(f'"{line}"\n' for line in lines), encoding="utf-8")
    return path


def main() -> None:
    """Fuzz one target or all of them."""
    from targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: 600)")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"], help="default: atheris where it is installed")
    args = parser.parse_args()
    engine = args.engine or ("atheris" if importlib.util.find_spec("atheris") else "hypothesis")
    for name in TARGETS if args.target == "all" else [args.target]:
        started = time.monotonic()
        count = (with_atheris if engine == "atheris" else with_hypothesis)(name, args.seconds)
        taken = round(time.monotonic() - started)
        print(json.dumps({"target": name, "engine": engine, "seconds": taken, "inputs": count}), flush=True)


if __name__ == "__main__":
    main()
