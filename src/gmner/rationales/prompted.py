"""Teachers that are asked in words: prompts that show or hide the annotation, and what follows a refusal."""

import json
import re
from collections.abc import Sequence

from gmner.config.teachers import PromptedTeacher
from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.llm_client.answer_key import key_of
from gmner.llm_client.chain import Judged, Refusal
from gmner.llm_client.sent_images import ImageToSend, image_of
from gmner.llm_client.types import Answer, Message, Request
from gmner.prompts.teacher import describe_annotation, fill, prompt_text, version_with_hash
from gmner.rationales.acceptance import CODES, judge

_BLIND = re.compile(
    r"^\W*Answer\W*?:\s*(?:```(?:json)?)?\s*(\[.*?\])\s*(?:```)?\s*\W*Reasoning\W*?:\s*(.*)$", re.S | re.I
)


class PromptedTeaching:
    """Asks for a rationale.

    `gold` and `knowledge-visual` show the annotation, `blind` hides it and checks the teacher's own answer.
    """

    def __init__(self, settings: PromptedTeacher, types: Sequence[str]) -> None:
        self._settings = settings
        self._types = tuple(types)
        self._version = f"{settings.prompt}-{settings.prompt_version}"
        prompt_text(f"{self._version}-user")
        if settings.prompt == "blind" and not types:
            raise ConfigError("a blind teacher needs the types it may answer with; set the teacher's 'types'")
        self.prompt_version = version_with_hash(self._version)
        self.max_tries = settings.max_tries
        # All that is the same for every sample stands first, where providers' prompt caches look for it.
        values = {"types": ", ".join(self._types), "words": str(self._words())}
        instruction = fill(prompt_text(f"{self._version}-system"), values)
        self._instruction = Message("system", instruction, cached=True)

    def first(self, sample: Sample) -> Request:
        """Return the first question about a sample: instruction, image, tweet."""
        name = "none" if self._settings.prompt != "blind" and not sample.entities else "user"
        annotation = describe_annotation(sample.entities, sample.size_wh)
        text = fill(prompt_text(f"{self._version}-{name}"), {"text": sample.text, "annotation": annotation})
        images: tuple[ImageToSend, ...] = ()
        if self._settings.image is not None:
            images = (image_of(sample.image_path, sample.size_wh, self._settings.image),)
        return self.request(sample, (self._instruction, Message("user", text, images)))

    def again(self, request: Request, answer: Answer, refusal: Refusal) -> Request:
        """Return the next question: the conversation so far, the refused answer, and why it was refused."""
        reason = f"{CODES[refusal.code]} ({refusal.detail})"
        if self._settings.prompt == "blind" and refusal.code == "disagrees":
            reason = CODES["disagrees"]  # its detail would give the annotation away
        text = fill(prompt_text(f"{self._version}-again"), {"reason": reason})
        said = Message("assistant", answer.text or "(no answer)")
        return self.request(request.sample, (*request.messages, said, Message("user", text)))

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Judge an answer; of a blind one the reasoning is kept only if its answer agrees with the gold."""
        if answer.finish_reason == "refused":
            return Judged(None, Refusal("refused", answer.text[:200]))
        if answer.finish_reason == "length":
            return Judged(None, Refusal("cut", f"at {self._settings.max_tokens} tokens"))
        text = answer.text.strip()
        if self._settings.prompt == "blind" and text:
            found = _BLIND.match(text)
            if found is None:
                return Judged(None, Refusal("unreadable", "expected 'Answer: [...]' and 'Reasoning: ...'"))
            if refusal := _compare(found.group(1), sample):
                return Judged(None, refusal)
            text = found.group(2).strip()
        if self._settings.prompt == "knowledge-visual":  # two parts, a line each
            text = "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
        elif self._settings.acceptance.check != "none":
            text = " ".join(text.split())
        refusal = judge(text, sample.entities, self._settings.acceptance, must_decide=True)
        return Judged(None if refusal else text, refusal)

    def request(self, sample: Sample, messages: tuple[Message, ...]) -> Request:
        """Return a question with its key."""
        key = key_of(self._settings, self.prompt_version, messages)
        return Request(key, sample, messages)

    def _words(self) -> int:
        limits = self._settings.acceptance
        return min(limits.max_words, limits.max_characters // 7) * 4 // 5


def _compare(text: str, sample: Sample) -> Refusal | None:
    """Compare a blind answer with the gold by mention, type and visibility."""
    try:
        answered = {
            (" ".join(str(entity["mention"]).split()), str(entity["type"]), bool(entity["visible"]))
            for entity in json.loads(text)
        }
    except (ValueError, KeyError, TypeError) as error:
        return Refusal("unreadable", f"the answer is not the JSON that was asked for ({error})"[:200])
    gold = {(entity.mention, entity.type, bool(entity.boxes)) for entity in sample.entities}
    if answered == gold:
        return None
    missed, added = sorted(gold - answered), sorted(answered - gold)
    return Refusal("disagrees", f"annotated but not answered: {missed}; answered but not annotated: {added}"[:500])
