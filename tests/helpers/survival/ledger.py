"""The ledger of the kill test, docs/survival.md: each kill, what was kept, what was found again, what was redone."""

from collections import Counter
from dataclasses import dataclass, field

KINDS = {
    "all": "everything",
    "job": "the job's process",
    "shell": "the job's shell",
    "snakemake": "Snakemake alone",
}
HEAD = """# Survival

Written by the kill test (`make survival`, tests/survival): one run of a small demo through every stage, with a slow
download, a teacher on loopback that charges for each answer, and `kill -9` at random moments drawn from a seeded
generator. What is killed is everything (Snakemake, the job, its shell), or the job's process alone, or its shell, or
Snakemake alone, whose job then is an orphan. After each kill the same command is given again: no `--unlock`, no
`--rerun-incomplete`, nothing removed by hand.
"""


@dataclass
class Kill:
    """One kill; `resumed` and `redone` are known once a later start has come as far."""

    number: int
    stage: str
    name: str
    kind: str
    seconds: float  # into the job
    kept: str
    amount: int
    moment: float = 0.0
    resumed: str = ""
    redone: str = ""
    asked: int = 0  # questions the teacher's server had seen
    answers: frozenset[str] = frozenset()
    sent: int = 0  # answers of the archive's server
    batches: dict[str, int] = field(default_factory=dict)

    def cells(self) -> list[str]:
        where = f"{self.stage} {self.name}".strip()
        return [
            str(self.number),
            where,
            KINDS[self.kind],
            f"{self.seconds:.1f} s" + (f", {self.kept}" if self.kept else ""),
            self.resumed or "its start",
            self.redone,
        ]


def markdown(kills: list[Kill], facts: list[str]) -> str:
    """Return the page."""
    stages = Counter(kill.stage for kill in kills)
    kinds = Counter(KINDS[kill.kind] for kill in kills)
    lines = [HEAD]
    lines += ["Killed: " + ", ".join(f"{kind} {count} times" for kind, count in kinds.most_common()) + ".", ""]
    lines += ["| stage | kills |", "|---|---|", *(f"| {stage} | {count} |" for stage, count in stages.items()), ""]
    lines += ["## What came of it", "", *(f"- {fact}" for fact in facts), ""]
    lines += [
        "## The ledger",
        "",
        "| # | where | killed | moment | went on from | redone |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(kill.cells())} |" for kill in kills]
    return "\n".join(lines) + "\n"
