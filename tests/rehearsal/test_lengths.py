"""How long rows are with the true tokenizer: all real tweets at the paper's pixel limits."""

from pathlib import Path

import numpy as np
import pytest

from gmner.config.data import TwitterDataset
from gmner.core.entity_types import COARSE_TYPES
from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.datasets.oddities import Problems
from gmner.datasets.twitter import read_twitter
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.models.row_lengths import RowLengths
from tests.helpers.standin_images import annotated_size

FRAME = Frame("absolute", 256 * 28 * 28, 1024 * 28 * 28)


@pytest.fixture(scope="module")
def tweets(annotations: Path) -> list[Sample]:
    """All 10 000 tweets; sizes of those without a box file are drawn from the others, for their images are not here."""
    drafts = read_twitter(TwitterDataset(), annotations, None, Problems())
    known = [annotated_size(annotations / f"Twitter10000_v2.0/xml/{draft.image_id}.xml") for draft in drafts]
    sizes = [size for size in known if size is not None]
    draw = np.random.default_rng(0)
    return [
        Sample(f"{draft.split}/{draft.image_id}", "d", draft.split, draft.image_id, "x.jpg",
               size or sizes[int(draw.integers(len(sizes)))], draft.tokens, " ".join(draft.tokens), ())
        for draft, size in zip(drafts, known, strict=True)
    ]  # fmt: skip


def test_prompts_fit_and_are_as_long_as_the_docs_say(tweets: list[Sample], hub_folder: Path) -> None:
    measure = RowLengths(hub_folder, "standard", COARSE_TYPES, True, FRAME, 28)
    assert len(tweets) == 10_000
    visual = np.array([measure._visual_tokens(sample) for sample in tweets])
    assert 455 < visual.mean() < 475 and visual.max() <= 1024 and 320 < np.median(visual) < 350
    prompts = measure.prompts(tweets)
    assert 850 < prompts.mean() < 890 and prompts.max() < 1500
    reasoned = measure.completions([f"<think>{' '.join(['word'] * 200)}</think><answer>None</answer>"])
    assert (prompts + reasoned[0]).max() < 2048  # a rationale of 200 words fits beside every prompt


def test_the_tokenizer_alone_counts_what_the_encoder_makes(tweets: list[Sample], hub_folder: Path) -> None:
    encoder = seam_of_folder(hub_folder).encoder(hub_folder, PromptSettings("standard", COARSE_TYPES, True, FRAME))
    measure = RowLengths(hub_folder, "standard", COARSE_TYPES, True, FRAME, 28)
    some = [sample for sample in tweets if sample.split == "test"][::3]
    assert measure.prompts(some).tolist() == [len(ids) for ids in encoder.prompts(some)]
