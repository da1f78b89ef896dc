"""Scores for people: plain text tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from gmner.evaluation.bootstrap import Comparison
from gmner.evaluation.counts import TASKS
from gmner.evaluation.error_analysis import OUTCOMES
from gmner.evaluation.metrics import metric_of
from gmner.evaluation.seeds import MethodComparison

_BAR = 40


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under heads in columns; the first column is left-aligned, the others right-aligned."""
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    lines = []
    for first, *others in (heads, *rows):
        right = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join(lines)


def percent(value: float) -> str:
    """Return a share as per cent with two decimals."""
    return f"{100 * value:.2f}"


def score_text(scores: Mapping[str, Any]) -> str:
    """Return the scores of one file."""
    rows = []
    for task in TASKS:
        one, interval = scores[task], scores["intervals"][f"{task}_f1"]
        shares = [percent(one[name]) for name in ("precision", "recall", "f1")]
        counts = [str(one[name]) for name in ("correct", "predicted", "gold")]
        rows.append([task.upper(), *shares, f"{interval['low']:.2f} to {interval['high']:.2f}", *counts])
    regions, boxes, read = scores["regions"], scores["boxes"], scores["predictions"]
    parts = [
        table(["", "P", "R", "F1", "95 % of F1", "correct", "predicted", "gold"], rows),
        f"Acc@0.5 {percent(regions['acc_50'])}  Acc@0.75 {percent(regions['acc_75'])} "
        f"(of {regions['groundable']} groundable)  "
        f"mean IoU {percent(regions['mean_iou'])} (of {regions['paired']} paired)",
        f"boxes per grounded prediction: {boxes['mean_of_grounded']:.2f}, at most {boxes['most']}; "
        f"{boxes['more_than_one']} of {boxes['grounded']} have more than one",
        bias_text(scores),
        f"{scores['samples']} tweets; predictions: {read['form']}",
    ]
    if scores["calibration"]:
        parts.insert(-1, calibration_text(scores["calibration"]))
    if read["tweets_without"]:
        parts.append(f"{read['tweets_without']} tweets have no prediction; they count as predicted empty")
    if read["tweets_left_out"]:
        parts.append(f"{read['tweets_left_out']} tweets were left out: duplicates")
    if read["failures"]:
        told = ", ".join(f"{count} x {code}" for code, count in read["failures"].items())
        parts.append(f"problems in the outputs: {told}")
    return "\n".join([*parts, scores["signature"]])


def bias_text(scores: Mapping[str, Any]) -> str:
    """Return what says how much a system answers from one modality alone."""
    counts = scores["counts"]
    absent, invented, unknown = counts["absent_boxed"], counts["not_in_text"], counts["unknown_types"]
    return (
        f"ungroundable entities predicted with a box: {absent['boxed']} of {absent['predicted']} predicted; "
        f"mentions not in the text: {invented['invented']} of {invented['predicted']}; "
        f"types not in the list: {unknown['unknown']}"
    )


def calibration_text(found: Mapping[str, Any]) -> str:
    """Return the area under the risk-coverage curve."""
    return (
        f"area under the risk-coverage curve {percent(found['aurc'])} (best possible {percent(found['aurc_best'])}, "
        f"confidences that say nothing {percent(found['aurc_random'])}) over {found['predictions']} confidences"
    )


def comparison_text(first: str, other: str, compared: Mapping[str, Comparison]) -> str:
    """Return by how much the file `first` scores higher than the file `other`."""
    rows = [
        [
            metric_of(name).title,
            f"{one.difference:+.2f}",
            f"{one.low:+.2f} to {one.high:+.2f}",
            f"{one.p_bootstrap:.4f}",
            f"{one.p_randomisation:.4f}",
        ]
        for name, one in compared.items()
    ]
    head = f"{first} less {other}, points on the same tweets (about these outputs, not about methods):"
    return f"{head}\n{table(['', 'difference', '95 %', 'p (bootstrap)', 'p (randomisation)'], rows)}"


def methods_text(first: str, second: str, compared: Mapping[str, MethodComparison]) -> str:
    """Return by how much one method scores higher than another, over seeds and tweets."""
    some = next(iter(compared.values()))
    rows = [
        [
            f"{metric_of(name).title}{'*' if one.significant else ''}",
            f"{one.difference:+.2f}",
            f"{one.low:+.2f} to {one.high:+.2f}",
            "-" if one.p is None else f"{one.p:.4f}",
            "-" if one.p_permutation is None else f"{one.p_permutation:.4f}",
        ]
        for name, one in compared.items()
    ]
    seeds = f"{some.seeds_a} and {some.seeds_b} seeds, {some.tweets} tweets"
    parts = [
        f"{first} less {second}, points; {seeds}:",
        table(["", "difference", "95 %", "p (seeds and tweets)", "p (permutation)"], rows),
        some.statement or "*: significant over seeds and tweets",
    ]
    return "\n".join(parts)


def analysis_text(found: Mapping[str, Any]) -> str:
    """Return an analysis of errors."""
    outcomes = found["outcomes"]
    rows = [[name, str(outcomes[name]), meaning] for name, meaning in OUTCOMES.items()]
    width = max(len(row[0]) for row in rows)
    parts = [
        f"What became of {found['gold']} gold entities and {found['predicted']} predictions",
        "\n".join(f"{name.ljust(width)}  {number:>7}  {meaning}" for name, number, meaning in rows),
        f"gold: all but spurious, {found['gold']}; predictions: all but missed, {found['predicted']}",
        "",
        "By type",
        _task_table("type", found["by_type"]),
        "",
        "By number of gold entities in the tweet",
        _task_table("entities", found["by_number_of_entities"]),
        "",
        "Recall of gold entities by kind",
        table(
            ["", "gold", "GMNER", "MNER"],
            [
                [name, str(one["gold"]), percent(one["gmner_recall"]), percent(one["mner_recall"])]
                for name, one in found["slices"].items()
            ],
        ),
        "",
        "Types: gold in rows, predicted in columns, mention right ('-': missed, spurious)",
        _confusion(found["confusion"]),
        "",
        "GMNER against the IoU that a region needs",
        "\n".join(
            f"{one['iou']:.2f}  P {percent(one['precision']):>6}  R {percent(one['recall']):>6}  "
            f"F1 {percent(one['f1']):>6}  {'#' * round(_BAR * one['f1'])}"
            for one in found["iou_curve"]
        ),
    ]
    return "\n".join(parts)


def _task_table(head: str, groups: Mapping[str, Any]) -> str:
    heads = [head, "gold", "predicted", "GMNER P", "R", "F1", "MNER F1"]
    rows = []
    for name, one in groups.items():
        gmner = one["gmner"]
        shares = [percent(gmner[key]) for key in ("precision", "recall", "f1")]
        rows.append([name, str(gmner["gold"]), str(gmner["predicted"]), *shares, percent(one["mner"]["f1"])])
    return table(heads, rows)


def _confusion(rows: Mapping[str, Mapping[str, int]]) -> str:
    columns = sorted({said for row in rows.values() for said in row})
    return table(["", *columns], [[given, *(str(row.get(said, 0)) for said in columns)] for given, row in rows.items()])
