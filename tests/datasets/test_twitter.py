"""Real annotations with stand-in images become samples."""

from gmner.config.data import TwitterDataset
from gmner.datasets.report import data_report
from gmner.datasets.samples import Folders, build_samples
from tests.helpers.standin_images import image_ids, write_standins


def test_real_tweets_with_stand_in_images(annotations, tmp_path):
    version = annotations / "Twitter10000_v2.0"
    ids = [name for split in ("train", "dev", "test") for name in image_ids(version / f"txt/{split}.txt", 12)]
    assert write_standins(tmp_path / "images", version / "xml", ids) == 36
    built = build_samples(TwitterDataset(limit=12), "tw", Folders(annotations, tmp_path / "images"))
    assert [sample.image_id for sample in built.samples] == ids
    assert {problem["kind"] for problem in built.problems.to_json()} <= {"file_name_differs"}
    for sample in built.samples:
        for box in (box for entity in sample.entities for box in entity.boxes):
            assert 0 <= box[0] < box[2] <= sample.size_wh[0] and 0 <= box[1] < box[3] <= sample.size_wh[1]
    report = data_report("tw", built.samples, built.problems, built.drafts, limit=12)
    assert [report["splits"][split]["tweets"] for split in ("train", "dev", "test")] == [12, 12, 12]
