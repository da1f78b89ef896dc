import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmner.config.run import ScoreSettings
from gmner.config.stages import ScoresStage
from gmner.core.records import Entity, Record, Sample
from gmner.errors import ConfigError, DataError
from gmner.evaluation.bootstrap import compare, interval, mean_and_deviation
from gmner.evaluation.conventions import CONVENTIONS, convention_of
from gmner.evaluation.f1 import f1_scores, gmner_f1
from gmner.evaluation.metrics import METRICS, f1_percent
from gmner.evaluation.scores import make_scores
from gmner.storage.tables import PREDICTIONS, SAMPLES, sample_to_row, write_table

BOX = (0.0, 0.0, 10.0, 10.0)


def _sample(number: int, split: str = "test") -> Sample:
    entity = Entity(0, 1, "Jo", "PER", "athlete", (BOX,))
    return Sample(f"{split}/{number}", "d", split, str(number), "", (50, 50), ("Jo",), "Jo", (entity,))


def _prediction(number: int, kind: str = "PER", problems: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "sample_id": f"test/{number}",
        "reasoning": None,
        "entities": [{"mention": "Jo", "type": kind, "boxes": [list(BOX)]}],
        "problems": [{"code": code, "detail": "x"} for code in problems],
    }


def _stage(fine: bool = False, **score: Any) -> ScoresStage:
    return ScoresStage(score=ScoreSettings(**score), fine=fine)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    samples, predictions = tmp_path / "samples.parquet", tmp_path / "predictions.parquet"
    tweets = [_sample(0, "train"), *(_sample(n) for n in range(3))]
    write_table(samples, map(sample_to_row, tweets), SAMPLES)
    rows = [_prediction(2), _prediction(0, problems=("bad_box", "bad_box")), _prediction(1, "ORG")]
    write_table(predictions, rows, PREDICTIONS)
    return samples, predictions


