from pathlib import Path

import pytest

from gmner.errors import ConfigError
from gmner.prompts import model as prompts
from gmner.prompts.model import VERSIONS, build_messages, prompt_version


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cot", [True, False])
def test_a_prompt_has_one_image_and_the_tweet(version: str, cot: bool) -> None:
    messages = build_messages(version, ("PER", "LOC"), "hi {types} Anna", cot)
    user = messages[-1]["content"]
    assert [part["type"] for part in user] == ["image", "text"]
    assert user[1]["text"].endswith("hi {types} Anna")


def test_the_standard_prompt_names_types_with_definitions_grammar_and_frame() -> None:
    text = build_messages("standard", ("PER", "sports_team"), "x", True)[-1]["content"][1]["text"]
    assert "- PER: a person" in text
    assert "\n- sports_team\n" in text
    assert "pixels of the picture" in text
    assert "<think>" in text and "<answer>" in text
    assert "{" not in text
    scaled = build_messages("standard", ("PER",), "x", True, "norm1000")[-1]["content"][1]["text"]
    assert "0 to 1000" in scaled and "pixels" not in scaled


def test_without_reasoning_the_prompt_does_not_ask_for_it() -> None:
    for version in VERSIONS:
        with_cot, without = (str(build_messages(version, ("PER",), "x", cot)) for cot in (True, False))
        assert "hink" in with_cot
        assert "hink" not in without


def test_the_version_follows_the_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompt_version("short")
    assert before.startswith("short-") and prompt_version("standard").startswith("standard-")
    text = prompts._text
    monkeypatch.setattr(prompts, "_text", lambda name: text(name) + "!")
    assert prompt_version("short") != before


def test_an_unknown_version_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown version 'long'; expected one of release, short, standard"):
        build_messages("long", ("PER",), "x", True)


def test_every_text_file_belongs_to_a_version() -> None:
    files = {path.stem for path in (Path(prompts.__file__).parent / "texts/model").glob("*.txt")}
    assert files == {name for names in prompts._FILES.values() for name in names}


def test_the_release_lists_no_types_and_reasons_in_two_parts() -> None:
    system, user = build_messages("release", ("PER", "ORG"), "Ann in Rome", True)
    text = user["content"][1]["text"]
    assert system["role"] == "system" and text.endswith("Tweet: Ann in Rome")
    assert "PER" not in text and "ORG" not in text and "two parts" in text and "{" not in text
    assert "<think>" not in build_messages("release", ("PER",), "Ann", False)[1]["content"][1]["text"]
