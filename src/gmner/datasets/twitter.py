"""Twitter-GMNER (Yu et al., ACL 2023), versions 1 and 2.0, and Twitter-FMNERG (Wang et al., MM 2023).

FMNERG labels the same tweets again and ships no boxes: they are GMNER's of version 2.0, found by mention.
"""

from pathlib import Path

from gmner.config.data import TwitterDataset
from gmner.config.sources import IMAGES_DRIVE_ID
from gmner.core.entity_types import FINE_TO_COARSE
from gmner.core.mentions import decode_tokens, has_escape
from gmner.datasets.annotated import SPLITS, Draft, attach_boxes, entity_of
from gmner.datasets.conll import TaggedTweet, check_type, read_conll, spans_of
from gmner.datasets.images import find_images
from gmner.datasets.malformed import Malformed
from gmner.datasets.oddities import Problems
from gmner.datasets.samples import Built, Folders, join
from gmner.datasets.voc import read_voc
from gmner.errors import MissingInputError

FOLDERS = {"v1": "Twitter10000", "v2.0": "Twitter10000_v2.0"}


def build_twitter(settings: TwitterDataset, dataset: str, folders: Folders) -> Built:
    """Make the samples of a Twitter dataset from its downloads."""
    problems = Problems()
    drafts = read_annotations(settings, folders, problems)
    images = folders.images or (Path(settings.images_dir) if settings.images_dir else None)
    paths = find_images(drafts, images, how_to_get_images(dataset, images))
    return Built(join(drafts, paths, dataset, problems), problems, drafts)


def read_annotations(settings: TwitterDataset, folders: Folders, problems: Problems) -> list[Draft]:
    """Read the annotations of a Twitter dataset without looking for its images."""
    if folders.annotations is None:
        raise MissingInputError("the annotations of Twitter-GMNER are needed: pass --annotations-dir")
    return read_twitter(settings, folders.annotations, folders.fine, problems)


def how_to_get_images(dataset: str, images_dir: Path | None) -> str:
    """Say where the images of Twitter-GMNER and -FMNERG are, and where they are looked for."""
    place = images_dir if images_dir is not None else "a folder"
    return (
        f"They come in one archive on Google Drive: https://drive.google.com/uc?id={IMAGES_DRIVE_ID} (folders "
        f"twitter2015_images and twitter2017_images). Let the download of twitter-images fetch it, or put the "
        f"images into {place}, or set datasets.{dataset}.images_dir to where you have them, or "
        "sources.twitter-images.mirror to a copy of the archive."
    )


def read_twitter(
    settings: TwitterDataset, annotations_dir: Path, fine_dir: Path | None, problems: Problems
) -> list[Draft]:
    """Read the tweets of all splits with their boxes.

    `annotations_dir` holds the folder of the version (`Twitter10000_v2.0/txt`, `…/xml`); `fine_dir` holds
    FMNERG's three files. Raises MissingInputError if a folder is missing and DataError for all that is malformed.
    """
    root = Path(annotations_dir) / FOLDERS[settings.version]
    for folder in (root / "txt", root / "xml"):
        if not folder.is_dir():
            raise MissingInputError(
                f"{folder}: the annotations of Twitter-GMNER {settings.version} are missing; expected "
                f"{root.name}/txt and {root.name}/xml in {annotations_dir}: run the download of twitter-gmner"
            )
    if settings.fine and fine_dir is None:
        raise MissingInputError("fine types need Twitter-FMNERG's label files: pass --fine-dir with its train.txt, "
                                "dev.txt and test.txt, from the download of twitter-fmnerg")  # fmt: skip
    text_dir = Path(fine_dir) if settings.fine and fine_dir is not None else root / "txt"
    with_boxes = {path.name: path for path in (root / "xml").iterdir()}
    drafts = []
    malformed = Malformed()
    for split in SPLITS:
        text_file = text_dir / f"{split}.txt"
        for tweet in read_conll(text_file, 2 if settings.fine else 1, malformed)[: settings.limit]:
            with malformed.collecting():
                draft = draft_of(tweet, split, settings.labels, settings.fine, text_file, problems)
                # A tweet with nothing to be seen has no file of boxes.
                if (path := with_boxes.get(f"{tweet.image_id}.xml")) is not None:
                    draft = attach_boxes(draft, read_voc(path), path, problems)
                drafts.append(draft)
    malformed.refuse()
    return drafts


def draft_of(
    tweet: TaggedTweet, split: str, types: tuple[str, ...], fine: bool, path: Path, problems: Problems
) -> Draft:
    """Return a tagged tweet with its escapes decoded and its entities, still without boxes.

    With `fine` the last tag column is the scored one; the first is compared with it where its type is known.
    """
    where = f"{path}:{tweet.line}"
    tokens, tags = decode_tokens(tweet.tokens, tweet.tags)
    entities = []
    for span in spans_of(tags[-1]):
        check_type(span.type, types, f"{where}: tweet {tweet.image_id}")
        if span.orphan:
            problems.add("orphan_tag", split, f"{where}: '{tokens[span.start]}' I-{span.type}")
        if fine and len(tags) > 1:
            coarse = tags[0][span.start].removeprefix("B-").removeprefix("I-")
            if FINE_TO_COARSE.get(span.type, coarse) != coarse:
                problems.add("coarse_differs", split, f"{where}: '{tokens[span.start]}' {coarse}, {span.type}")
        entities.append(entity_of(tokens, span.start, span.end, span.type, fine))
    escapes = 0 if tokens is tweet.tokens else sum(has_escape(token) for token in tweet.tokens)
    return Draft(split, tweet.image_id, tokens, tuple(entities), where, raw_escapes=escapes)
