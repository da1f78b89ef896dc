"""Write the tables of docs/performance.md from what `make bench` printed.

make bench > bench.json
python benchmarks/pages/performance_tables.py bench.json --machine "2 cores of an AMD EPYC, no GPU"
"""

import argparse
import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
NAMES = {
    "samples": "Samples",
    "grbp": "GRBP",
    "collation": "Collation",
    "training": "Training",
    "inference": "Inference",
    "scorer": "Scoring",
}


def documents(text: str) -> dict[str, dict[str, Any]]:
    """Return the documents in a text of several, one after the other, by name; the last of one name counts."""
    decoder, place, found = json.JSONDecoder(), 0, {}
    while (place := text.find("{", place)) >= 0:
        value, place = decoder.raw_decode(text, place)
        if "benchmark" in value:
            found[value["benchmark"]] = value
    return found


def comparisons(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of ratios."""
    lines = [
        "| | work | ours, a second | authors' way, a second | ratio | of CPU time | goal | peak MiB, ours / theirs |"
    ]
    lines.append("|---|---|---:|---:|---:|---:|---:|---:|")
    for name, title in NAMES.items():
        if name not in found:
            continue
        one = found[name]
        ours, theirs = one["ours"], one["baseline"]
        lines.append(
            f"| {title} | {one['work']:,} {one['unit']} | {ours['rate']:,.0f} | {theirs['rate']:,.1f} "
            f"| **{one['ratio']:,.1f}** | {one['cpu_ratio']:,.1f} | {one['target']} "
            f"| {ours['peak_mib']} / {theirs['peak_mib']} |"
        )
    return lines


def more(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return what the table of ratios does not say, a line each."""
    lines = []
    if (one := found.get("samples")) is not None:
        lines.append(
            f"Samples with their images looked at, one image per tweet: {one['stage_ratio']:,.0f} times as fast."
        )
    if (one := found.get("collation")) is not None:
        rate = one["with_features"]["rate"]
        lines.append(f"Collation with the vision tower's features kept: {rate:,.0f} samples per second.")
    if (one := found.get("training")) is not None:
        lines.append(
            f"Training: {one['tokens_per_second']:,.0f} tokens per second; the two losses differ by "
            f"{100 * one['largest_difference_of_losses']:.3g} % at most over {one['updates']} updates."
        )
    if (one := found.get("inference")) is not None:
        lines.append(
            f"Inference: {one['tokens_per_second']:,.0f} tokens per second; {100 * one['equal_answers']:.0f} % of the "
            f"answers compared are equal; {100 * one['closed_answers']:.0f} % of ours end with `</answer>`."
        )
    if (one := found.get("scorer")) is not None:
        lines.append(
            f"Scoring without answers in a loop: {one['ratio_without_loops']:.2f} times as fast. `gmner score` on "
            f"{one['command']['tweets']:,} tweets: {one['command']['seconds']:.1f} s, {one['command']['peak_mib']} MiB."
        )
    if (one := found.get("teachers")) is not None:
        few, many = one["peak_memory_mib"].items()
        lines.append(
            f"Teachers, 64 in flight at a stand-in that answers in 300 ms: {100 * one['in_process_of_ideal']:.0f} % "
            f"of the ideal rate in one process, {100 * one['sdk_of_ideal']:.0f} % through OpenAI's SDK over loopback; "
            f"{int(few[0]):,} questions take {few[1]} MiB, {int(many[0]):,} take {many[1]}."
        )
    if (one := found.get("report")) is not None:
        browser = (
            f"; a browser is ready in {one['interactive_ms']} ms, filters in {one['filter_ms']:.0f} ms, opens a tweet "
            f"in {one['open_tweet_ms']:.0f} ms"
            if "filter_ms" in one
            else ""
        )
        lines.append(
            f"Report of {one['work']:,} tweets and {one['runs']} runs: {one['ours']['seconds']:.1f} s, a page of "
            f"{one['page_mb']:.1f} MB{browser}."
        )
    return [f"- {line}" for line in lines]


def workflow(one: dict[str, Any]) -> list[str]:
    """Return the table of the workflow's own time."""
    slowest = max(one["start_seconds"], key=one["start_seconds"].get)
    return [
        "| | seconds | CPU seconds | goal |",
        "|---|---:|---:|---:|",
        f"| `snakemake` with nothing to do | {one['no_op_seconds']:.2f} | {one['no_op_cpu_seconds']:.2f} "
        f"| {one['no_op_target']:g} |",
        f"| dry run of the `paper` configuration, {one['paper_jobs']} jobs | {one['paper_dry_run_seconds']:.2f} "
        f"| {one['paper_dry_run_cpu_seconds']:.2f} | |",
        f"| start of a light stage, the slowest (`{slowest}`) | {one['start_seconds'][slowest]:.2f} "
        f"| {one['start_cpu_seconds'][slowest]:.2f} | {one['start_target']:g} |",
    ]


def scale(one: dict[str, Any]) -> list[str]:
    """Return the table of sizes."""
    stages = list(next(iter(one["sizes"].values())))
    lines = ["| tweets | " + " | ".join(f"{stage}: seconds, CPU seconds, MiB" for stage in stages) + " |"]
    lines.append("|---:|" + "---:|" * len(stages))
    for size, found in one["sizes"].items():
        cells = [
            f"{found[stage]['seconds']:.1f}, {found[stage]['cpu_seconds']:.1f}, {found[stage]['peak_mib']}"
            for stage in stages
        ]
        lines.append(f"| {int(size):,} | " + " | ".join(cells) + " |")
    return lines


def page_block(found: dict[str, dict[str, Any]], machine: str, note: str) -> str:
    """Return the generated part of the page."""
    versions = next(iter(found.values()))["versions"]
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [[f"Measured on {machine}. {note}".strip(), "", f"With {said}."], comparisons(found), more(found)]
    if "dag" in found:
        parts.append(workflow(found["dag"]))
    if "scale" in found:
        parts.append(scale(found["scale"]))
    return "\n\n".join("\n".join(part) for part in parts if part)


def main() -> None:
    """Rewrite the generated part of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=Path, nargs="+", help="what the benchmarks printed")
    parser.add_argument("--machine", required=True, help="in words")
    parser.add_argument("--note", default="", help="a sentence about the run")
    args = parser.parse_args()
    found = documents("\n".join(path.read_text(encoding="utf-8") for path in args.documents))
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    block = page_block(found, args.machine, args.note)
    PAGE.write_text(f"{head}{BEGIN}\n{block}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
