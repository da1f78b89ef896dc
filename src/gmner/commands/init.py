"""`gmner init`: a configuration for a folder of one's own data."""

import argparse
import json
import logging
from pathlib import Path

from gmner.config.base import NAME_PATTERN
from gmner.config.root import load_config_file
from gmner.core.entity_types import COARSE_TYPES
from gmner.datasets.survey import survey
from gmner.errors import ConfigError
from gmner.storage.files import write_text

log = logging.getLogger(__name__)

_SHORT = """
backbones:
  tiny: {kind: tiny}  # three million parameters, for a trial on any machine: too small for real images

teachers:
  template: {provider: template, style: evidence}

defaults:
  backbone: tiny
  teacher: template
  prompt: short
  train: {epochs: 3, batch_size: 16, accumulation: 1, learning_rate: 3.0e-3, max_length: 512, select: last}
  generate: {max_new_tokens: 384, merge: true}
"""
_FULL = """
backbones:
  qwen2.5-vl-7b:
    kind: hub
    id: Qwen/Qwen2.5-VL-7B-Instruct
    revision: cc594898137f460bfe9f0759e9844b3ce807cfb5

teachers:
  # Reasons over the training tweets. The backbone itself needs no key; docs/teachers.md has better ones.
  qwen2.5-vl-7b: {provider: local, model: resources/backbones/qwen2.5-vl-7b}

# What is not named here has the authors' setting.
defaults:
  backbone: qwen2.5-vl-7b
  teacher: qwen2.5-vl-7b
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", help="of the dataset: a folder's name in results/")
    parser.add_argument("--path", type=Path, help="folder with the data (default: data/NAME)")
    parser.add_argument("--out", type=Path, help="configuration to write (default: NAME.yaml)")
    parser.add_argument("--tiny", action="store_true", help="with the embedded tiny backbone: a trial on any machine")


def run(args: argparse.Namespace) -> int:
    """Look at the folder, write the configuration, and check it."""
    if not NAME_PATTERN.fullmatch(args.name):
        raise ConfigError(f"'{args.name}' cannot name a dataset: use letters, digits, '.', '_' and '-'")
    folder = args.path or Path("data", args.name)
    out = args.out or Path(f"{args.name}.yaml")
    if out.exists():
        raise ConfigError(f"{out}: is there already; name another with --out")
    found = survey(folder)
    if "test" not in found.splits:
        log.warning("%s: no test split: nothing can be scored", folder)
    dataset: dict[str, object] = {"kind": "folder", "path": str(folder), "types": list(found.types or COARSE_TYPES)}
    dataset |= {"fine": True} if found.fine else {}
    runs = "runs:\n  untuned: {kind: untuned}\n"
    if "train" in found.splits:
        # Without a dev split the best epoch cannot be told: the last one is taken.
        runs += "  full: {}\n" if "dev" in found.splits else "  full: {train: {select: last}}\n"
    shown = "[untuned, full]" if "train" in found.splits else "[untuned]"
    text = (
        f"# snakemake --cores 1 --configfile {out}\nseeds: [42]\n\ndatasets:\n  {json.dumps(args.name)}: "
        f"{json.dumps(dataset, ensure_ascii=False)}\n{_SHORT if args.tiny else _FULL}\n{runs}\n"
        f"tables:\n  table1: {{runs: {shown}}}\n"
    )
    write_text(out, text)
    load_config_file(out)
    log.info("%s: %s with %d types; run: snakemake --cores 1 --configfile %s", out, ", ".join(found.splits),
             len(found.types), out)  # fmt: skip
    return 0
