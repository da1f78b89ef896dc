"""What the page is told, compared with the stages that said it first."""

import base64
import io
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from gmner.cli import main
from gmner.config.stages import ReportStage
from gmner.config.tables import ReportSettings
from gmner.reporting.html.runs import curves_json
from gmner.reporting.html.thumbnails import data_uris, thumbnail
from gmner.reporting.tables.pages import Block, Page, to_json, to_markdown
from gmner.storage.images import open_image
from tests.helpers.made_results import gathered, make_results, settings_text


def test_every_gold_entity_and_every_prediction_has_one_verdict(made: ReportStage) -> None:
    data = gathered(made)
    tweets = data["datasets"][0]["tweets"]
    for run in data["runs"]:
        counted: dict[str, int] = {}
        for tweet, answer in zip(tweets, run["answers"], strict=True):
            verdicts = answer["v"]
            assert sorted(v["g"] for v in verdicts if v["g"] is not None) == list(range(len(tweet["gold"])))
            assert sorted(v["p"] for v in verdicts if v["p"] is not None) == list(range(len(answer["e"])))
            for verdict in verdicts:
                counted[verdict["o"]] = counted.get(verdict["o"], 0) + 1
        assert counted == {name: n for name, n in run["analysis"]["outcomes"].items() if n}
        assert run["scores"]["gmner"]["correct"] == counted.get("correct", 0)


def test_predicted_mentions_know_their_tokens(made: ReportStage) -> None:
    data = gathered(made)
    for tweet, answer in zip(data["datasets"][0]["tweets"], data["runs"][1]["answers"], strict=True):
        for entity in answer["e"]:
            if "s" in entity:
                assert " ".join(tweet["tokens"][entity["s"] : entity["e"]]) == entity["m"]
            else:
                assert entity["m"] not in " ".join(tweet["tokens"])


def test_tables_curves_costs_and_teachers_are_there(made: ReportStage) -> None:
    data = gathered(made)
    assert data["tables"][0]["title"] == "Table 1: main results"
    assert data["tables"][0]["blocks"][0]["rows"][0] == ["External knowledge"]
    assert [point["strength"] for point in data["figure3"][0]["points"]] == [0, 0.1, 0.2]
    assert {cost["stage"] for cost in data["costs"]} == {"samples", "generate"}
    assert data["costs"][0] == {"stage": "samples", "what": "made", "seconds": 2.5, "cpu": 2.0, "memory": None}
    assert data["teachers"][0]["cost_usd"] == 0.0123
    untuned, full, _ = data["runs"]
    assert untuned["curves"] is None and full["curves"]["dev_gmner_f1"] == [[40, 50]] and full["made"]["steps"] == 40


