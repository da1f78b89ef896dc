"""Starting a training as several processes: one a GPU, on one machine or on several, through `accelerate launch`.

`gmner train` is one command for all of it. Asked for more than one process, it starts itself again under
`accelerate launch` and waits; on several nodes of a Slurm allocation it first starts itself on each by `srun`.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gmner.config.run import LaunchSettings
from gmner.errors import ConfigError, GmnerError
from gmner.models.claim_gpu import claim_gpus

RESULT_NEUTRAL = True  # which processes do the work, not what comes of it

log = logging.getLogger(__name__)

WORKER = "GMNER_TRAIN_WORKER"  # set in the processes that accelerate starts
NODE_RANK = "GMNER_NODE_RANK"  # the number of this machine, where no Slurm says it
ON_NODE = "GMNER_TRAIN_NODE"  # set in what srun starts on each node

INTERRUPTED = 130
_FIRST_PORT, _PORTS = 20000, 20000


def launch(settings: LaunchSettings, arguments: Sequence[str]) -> int | None:
    """Run `gmner <arguments>` in the processes that `settings` ask for and return its exit status.

    Returns None where this process is to do the work itself: one process is enough, or it is one of them.
    Raises ConfigError if several nodes are asked for and nothing says which of them this one is.
    """
    if settings.world == 1 or os.environ.get(WORKER):
        return None
    if settings.nodes > 1 and "SLURM_JOB_ID" in os.environ and not os.environ.get(ON_NODE):
        return _wait(_srun(settings, arguments), {ON_NODE: "1"})
    claim_gpus(settings.processes)
    return _wait(accelerate_command(settings, arguments, os.environ), {WORKER: "1"})


def accelerate_command(settings: LaunchSettings, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the command that starts this node's processes."""
    address, port = _meeting_place(settings, environment)
    threads = int(environment.get("OMP_NUM_THREADS") or 0) // settings.processes
    options: dict[str, Any] = {
        "num_processes": settings.world,
        "num_machines": settings.nodes,
        "machine_rank": _node_rank(settings, environment),
        "main_process_ip": address,
        "main_process_port": port,
        "num_cpu_threads_per_process": max(threads, 1),
        "mixed_precision": "no",  # the trainer's own settings decide
        "dynamo_backend": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *words),
        *("--module", "gmner", *arguments),
    ]


def _node_rank(settings: LaunchSettings, environment: Mapping[str, str]) -> int:
    if settings.nodes == 1:
        return 0
    found = environment.get(NODE_RANK) or (environment.get("SLURM_NODEID") if environment.get(ON_NODE) else None)
    if found is None or not found.isdigit() or int(found) >= settings.nodes:
        raise ConfigError(
            f"train.launch.nodes is {settings.nodes}, but this is no Slurm job and {NODE_RANK} is {found!r}; start the "
            f"same command on every machine with {NODE_RANK}=0, 1, …, and MASTER_ADDR and MASTER_PORT of the first"
        )
    return int(found)


def _meeting_place(settings: LaunchSettings, environment: Mapping[str, str]) -> tuple[str, int]:
    if settings.nodes == 1:
        return "127.0.0.1", settings.port or _free_port()
    if environment.get(ON_NODE):
        job = int(environment["SLURM_JOB_ID"])
        return _first_host(environment["SLURM_JOB_NODELIST"]), settings.port or _FIRST_PORT + job % _PORTS
    address, port = environment.get("MASTER_ADDR"), settings.port or environment.get("MASTER_PORT")
    if not address or not port:
        raise ConfigError(
            "train.launch.nodes is more than 1, but MASTER_ADDR or MASTER_PORT is not set; both name the first "
            f"machine, the one with {NODE_RANK}=0"
        )
    return address, int(port)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _first_host(nodes: str) -> str:
    done = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.split():
        raise GmnerError(f"scontrol cannot read the list of nodes '{nodes}': {done.stderr.strip()}")
    return done.stdout.split()[0]


def _srun(settings: LaunchSettings, arguments: Sequence[str]) -> list[str]:
    nodes = str(settings.nodes)
    return [
        *("srun", "--overlap", "--nodes", nodes, "--ntasks", nodes, "--ntasks-per-node", "1", "--kill-on-bad-exit=1"),
        *("--cpus-per-task", os.environ.get("SLURM_CPUS_PER_TASK", "1")),
        *(sys.executable, "-m", "gmner", *arguments),
    ]


def _wait(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command in a session of its own; a request to stop reaches it once, as SIGTERM.

    In the terminal's own group each worker would hear Ctrl-C twice, from the terminal and from accelerate, and
    the second time means: at once.
    """
    if shutil.which(command[0]) is None:
        raise GmnerError(f"train.launch needs {command[0]}, which is not installed here")
    log.info("train: %s", " ".join(command[: command.index("train")]) if "train" in command else command[0])
    child = subprocess.Popen(
        command, env={**os.environ, **variables}, start_new_session=True, preexec_fn=end_with_parent
    )
    with _forwarding(child) as asked:
        status = child.wait()
    return INTERRUPTED if asked else min(abs(status), 1)


@contextlib.contextmanager
def _forwarding(child: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    asked: list[int] = []

    def forward(number: int, frame: Any) -> None:
        if not asked:
            child.send_signal(signal.SIGTERM)
        asked.append(number)

    kept = {}
    with contextlib.suppress(ValueError):  # signals belong to the main thread alone
        for number in (signal.SIGINT, signal.SIGTERM):
            kept[number] = signal.signal(number, forward)
    try:
        yield asked
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Let this process get SIGTERM when its parent dies, however that dies (Linux; elsewhere nothing is done)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
