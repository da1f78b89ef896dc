"""`gmner teacher`: look after the store of answers."""

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from gmner.config import load_config_file
from gmner.config.teachers import PublishedTeacher, RationalesSettings, TemplateTeacher
from gmner.errors import ConfigError
from gmner.llm_client.folders import store_folder
from gmner.llm_client.pricing import Amount
from gmner.llm_client.upkeep import folders_of, forget_failures, forget_unaccepted, status_of
from gmner.rationales.acceptance import CODES
from gmner.rationales.exchange import export_rationales, import_rationales
from gmner.rationales.prompted import PromptedTeaching
from gmner.rationales.stage import plan_rationales, types_of

if TYPE_CHECKING:
    from gmner.config.teachers import PromptedTeacher

_STORE = Path("resources/teacher-store")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="what is in the store, and what failed and why")
    cost = actions.add_parser("cost", help="what it cost, and what may have been paid without an answer")
    planning = actions.add_parser("plan", help="what a teacher would be asked and what it would cost; asks nobody")
    retry = actions.add_parser("retry", help="forget failed answers, so that the next run asks again")
    exporting = actions.add_parser("export", help="write accepted rationales as {image_path, think} JSONL")
    importing = actions.add_parser("import", help="read {image_path, think} JSONL as a teacher's answers")
    for action in (status, cost, planning, retry, importing):
        action.add_argument("--store", type=Path, default=_STORE, help=f"default: {_STORE}")
    for action in (planning, retry, importing):
        action.add_argument("--config", type=Path, default=Path("config.yaml"), help="default: config.yaml")
        action.add_argument("--teacher", required=True, help="the teacher's name in the configuration")
    retry.add_argument("--rationales", type=Path, help="forget the answers that this table did not accept")
    retry.add_argument("--reason", help="only those refused for this reason, for instance contradiction_visible")
    exporting.add_argument("--rationales", type=Path, required=True, help="the table of rationales")
    exporting.add_argument("--out", type=Path, required=True, help="the JSONL to write")
    importing.add_argument("jsonl", type=Path, help="the JSONL to read")
    for action in (planning, exporting, importing):
        action.add_argument("--samples", type=Path, required=True, help="the table of samples")


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    actions = {"status": _status, "cost": _cost, "plan": _plan, "retry": _retry, "export": _export, "import": _import}
    actions[args.action](args)
    return 0


def _status(args: argparse.Namespace) -> None:
    for folder in folders_of(args.store):
        status = status_of(folder)
        finish = ", ".join(f"{count} {name}" for name, count in status.by_finish.items()) or "none"
        print(f"{status.name}: {status.answers} answers ({finish}), {status.open_batches} open batches")
        for reason, count in status.failures.most_common(10):
            print(f"  {count} x {reason}")
        for damage in status.damage:
            print(f"  damaged: {damage}")


def _cost(args: argparse.Namespace) -> None:
    for folder in folders_of(args.store):
        status = status_of(folder)
        spending = status.spending
        print(f"{status.name}: {_shown(spending.paid)} paid for {status.answers} answers")
        if spending.unknown.requests:
            print(f"  at most {_shown(spending.unknown)} more, for requests without an answer or a believable price")
        if spending.damaged.requests:
            print(f"  and {_shown(spending.damaged)} that only damaged rows of the store could explain")


def _plan(args: argparse.Namespace) -> None:
    settings = RationalesSettings(name=args.teacher, teacher=_teacher_of(args))
    print("\n".join(plan_rationales(settings, args.samples, args.store)))


def _retry(args: argparse.Namespace) -> None:
    if args.reason is not None and args.rationales is None:
        raise ConfigError("--reason: reasons stand in a table of rationales; pass it with --rationales")
    if args.reason is not None and args.reason not in CODES:
        near = difflib.get_close_matches(args.reason, CODES, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"--reason {args.reason}: there is no such reason; did you mean '{near}'? (known: {', '.join(CODES)})"
        )
    folder = _folder_of(args, _teacher_of(args))
    table = args.rationales
    count = forget_unaccepted(folder, table, args.reason) if table else forget_failures(folder)
    print(f"{folder.name}: {count} answers forgotten; the next run of the rationales stage asks again")


def _export(args: argparse.Namespace) -> None:
    count = export_rationales(args.rationales, args.samples, args.out)
    print(f"{args.out}: {count} rationales")


def _import(args: argparse.Namespace) -> None:
    teacher = _teacher_of(args)
    folder = _folder_of(args, teacher)
    if isinstance(teacher, PublishedTeacher):
        from gmner.rationales.published import take_in

        count, missing = take_in(teacher, args.jsonl, args.samples, args.store)
        print(f"{folder.name}: {count} rationales imported; {missing} training samples have none")
        return
    teaching = PromptedTeaching(teacher, types_of(teacher, args.samples))
    count, missing = import_rationales(args.jsonl, args.samples, folder, teaching.first)
    print(f"{folder.name}: {count} rationales imported; {missing} training samples have none and will be asked")


def _folder_of(args: argparse.Namespace, teacher: "PromptedTeacher | PublishedTeacher") -> Path:
    return store_folder(args.store, teacher.provider, teacher.model)


def _teacher_of(args: argparse.Namespace) -> "PromptedTeacher | PublishedTeacher":
    teachers = load_config_file(args.config).teachers
    if args.teacher not in teachers:
        raise ConfigError(f"--teacher {args.teacher}: {args.config} has no such teacher (known: {', '.join(teachers)})")
    teacher = teachers[args.teacher]
    if isinstance(teacher, TemplateTeacher):
        raise ConfigError(f"--teacher {args.teacher}: a template has no answers in the store; name another teacher")
    return teacher


def _shown(amount: Amount) -> str:
    dollars = "unknown dollars" if amount.usd is None else f"${amount.usd:.4f}"
    return f"{dollars}, {amount.tokens} tokens, {amount.requests} requests"