def test_scores_of_a_run(tables: tuple[Path, Path], tmp_path: Path) -> None:
    make_scores(_stage(), *tables, "test", tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert found["signature"] == "gmner|profile:paper|iou:0.5|frame:original|match:text|boxes:any|v:1"
    assert found["samples"] == 3
    assert {name: found["gmner"][name] for name in ("correct", "predicted", "gold")} == {
        "correct": 2,
        "predicted": 3,
        "gold": 3,
    }
    assert found["percent"]["gmner_f1"] == pytest.approx(200 / 3)
    assert found["percent"]["eeg_f1"] == found["percent"]["mean_iou"] == 100
    assert found["by_type"]["PER"]["gmner"]["recall"] == pytest.approx(2 / 3)
    assert found["by_type"]["ORG"]["gmner"] == {
        "correct": 0, "predicted": 1, "gold": 0, "precision": 0, "recall": 0, "f1": 0
    }  # fmt: skip
    assert found["parsing"] == {"answers": 3, "with_problems": 1, "problems": {"bad_box": 2}}
    assert found["boxes"]["mean_of_grounded"] == 1
    assert found["tweets"]["sample_id"] == ["test/0", "test/1", "test/2"]
    assert found["tweets"]["gmner_f1"] == [[1, 1, 1], [0, 1, 1], [1, 1, 1]]
    assert set(found["tweets"]) == {"sample_id", *METRICS}
    interval = found["intervals"]["gmner_f1"]
    assert interval["low"] <= interval["value"] <= interval["high"]


def test_the_same_tables_give_the_same_bytes(tables: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        make_scores(_stage(), *tables, "test", tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_fine_types_are_scored_where_asked() -> None:
    sample, found = _sample(0), [Record("Jo", "athlete", (BOX,))]
    assert gmner_f1([sample], [found]) == 0
    assert gmner_f1([sample], [found], fine=True) == 100
    assert f1_scores([sample], [found], ScoreSettings(iou=0.9)) == {"gmner_f1": 0, "mner_f1": 0, "eeg_f1": 100}


def test_fine_types_stand_in_the_signature(tables: tuple[Path, Path], tmp_path: Path) -> None:
    make_scores(_stage(fine=True), *tables, "test", tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert found["signature"].endswith("|boxes:any|types:fine|v:1")


@given(st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_samples_changes_nothing(order: list[int]) -> None:
    samples = [_sample(n) for n in range(6)]
    found = [[Record("Jo", kind, (BOX,))] * n for n, kind in enumerate(["PER", "ORG", "PER", "PER", "LOC", "PER"])]
    mixed = f1_scores([samples[n] for n in order], [found[n] for n in order])
    assert mixed == f1_scores(samples, found)


def test_samples_without_a_prediction_are_an_error(tables: tuple[Path, Path], tmp_path: Path) -> None:
    samples, predictions = tables
    write_table(predictions, [_prediction(0), _prediction(7)], PREDICTIONS)
    with pytest.raises(DataError, match=r"found 2 rows, 2 samples without one \(first: \['test/1', 'test/2'\]\), 1 of"):
        make_scores(_stage(), samples, predictions, "test", tmp_path / "scores.json")
    assert not (tmp_path / "scores.json").exists()


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'papr' is no convention of scoring; did you mean 'paper'\?"):
        convention_of("papr")


def test_every_profile_has_its_own_signature() -> None:
    assert len({profile.signature(0.5) for profile in map(convention_of, CONVENTIONS)}) == len(CONVENTIONS)
    assert (
        convention_of("strict").signature(0.75)
        == "gmner|profile:strict|iou:0.75|frame:original|match:span|boxes:one|v:1"
    )


# Uncertainty -----------------------------------------------------------------------------------------------------


def _tweets(seed: int, share: float, size: int = 1500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 5, size)
    correct = rng.binomial(gold, share)
    return np.column_stack([correct, gold, gold])


def test_ten_thousand_resamples_of_1500_tweets_take_less_than_a_second() -> None:
    import time

    rows = _tweets(0, 0.6)
    begin = time.process_time()
    found = interval(rows)
    assert time.process_time() - begin < 1
    assert found.low < found.value < found.high


def test_the_interval_is_that_of_resampling_tweet_by_tweet() -> None:
    rows = _tweets(0, 0.6, 300)
    drawn = np.random.default_rng(5).integers(0, len(rows), (4000, len(rows)))
    low, high = np.percentile(f1_percent(rows[drawn].sum(axis=1)), [2.5, 97.5])
    found = interval(rows)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.3), pytest.approx(high, abs=0.3))


def test_paired_tests_tell_a_difference_from_chance() -> None:
    rows = _tweets(0, 0.6)
    worse = rows.copy()
    worse[:200, 0] = worse[:200, 0] // 2
    found = compare(rows, worse)
    assert found.low > 0
    assert found.difference > 0
    assert max(found.p_bootstrap, found.p_randomisation) < 0.01
    other = compare(worse, rows)
    assert other.difference == -found.difference
    same = compare(rows, rows)
    assert (same.difference, same.p_randomisation, same.p_bootstrap) == (0, 1, 1)


def test_paired_tests_find_little_in_two_equally_good_runs() -> None:
    gold = _tweets(0, 0.6)
    other = np.column_stack([np.random.default_rng(9).binomial(gold[:, 1], 0.6), gold[:, 1], gold[:, 2]])
    found = compare(gold, other)
    assert found.low < 0 < found.high
    assert min(found.p_bootstrap, found.p_randomisation) > 0.05


def test_paired_tests_need_the_same_tweets() -> None:
    with pytest.raises(ValueError, match="1500 and 10 tweets"):
        compare(_tweets(0, 0.5), _tweets(0, 0.5, 10))


def test_deviation_needs_two_seeds() -> None:
    assert mean_and_deviation([3.0]) == (3.0, None)
    assert mean_and_deviation([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
