"""Equality with what the authors' scorer counts on outputs over the real tweets; each deliberate difference by name."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gmner.config.data import TwitterDataset
from gmner.core.answer import parse_output
from gmner.core.records import Entity, Record, Sample
from gmner.datasets.oddities import Problems
from gmner.datasets.twitter import read_twitter
from gmner.evaluation.conventions import CONVENTIONS, convention_of
from gmner.evaluation.counts import TASKS, task_scores, total
from gmner.evaluation.f1 import count_tweets

ARCHIVE = "GMNER-c5679560682d038e9d7b91f2de145350d21e4cc1"
A = (0.0, 0.0, 10.0, 10.0)
B = (50.0, 50.0, 60.0, 60.0)


@pytest.fixture(scope="module")
def tweets(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Sample]]:
    folder = tmp_path_factory.mktemp("annotations")
    with zipfile.ZipFile(shared_dir / "data" / f"{ARCHIVE}.zip") as archive:
        names = [name for name in archive.namelist() if "Twitter10000_v2.0" in name]
        archive.extractall(folder, names)
    drafts = read_twitter(TwitterDataset(), folder / ARCHIVE, None, Problems())
    found: dict[str, list[Sample]] = {}
    for d in drafts:
        sample = Sample("", "", d.split, d.image_id, "", d.annotated_wh or (0, 0), d.tokens, "", d.entities)
        found.setdefault(d.split, []).append(sample)
    return found


def golden(shared_dir: Path, split: str, samples: list[Sample]) -> tuple[list[tuple[Record, ...]], dict[str, Any]]:
    lines = (shared_dir / "golden" / f"{split}_a.jsonl").read_text(encoding="utf-8").splitlines()
    outputs = {row["image_id"]: row["output"] for row in map(json.loads, lines)}
    counts = json.loads((shared_dir / "golden" / f"{split}_a.counts.json").read_text(encoding="utf-8"))
    return [parse_output(outputs[sample.image_id]).records for sample in samples], counts


@pytest.mark.parametrize("iou", [0.5, 0.75])
@pytest.mark.parametrize("split", ["test", "dev"])
def test_counts_equal_the_authors_scorers(shared_dir: Path, tweets, split: str, iou: float) -> None:  # type: ignore[no-untyped-def]
    predictions, expected = golden(shared_dir, split, tweets[split])
    counts = total(count_tweets(tweets[split], predictions, convention_of("paper"), iou))
    wanted = expected[f"iou_{iou}"]
    assert (counts.predicted, counts.gold) == (wanted["pred"], wanted["gold"])
    for task in TASKS:
        found = task_scores(counts, task)
        assert {name: found[name] for name in wanted[task]} == wanted[task]


def test_tiger_collapses_the_gold_of_test_to_2529(shared_dir: Path, tweets) -> None:  # type: ignore[no-untyped-def]
    predictions, _ = golden(shared_dir, "test", tweets["test"])
    assert total(count_tweets(tweets["test"], predictions, convention_of("tiger"), 0.5)).gold == 2529


def test_profiles_differ_as_much_as_is_documented(shared_dir: Path, tweets, repo: Path) -> None:  # type: ignore[no-untyped-def]
    predictions, _ = golden(shared_dir, "test", tweets["test"])
    lines = []
    for name in CONVENTIONS:
        profile = convention_of(name)
        counts = total(count_tweets(tweets["test"], predictions, profile, 0.5))
        f1 = " | ".join(f"{100 * task_scores(counts, task)['f1']:.2f}" for task in TASKS)
        lines.append(f"| `{name}` | {f1} | {counts.gmner} | {counts.predicted} | {counts.gold} |")
    assert "\n".join(lines) in (repo / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_a_region_that_cannot_be_read_is_never_right() -> None:
    # As in the authors' scorer: it is a prediction with its mention and type, but no absent region.
    sample = _tweet("Jo", Entity(0, 1, "Jo", "PER"))
    (counts,) = count_tweets(
        [sample], [parse_output("<answer>Jo|PER|on the left</answer>").records], convention_of("paper"), 0.5
    )
    assert (counts.gmner, counts.mner, counts.predicted) == (0, 1, 1)


# Deliberate differences from the authors' scorer -----------------------------------------------------------------


def _tweet(tokens: str, *entities: Entity, size_wh: tuple[int, int] = (100, 100)) -> Sample:
    return Sample("s", "d", "test", "1", "", size_wh, tuple(tokens.split()), tokens, entities)


def _gmner(sample: Sample, *records: Record, profile: str = "paper") -> int:
    return count_tweets([sample], [records], convention_of(profile), 0.5)[0].gmner


def test_difference_html_escapes_are_the_characters_they_stand_for() -> None:
    sample = _tweet("AT & T wins", Entity(0, 3, "AT & T", "ORG"))
    assert _gmner(sample, Record("AT &amp ; T", "ORG")) == 1


def test_difference_blanks_inside_mentions_do_not_count() -> None:
    assert _gmner(_tweet("New York", Entity(0, 2, "New York", "LOC")), Record(" New  York ", "LOC")) == 1


def test_difference_letter_case_does_count() -> None:
    assert _gmner(_tweet("New York", Entity(0, 2, "New York", "LOC")), Record("new york", "LOC")) == 0


def test_difference_boxes_are_compared_in_original_pixels() -> None:
    # In whole pixels of the resized image the sides of this box are rounded so that the IoU falls below one half.
    sample = _tweet("Jo", Entity(0, 1, "Jo", "PER", None, ((0.0, 0.0, 100.0, 13.0),)), size_wh=(4000, 4000))
    half = Record("Jo", "PER", ((0.0, 0.0, 100.0, 6.5),))
    assert _gmner(sample, half) == 1
    assert _gmner(sample, half, profile="paper-resized") == 0


def test_difference_a_tweet_without_a_prediction_stays_in_the_denominator() -> None:
    samples = [_tweet("Jo", Entity(0, 1, "Jo", "PER"))] * 2
    counts = total(count_tweets(samples, [[Record("Jo", "PER")], []], convention_of("paper"), 0.5))
    assert (counts.gmner, counts.gold) == (1, 2)


# What sets the other profiles apart ------------------------------------------------------------------------------


def test_strict_wants_the_right_place_in_the_text() -> None:
    sample = _tweet("Paris met Paris", Entity(2, 3, "Paris", "PER"))
    assert _gmner(sample, Record("Paris", "PER")) == 1
    assert _gmner(sample, Record("Paris", "PER"), profile="strict") == 0


def test_strict_believes_a_prediction_that_names_its_tokens() -> None:
    from gmner.evaluation.compared import SystemRecord

    sample = _tweet("Paris met Paris", Entity(2, 3, "Paris", "PER"))
    assert _gmner(sample, SystemRecord("Paris", "PER", (), (2, 3)), profile="strict") == 1


def test_strict_wants_one_box() -> None:
    sample = _tweet("Jo", Entity(0, 1, "Jo", "PER", None, (A,)))
    assert _gmner(sample, Record("Jo", "PER", (A, B))) == 1
    assert _gmner(sample, Record("Jo", "PER", (A, B)), profile="strict") == 0
    assert _gmner(sample, Record("Jo", "PER", (A,)), profile="strict") == 1


@pytest.mark.parametrize(("profile", "predicted"), [("paper", 2), ("strict", 2), ("h-index", 1), ("tiger", 1)])
def test_duplicates_collapse_or_are_errors(profile: str, predicted: int) -> None:
    sample = _tweet("Jo", Entity(0, 1, "Jo", "PER"))
    (counts,) = count_tweets([sample], [[Record("Jo", "PER")] * 2], convention_of(profile), 0.5)
    assert (counts.predicted, counts.gmner) == (predicted, 1)


# SAKE's released evaluator --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("profile", "boxes"), [("sake", "all_boxes"), ("sake-first", "first_box")])
def test_every_value_of_sakes_evaluator(shared_dir: Path, tweets, profile: str, boxes: str) -> None:  # type: ignore[no-untyped-def]
    predictions, _ = golden(shared_dir, "test", tweets["test"])
    expected = json.loads((shared_dir / "golden" / "test_a.sake.json").read_text(encoding="utf-8"))[boxes]
    counts = total(count_tweets(tweets["test"], predictions, convention_of(profile), 0.5))
    for task in TASKS:
        found = task_scores(counts, task)
        assert {name: round(100 * found[name], 4) for name in expected[task]} == expected[task]


def test_the_annotation_itself_has_sakes_2703_records(tweets) -> None:  # type: ignore[no-untyped-def]
    compared = [convention_of("sake").compare(sample, [], 0.5) for sample in tweets["test"]]
    assert sum(len(one.of("regions")[1]) for one in compared) == 2703


def test_sake_leaves_out_a_tweet_with_an_empty_side_but_not_for_mner() -> None:
    sample = _tweet("Jo", Entity(0, 1, "Jo", "PER"))
    (counts,) = count_tweets([sample], [[]], convention_of("sake"), 0.5)
    assert counts.of_task("gmner") == counts.of_task("eeg") == (0, 0, 0)
    assert counts.of_task("mner") == (0, 0, 1)


def test_sake_skips_unknown_types_and_calls_other_misc() -> None:
    sample = _tweet("Jo", Entity(0, 1, "Jo", "OTHER"))
    said = [Record("Jo", "MISC"), Record("Jo", "PERSON"), Record("Jo", "OTHER")]
    (counts,) = count_tweets([sample], [said], convention_of("sake"), 0.5)
    assert counts.of_task("gmner") == counts.of_task("mner") == (1, 1, 1)


def test_sake_doubles_a_wrong_box_and_counts_it_for_an_absent_entity() -> None:
    (absent,) = count_tweets(
        [_tweet("Jo", Entity(0, 1, "Jo", "PER"))], [[Record("Jo", "PER", (A,))]], convention_of("sake"), 0.5
    )
    assert absent.of_task("gmner") == (1, 2, 1)
    (seen,) = count_tweets(
        [_tweet("Jo", Entity(0, 1, "Jo", "PER", None, (B,)))], [[Record("Jo", "PER", (A,))]], convention_of("sake"), 0.5
    )
    assert seen.of_task("gmner") == (0, 2, 1)


def test_sakes_gold_lacks_an_entity_that_begins_where_another_ends() -> None:
    sample = _tweet("A B C", *(Entity(i, i + 1, name, "PER") for i, name in enumerate("ABC")))
    (counts,) = count_tweets([sample], [[Record(name, "PER") for name in "ABC"]], convention_of("sake"), 0.5)
    assert counts.of_task("gmner") == (2, 3, 2)
    (all_three,) = count_tweets([sample], [[Record(name, "PER") for name in "ABC"]], convention_of("unco"), 0.5)
    assert all_three.of_task("gmner") == (3, 3, 3)


def test_sake_gives_a_predicted_box_to_the_first_gold_box_of_its_mention() -> None:
    # Two gold boxes that overlap: both predictions are the first, a set of one.
    sample = _tweet("Jo", Entity(0, 1, "Jo", "PER", None, (A, (0.0, 0.0, 10.0, 9.0))))
    said = [Record("Jo", "PER", (A, (0.0, 0.0, 10.0, 9.0)))]
    assert count_tweets([sample], [said], convention_of("sake"), 0.5)[0].of_task("gmner") == (1, 1, 2)
