"""Gold annotations for the scorer: the data set's own files, or our table of samples."""

from collections.abc import Iterator
from pathlib import Path

from gmner.core.records import Sample
from gmner.datasets.annotated import attach_boxes, sample_ids
from gmner.datasets.conll import TaggedTweet, read_conll
from gmner.datasets.oddities import Problems
from gmner.datasets.twitter import draft_of
from gmner.datasets.voc import read_voc
from gmner.errors import DataError, MissingInputError
from gmner.storage.files import refuse_special
from gmner.storage.tables import iterate_samples

NO_SIZE = (0, 0)
"""The size of an image about which nothing is known."""


def read_gold(path: Path, xml_dir: Path | None = None, split: str = "test") -> list[Sample]:
    """Read gold tweets from a table of samples (`.parquet`, one split of it) or from a file of tagged tweets.

    A file of tagged tweets, one tag column or two of which the last is scored, has its boxes in `xml_dir`, by default
    the folder `xml` beside the file's own. Sizes of images come from there, NO_SIZE where a tweet has no boxes.
    """
    refuse_special(path)
    if path.suffix == ".parquet":
        samples = list(iterate_samples(path, split))
        if not samples:
            raise DataError(f"{path}: no sample of split '{split}'; name another with --split")
        return samples
    boxes = xml_dir or path.resolve().parent.parent / "xml"
    if not path.exists():
        raise MissingInputError(f"{path}: no such file; expected gold tweets (…/txt/test.txt, or samples.parquet)")
    if not boxes.is_dir():
        raise MissingInputError(
            f"{boxes}: no folder of boxes; gold in {path} needs its xml files there, or name their folder with --xml"
        )
    return list(_read_tagged(path, boxes))


def _read_tagged(path: Path, boxes: Path) -> Iterator[Sample]:
    tweets = read_conll(path, _tag_columns(path))
    types = tuple(sorted({tag[2:] for tweet in tweets for tag in tweet.tags[-1] if tag != "O"}))
    problems = Problems()
    with_boxes = {file.name for file in boxes.iterdir()}
    names: list[str] = []
    drafts = []
    for tweet in tweets:
        draft = draft_of(tweet, path.stem, types, False, path, problems)
        name = f"{tweet.image_id}.xml"
        if name in with_boxes:
            draft = attach_boxes(draft, read_voc(boxes / name), boxes / name, problems)
        drafts.append(draft)
    names = sample_ids(drafts)
    for name, draft in zip(names, drafts, strict=True):
        yield Sample(
            sample_id=name,
            dataset="",
            split=path.stem,
            image_id=draft.image_id,
            image_path="",
            size_wh=draft.annotated_wh or NO_SIZE,
            tokens=draft.tokens,
            text=" ".join(draft.tokens),
            entities=draft.entities,
        )


def _tag_columns(path: Path) -> int:
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        for line in stream:
            if "\t" in line:
                return max(1, line.rstrip("\r\n").count("\t"))
    return 1


def has_train(gold: Path) -> bool:
    """Say whether a gold file has training tweets in it (a table) or beside it (`train.txt`)."""
    if gold.suffix == ".parquet":
        return next(iter(iterate_samples(gold, "train")), None) is not None
    return gold.with_name("train.txt").exists()


def read_train(gold: Path, train: Path | None = None) -> list[Sample]:
    """Read the training tweets that belong to a gold file: `train`, or `train.txt` beside it, or the table's split.

    Their boxes are not read. Raises MissingInputError if there are none.
    """
    if train is None and gold.suffix == ".parquet":
        samples = list(iterate_samples(gold, "train"))
        if not samples:
            raise MissingInputError(f"{gold}: no sample of split 'train'; name the training tweets with --train")
        return samples
    place = train or gold.with_name("train.txt")
    if place.suffix == ".parquet":
        return list(iterate_samples(place, "train"))
    if not place.exists():
        raise MissingInputError(f"{place}: the training tweets are missing; name their file with --train")
    return [_without_boxes(place, tweet) for tweet in read_conll(place, _tag_columns(place))]


def read_other_split(gold: Path, split: str) -> list[Sample]:
    """Return the tweets of another split: of the table, or of `<split>.txt` beside gold; none if it is not there."""
    if gold.suffix == ".parquet":
        return list(iterate_samples(gold, split))
    place = gold.with_name(f"{split}.txt")
    if place == gold or not place.exists():
        return []
    return [_without_boxes(place, tweet) for tweet in read_conll(place, _tag_columns(place))]


def _without_boxes(path: Path, tweet: TaggedTweet) -> Sample:
    types = tuple({tag[2:] for tag in tweet.tags[-1] if tag != "O"})
    draft = draft_of(tweet, "train", types, False, path, Problems())
    text = " ".join(draft.tokens)
    return Sample("", "", "train", tweet.image_id, "", NO_SIZE, draft.tokens, text, draft.entities)


def stands_in_train(samples: list[Sample], train: list[Sample]) -> list[bool]:
    """Say of each sample whether its text occurs word for word among the training tweets."""
    texts = {sample.text for sample in train}
    return [sample.text in texts for sample in samples]
