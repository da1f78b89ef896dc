import io
from pathlib import Path

import pytest
from PIL import Image

from gmner.config.teachers import OpenAITeacher, Price, SentImage
from gmner.core.records import Entity
from gmner.errors import ConfigError, MissingInputError
from gmner.llm_client.pricing import cost_of, expected_of, most_of
from gmner.llm_client.sent_images import image_of
from gmner.llm_client.types import Answer, Message, Usage
from gmner.prompts.teacher import describe_annotation, fill, place_in_words, version_with_hash, versions
from gmner.rationales.prompted import PromptedTeaching
from tests.helpers.teacher_samples import make_sample


def teaching(**more: object) -> PromptedTeaching:
    settings = OpenAITeacher.model_validate({"model": "m", "image": None, **more})
    return PromptedTeaching(settings, ("PER", "LOC"))


def test_versions_and_their_hashes() -> None:
    assert versions() == ["blind-v1", "gold-v1", "knowledge-visual-v1"]
    assert version_with_hash("gold-v1") != version_with_hash("blind-v1")
    assert teaching().prompt_version == version_with_hash("gold-v1")
    with pytest.raises(ConfigError, match=r"no prompt 'gold-v7-user'; expected one of blind-v1, gold-v1"):
        teaching(prompt_version="v7")


def test_braces_in_a_tweet_stay() -> None:
    assert fill("a {text} b {annotation}", {"text": "{annotation} {x}", "annotation": "{text}"}) == (
        "a {annotation} {x} b {text}"
    )


def test_the_gold_prompt_shows_the_annotation_without_a_number() -> None:
    request = teaching().first(make_sample())
    system, user = request.messages
    assert system.cached and "{" not in system.text and "200 words" in system.text
    assert "Tweet: Mara Quist in Port Zelka with Tavin 0" in user.text
    assert "- mention: Mara Quist; type: PER; in the picture: visible, in the middle, filling much of it" in user.text
    assert "- mention: Port Zelka; type: LOC; in the picture: absent" in user.text
    none = teaching().first(make_sample(entities=()))
    assert "the tweet has no named entity" in none.messages[1].text


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0, 0, 10, 10), "at the top left, small"),
        ((45, 0, 55, 10), "at the top, small"),
        ((80, 40, 100, 60), "at the right, small"),
        ((0, 60, 50, 100), "at the bottom left, of middling size"),
        ((10, 10, 90, 90), "in the middle, filling much of it"),
    ],
)
def test_places_in_words(box: tuple[float, float, float, float], words: str) -> None:
    assert place_in_words(box, (100, 100)) == words


def test_equal_lines_of_an_annotation_are_said_once() -> None:
    twice = (Entity(0, 1, "A", "PER", fine_type="actor"), Entity(4, 5, "A", "PER", fine_type="actor"))
    assert describe_annotation(twice, (10, 10)) == "- mention: A; type: PER, actor; in the picture: absent"


def blind(answer: str) -> str | None:
    judged = teaching(prompt="blind").judge(make_sample(), Answer(answer))
    return judged.text if judged.refusal is None else judged.refusal.code


RIGHT = (
    '[{"mention": "Mara Quist", "type": "PER", "visible": true}, {"mention": "Port  Zelka", "type": "LOC", '
    '"visible": false}, {"mention": "Tavin", "type": "PER", "visible": false}]'
)
WHY = "She waves.\nMara Quist: visible. Port Zelka: absent. Tavin: absent."


def test_a_blind_answer_is_kept_where_it_agrees() -> None:
    assert blind(f"Answer: {RIGHT}\nReasoning: {WHY}") == WHY.replace("\n", " ")
    assert blind(f"**Answer**: ```json\n{RIGHT}\n```\n**Reasoning**: {WHY}") == WHY.replace("\n", " ")
    assert blind(f"Answer: {RIGHT.replace('true', 'false')}\nReasoning: {WHY}") == "disagrees"
    assert blind(f"Answer: {RIGHT.replace('LOC', 'ORG')}\nReasoning: {WHY}") == "disagrees"
    assert blind(f"Answer: [x]\nReasoning: {WHY}") == "unreadable"
    assert blind(WHY) == "unreadable"
    assert blind(f"Answer: {RIGHT}\nReasoning: Mara Quist.") == "mention_missing"
    assert blind("") == "empty"


def test_what_is_said_after_a_blind_disagreement_does_not_give_the_gold_away() -> None:
    asker = teaching(prompt="blind")
    request = asker.first(make_sample())
    answer = Answer(f"Answer: []\nReasoning: {WHY}")
    refusal = asker.judge(make_sample(), answer).refusal
    assert refusal is not None and "Mara Quist" in refusal.detail
    again = asker.again(request, answer, refusal)
    assert again.key != request.key and "Mara Quist" not in again.messages[-1].text


def test_images_are_sent_upright_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    Image.new("RGBA", (2000, 500), (10, 20, 30, 0)).save(path)
    image = image_of(str(path), (2000, 500), SentImage(max_side=1000))
    with Image.open(io.BytesIO(image.encode())) as sent:
        assert sent.size == (1000, 250) == image.sent_size_wh and sent.format == "JPEG"
        assert sent.getpixel((5, 5)) == (255, 255, 255)
    assert image.most_tokens() >= 85 + 170 * 2
    small = image_of(str(path), (2000, 500), SentImage(max_side=4000, format="png", tokens=7))
    assert small.sent_size_wh == (2000, 500) and small.most_tokens() == 7 and small.media_type == "image/png"
    with pytest.raises(MissingInputError, match="the image is missing"):
        image_of(str(tmp_path / "none.png"), (1, 1), SentImage())


def test_costs() -> None:
    price = Price(input=2.0, output=10.0, cached_input=0.5, cache_write=2.5)
    usage = Usage(1_000_000, 100_000, 400_000, 100_000)
    assert cost_of(usage, price, batch=False) == pytest.approx(0.5 * 2 + 0.4 * 0.5 + 0.1 * 2.5 + 0.1 * 10)
    assert cost_of(usage, price, batch=True) == pytest.approx(2.45 / 2)
    assert cost_of(usage, None, batch=False) is None
    messages = [Message("user", "é" * 100)]
    most, expected = most_of(messages, 50, price, batch=False), expected_of(messages, 50, price, batch=False)
    assert most.tokens == 200 + 16 + 50 and expected.tokens < most.tokens
    assert most.usd == pytest.approx((216 * 2.5 + 50 * 10) / 1e6) and (expected.usd or 0) < (most.usd or 0)


def test_a_type_that_is_its_own_fine_type_is_said_once() -> None:
    park = Entity(0, 1, "Zoo", "park", fine_type="park")
    assert describe_annotation([park], (10, 10)) == "- mention: Zoo; type: park; in the picture: absent"
