from pathlib import Path

from gmner.core.records import Entity, Sample
from gmner.llm_client.answer_key import answer_key
from gmner.llm_client.chain import Judged
from gmner.llm_client.types import Message, Request
from gmner.storage.tables import SAMPLES, sample_to_row, write_table

VISIBLE = ((4.0, 5.0, 40.0, 50.0),)


def make_sample(
    number: int = 0,
    *,
    split: str = "train",
    caption: str | None = "red person, blue house",
    entities: tuple[Entity, ...] | None = None,
    image_path: str = "none.png",
) -> Sample:
    if entities is None:
        entities = (
            Entity(0, 2, "Mara Quist", "PER", boxes=VISIBLE, description="red person"),
            Entity(3, 5, "Port Zelka", "LOC", description="green house"),
            Entity(6, 7, "Tavin", "PER"),
        )
    tokens = tuple(f"Mara Quist in Port Zelka with Tavin {number}".split())
    return Sample(
        sample_id=f"{split}/{number}",
        dataset="toy",
        split=split,
        image_id=str(number),
        image_path=image_path,
        size_wh=(56, 56),
        tokens=tokens,
        text=" ".join(tokens),
        entities=entities,
        caption=caption,
    )


def write_samples(path: Path, samples: list[Sample]) -> Path:
    write_table(path, [sample_to_row(sample) for sample in samples], SAMPLES)
    return path


class OneQuestion:
    """A teaching with one question per sample and no judgement."""

    prompt_version, max_tries = "v", 1

    def first(self, sample):  # type: ignore[no-untyped-def]
        key = answer_key(provider="p", model="m", parameters={}, prompt_version="v", content={"text": sample.text})
        return Request(key, sample, (Message("user", sample.text),))

    def again(self, request, answer, refusal):  # type: ignore[no-untyped-def]
        raise AssertionError

    def judge(self, sample, answer):  # type: ignore[no-untyped-def]
        return Judged(answer.text, None)
