"""`kill -9` at random moments in every stage, through Snakemake; the same command again, and the same bytes at last."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.survival.checks import (
    check_leftovers,
    check_never_unlocked,
    check_questions,
    check_results,
    check_resumed,
    note_bytes,
)
from tests.helpers.survival.killing import PLANNING, Killer, orphans, undisturbed
from tests.helpers.survival.ledger import KINDS, markdown
from tests.helpers.survival.project import TWEETS, Project, Servers, configuration

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_FULL = "GMNER_SURVIVAL"
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "survival.md"
# Kills planned in each stage of the full test, in the order of the stages.
KILLS = {
    PLANNING[0]: 3,
    "download": 6,
    "samples": 4,
    "backbone": 4,
    "rationales": 7,
    "targets": 4,
    "train": 11,
    "generate": 8,
    "predictions": 3,
    "scores": 3,
    "tables": 3,
    "report": 3,
}
FEW = {"download": 2, "samples": 1, "rationales": 2, "targets": 1}
TARGETS = ["all", "results/samples/twitter-gmner/samples.parquet"]
FEW_TARGETS = ["results/targets/twitter-gmner/full/seed42/targets.parquet"]


def survive(tmp_path: Path, repo: Path, servers: Servers, kills: dict[str, int], seed: int) -> tuple[Killer, list[str]]:
    """Run a project undisturbed, then its like with kills, check what must hold; return what came of it, in words."""
    small = "train" not in kills
    servers.pace(*((0.6, 0.1) if small else (1.5, 0.35)))
    config = configuration(servers.archive.url, servers.teacher.url, small)
    calm = Project(tmp_path / "calm", repo, config, FEW_TARGETS if small else TARGETS, TWEETS)
    seen = undisturbed(calm)
    killed = Project(tmp_path / "killed", calm.root, config, calm.targets, TWEETS)
    killer = Killer(killed, servers, seen, kills, seed)
    try:
        killer.run()
        killer.finish()
        left = orphans(killer.starts, 10.0)
        twice, bytes_twice = check_questions(killer), note_bytes(killer)
    finally:
        print(*(" | ".join(row.cells()) for row in killer.kills), sep="\n")  # a failed test shows it
    assert not left, f"processes that outlived their run: {left}"
    check_never_unlocked(killer.starts)
    check_resumed(killer.kills, killed.root)
    check_leftovers(calm, killed)
    compared = check_results(calm, killed)
    kept = Counter(row.stage for row in killer.kills if row.amount).most_common()
    return killer, [
        f"{len(killer.kills)} kills (seed {seed}), and {len(killer.starts)} times the same command.",
        f"{compared} results have the same bytes as an undisturbed run's: samples, rationales, targets, adapters, "
        "outputs, predictions, scores, tables, figure and report.",
        "Killed when something had been kept, and gone on from there: " + ", ".join(f"{s} {n}" for s, n in kept) + ".",
        f"The teacher's server counts {killer.questions} questions, {twice} of them asked twice: they were in flight "
        "when their job was killed. No answer that had been kept was asked for again.",
        f"The archive has {len(servers.archive.archive)} bytes; {bytes_twice} were sent twice.",
        "No process outlived its run by more than its last step; no lock, no temporary or half-written file was left.",
    ]


def test_a_run_that_is_killed_a_few_times_ends_as_if_nothing_had_been(
    tmp_path: Path, repo: Path, servers: Servers
) -> None:
    killer, _ = survive(tmp_path, repo, servers, FEW, seed=7)
    assert len(killer.kills) >= 5
    shutil.rmtree(tmp_path)  # where all went well: with all the checkpoints these are some hundred megabytes


@pytest.mark.skipif(not os.environ.get(_FULL), reason="takes some ten minutes: make survival")
def test_fifty_kills_in_every_stage(tmp_path: Path, repo: Path, servers: Servers) -> None:
    killer, facts = survive(tmp_path, repo, servers, KILLS, seed=2026)
    hit, kinds = Counter(row.stage for row in killer.kills), {row.kind for row in killer.kills}
    assert not (missed := [stage for stage in KILLS if not hit[stage]]), f"never killed in {missed}: {hit}"
    assert len(killer.kills) >= 50 and kinds == KINDS.keys()
    assert "Nothing to be done" in killer.finish().said
    shutil.rmtree(tmp_path)
    _PAGE.write_text(markdown(killer.kills, facts), encoding="utf-8")
