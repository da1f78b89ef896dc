"""How much a system answers from one modality alone, or from neither (docs/metrics.md)."""

from gmner.core.mentions import normalise_mention
from gmner.core.records import Record, Sample
from gmner.evaluation.compared import SystemRecord, occurrences
from gmner.evaluation.matching import group_records, mention_key
from gmner.evaluation.metrics import Metric, ScoredTweet, share_percent


def _absent_boxed(tweet: ScoredTweet) -> tuple[float, float]:
    """Count gold entities that are not visible and were predicted (same mention), and those that were given a box."""
    boxed = named = 0
    for group in group_records(*tweet.compared.of("regions"), mention_key):
        absent = sum(not record.boxes for record in group.gold)
        if not absent:
            continue
        unboxed = sum(not record.boxes for record in group.predicted)
        with_box = len(group.predicted) - unboxed
        right = min(absent, unboxed)
        # Boxes left over when every visible entity of that mention has had one.
        wrong = min(absent - right, max(0, with_box - (len(group.gold) - absent)))
        named += right + wrong
        boxed += wrong
    return boxed, named


def _not_in_text(tweet: ScoredTweet) -> tuple[float, float]:
    """Count predictions, and those whose mention is not words of the tweet."""
    invented = sum(not is_in_text(record, tweet.sample) for record in tweet.predicted)
    return invented, len(tweet.predicted)


def is_in_text(record: Record, sample: Sample) -> bool:
    """Say whether a record's mention is whole tokens of the tweet, one after the other."""
    mention = normalise_mention(record.mention)
    if isinstance(record, SystemRecord) and record.span is not None:
        start, end = record.span
        return " ".join(normalise_mention(token) for token in sample.tokens[start:end]) == mention
    if mention and f" {mention} " in f" {sample.text} ":  # nearly always, and ten times as fast
        return True
    return bool(occurrences(mention, sample.tokens))


def _unknown_types(tweet: ScoredTweet) -> tuple[float, float]:
    """Count predictions, and those whose type is not one of the dataset's."""
    return sum(record.type not in tweet.known_types for record in tweet.predicted), len(tweet.predicted)


ABSENT_BOXED = Metric(
    "boxes on ungroundable entities", ("boxed", "predicted"), _absent_boxed, share_percent, better="less"
)
NOT_IN_TEXT = Metric("mentions not in the text", ("invented", "predicted"), _not_in_text, share_percent, better="less")
UNKNOWN_TYPES = Metric("types not in the list", ("unknown", "predicted"), _unknown_types, share_percent, better="less")