def test_the_command_writes_the_same_bytes_twice_and_says_how_large_they_are(
    made: ReportStage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for name in ("one.html", "two.html"):
            assert main(["stage", "report", "--settings", settings_text(made), "--out", name]) == 0
    assert Path("one.html").read_bytes() == Path("two.html").read_bytes()
    assert "12 tweets, 3 runs" in caplog.text and " MB (" in caplog.text
    assert " MB images, " in Path("one.html").read_text()


def test_fewer_tweets_and_no_images_where_asked(made: ReportStage) -> None:
    few = made.model_copy(update={"report": ReportSettings(tweets=3, images=False)})
    assert main(["stage", "report", "--settings", settings_text(few), "--out", "few.html"]) == 0
    page = Path("few.html").read_text()
    assert "image/webp" not in page and len(gathered(few)["datasets"][0]["tweets"]) == 3
    assert gathered(few)["runs"][1]["scores"]["samples"] == 12  # the numbers are of all tweets


def test_what_is_not_finished_is_named_and_the_rest_is_shown(made: ReportStage) -> None:
    Path("results/table1.json").unlink()
    Path("results/scores/made/full/seed42/scores.json").unlink()
    Path("results/predictions/made/no-cot/seed42/predictions.parquet").unlink()
    Path("results/rationales/made/template/report.json").unlink()
    data = gathered(made)
    assert data["missing"] == [
        "E2E-GMNER on made, seed 42: its scores",
        "w/o CoT on made, seed 42: its predictions",
        "table table1",
        "rationales of template for made",
    ]
    assert [run["run"] for run in data["runs"]] == ["untuned"] and data["figure3"]
    assert main(["stage", "report", "--settings", settings_text(made), "--out", "page.html"]) == 0


def test_nothing_finished_is_a_page_that_says_so(made: ReportStage, tmp_path: Path) -> None:
    shutil.rmtree("results")
    data = gathered(made)
    assert data["runs"] == [] and data["datasets"] == [] and len(data["missing"]) >= 3
    assert main(["stage", "report", "--settings", settings_text(made), "--out", "page.html"]) == 0


def test_an_image_that_is_gone_is_left_out_with_a_warning(made: ReportStage, caplog: pytest.LogCaptureFixture) -> None:
    Path("images/3.jpg").unlink()
    assert main(["stage", "report", "--settings", settings_text(made), "--out", "page.html"]) == 0
    assert "3.jpg: the image is missing" in caplog.text


def test_collapsing_conventions_still_judge_every_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stage = make_results(tmp_path, tweets=4, hostile=True)
    tiger = [run.model_copy(update={"score": run.score.model_copy(update={"profile": "tiger"})}) for run in stage.runs]
    data = gathered(stage.model_copy(update={"runs": tuple(tiger)}))
    assert len(data["runs"][1]["answers"][0]["v"]) >= len(data["datasets"][0]["tweets"][0]["gold"])


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_small_images_stand_as_the_large_ones_do(tmp_path: Path, orientation: int, form: str) -> None:
    image = Image.new("RGB", (800, 600), "navy")
    image.paste("orange", (0, 0, 400, 300))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{form.lower()}"
    image.save(path, form, exif=exif)
    for size_wh in {(800, 600), open_image(path).size}:
        large = open_image(path, size_wh)
        small = Image.open(io.BytesIO(thumbnail(str(path), size_wh, 160, 80)))
        assert max(small.size) == 160 and (small.width > small.height) == (large.width > large.height)
        for x, y in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75)):
            a = large.getpixel((int(x * large.width), int(y * large.height)))
            b = small.convert("RGB").getpixel((int(x * small.width), int(y * small.height)))
            assert max(abs(p - q) for p, q in zip(a, b, strict=True)) < 30


def test_data_uris_keep_their_order(made: ReportStage) -> None:
    uris = list(data_uris([(f"images/{i}.jpg", (320, 240)) for i in range(6)], 64, 50))
    again = [thumbnail(f"images/{i}.jpg", (320, 240), 64, 50) for i in range(6)]
    assert [base64.b64decode(uri.split(",")[1]) for uri in uris] == again


def test_a_table_is_the_same_for_reading_and_for_the_report() -> None:
    frame = pd.DataFrame([["one_two | `x`", "1.0"]], columns=["Name *x*", "F1"])
    page = Page(
        "Two\u2028lines\x85of it", [Block("A | caption", frame, groups={0: "a <group>"})], ["first\\", "second"]
    )
    block = {
        "caption": "A | caption",
        "heads": ["Name *x*", "F1"],
        "numbers": [False, True],
        "rows": [["a <group>"], ["one_two | `x`", "1.0"]],
    }
    assert to_json(page) == {"title": page.title, "blocks": [block], "notes": page.notes}
    text = to_markdown(page)
    assert r"one\_two \| \`x\`" in text and r"**a \<group\>**" in text and text.endswith("- second\n")


def test_curves_are_thinned_from_the_end_and_keep_every_dev_score(tmp_path: Path) -> None:
    lines = [f"{step},{'nan' if step == 3 else step / 2},,{50 if step % 500 == 0 else ''}" for step in range(1, 1001)]
    (tmp_path / "curves.csv").write_text("step,loss,grad_norm,dev_gmner_f1\n" + "\n".join(lines) + "\n")
    found = curves_json(tmp_path / "curves.csv")
    assert found is not None and found["steps"] == 1000
    assert len(found["loss"]) <= 240 and found["loss"][-1] == [1000, 500]
    assert found["dev_gmner_f1"] == [[500, 50], [1000, 50]] and found["grad_norm"] == found["learning_rate"] == []
