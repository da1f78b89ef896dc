"""The command line: `gmner <command> …`. A command's module is imported only when it is asked for."""

import argparse
import contextlib
import difflib
import importlib
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, NoReturn, TextIO

from gmner.core.visible import visible
from gmner.errors import GmnerError
from gmner.runtime.system_errors import close_errors, close_output, explain, fault_of, names_a_path, say, stoppable
from gmner.workflow.killed_runs import tell_why

# Commands for people: one line of help each. The code is gmner/commands/<command>.py with add_arguments and run.
COMMANDS = {
    "annotate": "find the entities of one image and text, or of many, with a trained run",
    "score": "score any system's predictions against gold annotations",
    "init": "write a configuration for a folder of your own data",
    "import-data": "turn annotations of Label Studio or COCO into a dataset folder",
    "config": "check or show a configuration, or print its schema",
    "demo": "serve a page in the browser to try trained runs",
    "export": "write a trained run as a folder to share: adapter or merged model, card, use.py",
    "teacher": "look after the teachers' answers: status, cost, plan, retry, export, import",
    "stage": "run one stage by itself: what the workflow's rules run",
}


EXAMPLES = """examples:
  gmner config check my.yaml
  gmner score gold/txt/test.txt predictions.jsonl
  gmner annotate --run results/train/demo-gmner/full/seed42 --image photo.jpg --text "Ann in Oslo"
  gmner teacher cost
  gmner stage scores --settings results/settings/scores/demo-gmner/full/seed42.json --help

completion in bash: eval "$(register-python-argcomplete gmner)", with argcomplete installed"""


class _Parser(argparse.ArgumentParser):
    """A parser that names the nearest command or option for one that it does not know."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        if wrong:
            known = re.findall(r"[\w-]+", wrong[2])
            message = f"unknown: '{wrong[1]}'; {nearest(wrong[1], known)}"
        elif unknown:
            known = [word for parser in self._all() for action in parser._actions for word in action.option_strings]
            message = f"unknown option {unknown[1]}; {nearest(unknown[1], known)}"
        super().error(message)

    def _all(self) -> Iterator[argparse.ArgumentParser]:
        waiting: list[argparse.ArgumentParser] = [self]
        while waiting:
            parser = waiting.pop()
            yield parser
            for action in parser._actions:
                waiting += action.choices.values() if isinstance(action, argparse._SubParsersAction) else []


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `did you mean 'x'?`, or all that is known."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(dict.fromkeys(known))}"


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser with the arguments of the command that `words` name: the others stay unimported."""
    command = next((word for word in words if not word.startswith("-")), None)
    parser = _Parser(
        prog="gmner",
        description=__import__("gmner").__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gmner {version('gmner')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        subparser = commands.add_parser(name, help=help_text, description=help_text)
        if name == "stage" and name == command:
            _module_of(name).add_arguments(subparser, words[list(words).index(name) + 1 :])
        elif name == command:
            _module_of(name).add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 after an error that the user can fix, 128 and its number after a signal."""
    with stoppable(), visible_output():
        try:
            status = _run(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
            return status
        except GmnerError as error:
            _fail(_with_remedy(error))
            return 1
        except BrokenPipeError:
            close_output()
            return 1
        except KeyboardInterrupt as stop:
            number = getattr(stop, "number", signal.SIGINT)
            say("interrupted; rerun the same command to resume")
            return 128 + int(number)
        except Exception as error:
            line = explain(error)
            if line is None:
                raise  # a fault of ours: its traceback is wanted
            logging.getLogger(__name__).debug("this error:", exc_info=True)
            _fail(line)
            close_output()
            close_errors()
            return 1


@contextlib.contextmanager
def visible_output() -> Iterator[None]:
    """Let nothing that a file says steer the terminal: all that commands print goes through `visible`."""
    stream = sys.stdout
    sys.stdout = _VisibleStream(stream)
    try:
        yield
    finally:
        sys.stdout = stream


class _VisibleStream:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _VisibleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _fail(line: str) -> None:
    """Say why a command failed; the workflow that it is a job of repeats it at its end."""
    say(f"error: {line}")
    tell_why(f"error: {line}")


def _run(arguments: list[str]) -> int:
    parser = build_parser(_words_to_complete() or arguments)
    with contextlib.suppress(ImportError):
        importlib.import_module("argcomplete").autocomplete(parser)
    parsed = parser.parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=os.environ.get("GMNER_LOG", "INFO"), handlers=[handler])
    return int(_module_of(parsed.command).run(parsed) or 0)


def _words_to_complete() -> list[str]:
    """Return the words of a command line that a shell wants completed; none if this is a command to run."""
    if "_ARGCOMPLETE" not in os.environ:
        return []
    return os.environ.get("COMP_LINE", "").split()[1:]


def _with_remedy(error: GmnerError) -> str:
    """Return an error's text; where the machine is behind it, what is wrong there and what to do about it."""
    fault = fault_of(error.__cause__)
    if fault is None:
        return str(error)
    return fault if names_a_path(error.__cause__) else f"{error} ({fault})"


def _module_of(command: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"gmner.commands.{command.replace('-', '_')}")
