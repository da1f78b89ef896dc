"""The data report: what a dataset holds and what was odd about it, as JSON and as Markdown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.core.records import Sample
from gmner.datasets.annotated import SPLITS, Draft
from gmner.datasets.oddities import Problems
from gmner.storage.files import write_json, write_text

RESULT_NEUTRAL = True  # counts what is there

ROWS = {
    "tweets": "tweets",
    "tweets_without_entity": "of them without an entity",
    "entities": "entities",
    "groundable": "groundable entities",
    "groundable_share": "groundable share",
    "boxes": "boxes, summed over entities",
    "box_objects": "box objects in the annotation files",
    "multi_box": "entities with more than one box",
    "most_boxes": "most boxes of an entity",
    "repeated_mentions": "tweets where one mention string occurs as two entities",
    "escaped_tokens": "tokens with an html escape (decoded)",
    "groundable_as_written": "groundable, with box names taken letter by letter",
    "boxes_as_written": "boxes, with box names taken letter by letter",
    "repeated_text": "tweets whose text occurs before in the same split",
    "same_text_in_train": "tweets whose text occurs in train too",
    "tokens": "tokens",
}
"""The counts of each split and what they mean, in the order of the report."""


def data_report(
    dataset: str, samples: Sequence[Sample], problems: Problems, drafts: Sequence[Draft], limit: int | None = None
) -> dict[str, Any]:
    """Count a dataset; `drafts` may be empty (drawn data), `limit` is the cut of each split, None for none."""
    splits = [split for split in SPLITS if any(sample.split == split for sample in samples)]
    train_texts = {sample.text for sample in samples if sample.split == "train"}
    counts = {}
    for split in splits:
        counts[split] = count_samples([sample for sample in samples if sample.split == split])
        counts[split] |= count_drafts([draft for draft in drafts if draft.split == split])
        texts = [sample.text for sample in samples if sample.split == split]
        counts[split]["repeated_text"] = len(texts) - len(set(texts))
        if split != "train":
            counts[split]["same_text_in_train"] = sum(text in train_texts for text in texts)
    types = {
        split: dict(sorted(Counter(e.type for s in samples if s.split == split for e in s.entities).items()))
        for split in splits
    }
    return {
        "dataset": dataset,
        "limit": limit,
        "splits": counts,
        "types": types,
        "problems": problems.to_json(),
    }


def count_samples(samples: Sequence[Sample] | Sequence[Draft]) -> dict[str, Any]:
    """Count tweets, entities and boxes of one split; no entity and no box are counted twice."""
    entities = [entity for sample in samples for entity in sample.entities]
    boxes = [len(entity.boxes) for entity in entities]
    groundable = sum(count > 0 for count in boxes)
    mentions = [[entity.mention for entity in sample.entities] for sample in samples]
    return {
        "tweets": len(samples),
        "tweets_without_entity": sum(not sample.entities for sample in samples),
        "entities": len(entities),
        "groundable": groundable,
        "groundable_share": round(groundable / len(entities), 4) if entities else None,
        "boxes": sum(boxes),
        "multi_box": sum(count > 1 for count in boxes),
        "most_boxes": max(boxes, default=0),
        "repeated_mentions": sum(len(set(names)) < len(names) for names in mentions),
        "tokens": sum(len(sample.tokens) for sample in samples),
    }


def count_drafts(drafts: Sequence[Draft]) -> dict[str, Any]:
    """Count what only the annotation files show; empty for data without such files.

    The `as_written` counts leave out boxes whose names needed their blanks fixed: so the paper of the
    dataset counted version 1.
    """
    if not drafts:
        return {}
    as_written = [
        len(entity.boxes) - mended
        for draft in drafts
        for entity, mended in zip(draft.entities, draft.mended or (0,) * len(draft.entities), strict=True)
    ]
    return {
        "box_objects": sum(draft.box_objects for draft in drafts),
        "escaped_tokens": sum(draft.raw_escapes for draft in drafts),
        "groundable_as_written": sum(count > 0 for count in as_written),
        "boxes_as_written": sum(as_written),
    }


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report as JSON to `path` and as Markdown beside it (`.md`)."""
    write_text(path.with_suffix(".md"), markdown(report))
    write_json(path, report)


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report for reading."""
    splits = list(report["splits"])
    lines = [f"# Data report: {report['dataset']}", ""]
    if report["limit"] is not None:
        lines += [f"Only the first {report['limit']} tweets of each split.", ""]
    lines += _table(["", *splits])
    for key, meaning in ROWS.items():
        values = [report["splits"][split].get(key) for split in splits]
        if any(value is not None for value in values):
            lines.append(_row([meaning, *("" if value is None else str(value) for value in values)]))
    lines += ["", "## Types", "", *_table(["type", *splits])]
    for name in sorted({name for found in report["types"].values() for name in found}):
        lines.append(_row([name, *(str(report["types"][split].get(name, 0)) for split in splits)]))
    lines += ["", "## Problems found", ""]
    for problem in report["problems"]:
        where = ", ".join(f"{split} {count}" for split, count in problem["by_split"].items())
        lines += [f"**{problem['count']}** {problem['meaning']} ({where})", ""]
        lines += [*(f"- {_code(example)}" for example in problem["examples"]), ""]
    if not report["problems"]:
        lines.append("None.")
    return "\n".join(lines).rstrip() + "\n"


def _code(text: str) -> str:
    """Return a text of a tweet's as code: on one line, and without a mark that ends the code."""
    plain = "".join(character if character.isprintable() else " " for character in text).replace("`", "'")
    return f"`{plain}`"


def _table(head: Sequence[str]) -> list[str]:
    return [_row(head), _row(["---", *["---:"] * (len(head) - 1)])]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
