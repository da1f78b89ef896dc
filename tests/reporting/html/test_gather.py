"""What the page is told, compared with the stages that said it first."""

import base64
import io
import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from gmner.cli import main
from gmner.config.stages import ReportStage
from gmner.config.tables import ReportSettings
from gmner.errors import MissingInputError
from gmner.reporting.html.read_tables import as_number, markdown_page, thinned
from gmner.reporting.html.thumbnails import data_uris, thumbnail
from gmner.reporting.tables.markdown_latex import Block, Heading, Page, to_markdown
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


def test_a_missing_file_is_named_with_what_makes_it(made: ReportStage, capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/table1.md").unlink()
    with pytest.raises(MissingInputError, match=r"results/table1\.md: missing; make it with: snakemake"):
        gathered(made)
    assert main(["stage", "report", "--settings", settings_text(made), "--out", "page.html"]) == 1
    assert "table1.md" in capsys.readouterr().err and not Path("page.html").exists()


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


def test_a_table_for_reading_comes_back_as_it_was() -> None:
    block = Block("A | caption", ["Name *x*", "F1"], [Heading("a <group>"), ["one_two | `x`", "1.0"]])
    title = "Two\u2028lines\x85of it"
    assert markdown_page(f"# {title}\n- note\n") == {"title": title, "blocks": [], "notes": ["note"]}
    found = markdown_page(to_markdown(Page("A [title]", [block], ["first\\", "second"])))
    assert found["title"] == "A [title]" and found["notes"] == ["first\\", "second"]
    assert found["blocks"] == [
        {
            "caption": "A | caption",
            "heads": ["Name *x*", "F1"],
            "numbers": [False, True],
            "rows": [["a <group>"], ["one_two | `x`", "1.0"]],
        }
    ]


def test_small_readers() -> None:
    assert [as_number(text) for text in ("1.5", "", "NA", "inf", "nan", None)] == [1.5, None, None, None, None, None]
    assert [row["n"] for row in thinned([{"n": n} for n in range(10)], 4)] == [0, 3, 6, 9]
    assert json.loads(json.dumps(thinned([], 4))) == []
