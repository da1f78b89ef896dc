"""`gmner config`: check a configuration, show it with every default and run filled in, print its schema."""

import argparse
import json
import sys
from pathlib import Path

import yaml

from gmner.config import config_schema, load_config_file
from gmner.storage.files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (("check", "check a file; say what is wrong"), ("show", "print it with all defaults and runs")):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("file", nargs="?", default=Path("config.yaml"), type=Path, help="default: config.yaml")
    schema = actions.add_parser("schema", help="print the JSON schema")
    schema.add_argument("--out", type=Path, help="write it to this file instead")


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    if args.action == "schema":
        text = json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"
        if args.out:
            write_text(args.out, text)
        else:
            sys.stdout.write(text)
        return 0
    config = load_config_file(args.file)
    if args.action == "show":
        settled = config.model_dump(mode="json", exclude={"defaults"})
        sys.stdout.write(yaml.safe_dump(settled, sort_keys=False, allow_unicode=True, width=110))
        return 0
    runs = sum(len(config.datasets_of(name)) * len(config.seeds_of(name)) for name in config.runs)
    tables = ", ".join(config.tables.asked()) or "no tables"
    print(f"{args.file}: good; {len(config.runs)} runs, {runs} with their datasets and seeds, for {tables}")
    for section, names in config.in_no_table().items():
        if names:
            print(f"  in no table: {section} {', '.join(names)}")
    return 0
