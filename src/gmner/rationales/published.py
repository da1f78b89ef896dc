"""A teacher whose reasoning others have published: fetched once into the store, judged like any, asked never."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from gmner.config.teachers import PublishedTeacher
from gmner.core.records import Sample
from gmner.errors import DataError, MissingInputError
from gmner.llm_client.answer_key import answer_key
from gmner.llm_client.answer_store import AnswerStore, read_store
from gmner.llm_client.chain import Judged, Refusal
from gmner.llm_client.folders import store_folder
from gmner.llm_client.types import Answer, Request
from gmner.rationales.acceptance import judge
from gmner.rationales.exchange import import_rationales
from gmner.storage.files import sha256_of_file
from gmner.storage.tables import iterate_samples

LOGGER = logging.getLogger(__name__)
_RETRIES, _TIMEOUT_S = 5, 60.0


class PublishedTeaching:
    """One text per sample, known by its tweet and its image's name."""

    max_tries = 1

    def __init__(self, settings: PublishedTeacher) -> None:
        self._settings = settings
        self.prompt_version = f"published-{settings.name}"

    def first(self, sample: Sample) -> Request:
        """Return what stands for the question about a sample."""
        key = answer_key(
            provider="published",
            model=self._settings.name,
            parameters={"url": self._settings.url, "sha256": self._settings.sha256},
            prompt_version=self.prompt_version,
            content={"text": sample.text, "image": Path(sample.image_path).name},
        )
        return Request(key, sample)

    def again(self, request: Request, answer: Answer, refusal: Refusal) -> Request:
        """Refuse to ask again: nobody can be asked."""
        raise AssertionError("a published text is as it is")

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Judge by the teacher's checks; by default every text that is there is accepted as it is."""
        refusal = judge(answer.text, sample.entities, self._settings.acceptance)
        return Judged(None if refusal else answer.text, refusal)


@contextlib.contextmanager
def filled_store(settings: PublishedTeacher, samples: Path, root: Path) -> Iterator[AnswerStore]:
    """Yield the store with a text for every training sample, empty if none was published; fetch what is not there."""
    teaching = PublishedTeaching(settings)
    folder = store_folder(root, "published", settings.name)
    with contextlib.closing(read_store(folder)) as store:
        there = all(teaching.first(sample).key in store for sample in iterate_samples(samples, "train"))
    if not there:
        take_in(settings, fetch(settings, folder), samples, root)
    with contextlib.closing(read_store(folder)) as store:
        for damage in store.damage:
            LOGGER.warning("%s: %s", store.path, damage)
        yield store


def take_in(settings: PublishedTeacher, path: Path, samples: Path, root: Path) -> tuple[int, int]:
    """Put a file of reasoning into the store; return how many training samples have a text, and how many none."""
    used, missing = import_rationales(
        path,
        samples,
        store_folder(root, "published", settings.name),
        PublishedTeaching(settings).first,
        image_key=settings.image_key,
        text_key=settings.text_key,
        complete=True,
    )
    LOGGER.info("%s: reasoning for %d training samples, none for %d", path, used, missing)
    return used, missing


def fetch(settings: PublishedTeacher, folder: Path) -> Path:
    """Return the published file: the mirror's if it is a local one, else fetched into `folder`.

    Raises MissingInputError if it cannot be had, and DataError if it has another checksum.
    """
    remedy = "fetch it by hand and set the teacher's 'mirror' to it, or pass it to `gmner teacher import`"
    source = settings.mirror or settings.url
    if "://" not in source:
        path = Path(source)
        if not path.is_file():
            raise MissingInputError(f"{path}: the teacher's mirror is not there; {remedy}")
    else:
        from gmner.download.http import fetch_file

        path = folder / "published.jsonl"
        if not path.exists():
            fetch_file(source, path, _RETRIES, _TIMEOUT_S, remedy)
    if settings.sha256 is not None and (found := sha256_of_file(path)) != settings.sha256:
        raise DataError(f"{path}: expected sha256 {settings.sha256}, found {found}; {remedy}")
    return path
