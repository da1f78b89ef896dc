"""Oddities of annotations and images: collected where they are met, shown in the data report."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

RESULT_NEUTRAL = True  # notes what is odd, changes nothing

KINDS = {
    "orphan_tag": "I- tags without a B- before them; each starts an entity",
    "coarse_differs": "entities whose coarse label is not the one their fine type belongs to",
    "repaired_name": "boxes whose name matched its mention only after stray blanks or newlines were removed",
    "unmatched_name": "boxes whose name is no mention of the tweet; they are left out",
    "file_name_differs": "box files that name another image than the one they are named after",
    "box_outside": "boxes that reached over the image's edge; cut off there",
    "box_dropped": "boxes without an area inside the image; left out",
    "boxes_in_percent": "splits whose boxes all lie in [0, 100] of much larger images (percent, not pixels?)",
    "repeated_tweet": "tweets whose text occurs before in the same split",
    "shared_tweet": "tweets whose text occurs in an earlier split too: what is learned is tested there",
    "size_differs": "images whose size is not the annotated one; their boxes may be wrong",
    "identical_images": "groups of tweets with byte-identical images (a placeholder for lost images?)",
    "maybe_truncated": "images without an end mark; they may be cut off",
    "unused_annotation": "box files that belong to no tweet",
}
"""What each kind of problem means, in the order of the report."""

EXAMPLES = 10


@dataclass
class Problems:
    """Counts of each kind of problem for each split, with the first few examples."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, split: str, text: str) -> None:
        """Note one problem; `kind` is one of KINDS."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind of problem '{kind}'")
        self.counts[kind][split] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(f"{split}: {text}")

    def count(self, kind: str, split: str | None = None) -> int:
        """Return how often a kind was met, in one split or in all."""
        found = self.counts.get(kind, Counter())
        return found[split] if split is not None else found.total()

    def to_json(self) -> list[dict[str, object]]:
        """Return what was found, one entry per kind, in the order of KINDS."""
        return [
            {
                "kind": kind,
                "meaning": meaning,
                "count": self.count(kind),
                "by_split": dict(sorted(self.counts[kind].items())),
                "examples": self.examples[kind],
            }
            for kind, meaning in KINDS.items()
            if self.count(kind)
        ]
