"""What the template teacher is asked: one question about each sample, answered from the sample alone."""

from gmner.config.teachers import TemplateTeacher
from gmner.core.records import Sample
from gmner.llm_client.answer_key import answer_key
from gmner.llm_client.chain import Judged, Refusal
from gmner.llm_client.types import Answer, Request
from gmner.rationales import template
from gmner.rationales.acceptance import judge


class TemplateTeaching:
    """The template teacher: asked once, from the sample alone."""

    max_tries = 1

    def __init__(self, settings: TemplateTeacher) -> None:
        self._settings = settings
        self.prompt_version = f"template-{settings.style}-{template.VERSION}"

    def first(self, sample: Sample) -> Request:
        """Return the only question about a sample."""
        content = {
            "text": sample.text,
            "caption": sample.caption,
            "entities": [
                [entity.mention, entity.type, entity.fine_type, entity.description, len(entity.boxes)]
                for entity in sample.entities
            ],
        }
        key = answer_key(
            provider="template",
            model=self._settings.style,
            parameters={},
            prompt_version=self.prompt_version,
            content=content,
        )
        return Request(key, sample)

    def again(self, request: Request, answer: Answer, refusal: Refusal) -> Request:
        """Refuse to ask again: the same sample gives the same answer."""
        raise AssertionError("a template is asked once")

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Judge by the common checks."""
        refusal = judge(answer.text, sample.entities, self._settings.acceptance)
        return Judged(None if refusal else answer.text, refusal)
