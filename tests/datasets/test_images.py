"""Images: found by id, measured without decoding, and never missing silently."""

import pytest
from PIL import Image

from gmner.datasets.annotated import Draft
from gmner.datasets.images import find_images, index_images, read_image, read_images
from gmner.datasets.oddities import Problems
from gmner.errors import DataError, MissingInputError


def draft(image_id, size=None, split="train"):
    return Draft(split, image_id, ("x",), (), "train.txt:1", annotated_wh=size)


def image(path, size=(40, 30), colour=(1, 2, 3), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def test_images_are_found_in_sub_folders_flat_and_by_any_known_ending(tmp_path):
    image(tmp_path / "twitter2015_images/1.jpg")
    image(tmp_path / "twitter2017_images/O_2.JPG", format="JPEG")
    image(tmp_path / "a.b.png")
    (tmp_path / "notes.txt").write_text("x")
    assert sorted(index_images(tmp_path)) == ["1", "O_2", "a.b"]


def test_of_two_files_with_one_name_the_jpeg_counts(tmp_path):
    image(tmp_path / "a/1.png")
    expected = image(tmp_path / "b/1.jpg")
    assert index_images(tmp_path) == {"1": expected}


def test_missing_images_are_counted_named_and_explained(tmp_path):
    image(tmp_path / "0.jpg")
    with pytest.raises(MissingInputError) as error:
        find_images([draft(str(number)) for number in range(8)], tmp_path, "Get them there.")
    assert str(error.value) == (
        f"7 of 8 images are missing: 1.jpg, 2.jpg, 3.jpg, 4.jpg, 5.jpg, … (looked in {tmp_path} and below it). "
        "Get them there."
    )
    with pytest.raises(MissingInputError, match=r"2 of 2 images are missing: a.jpg, b.jpg .no folder of images"):
        find_images([draft("a"), draft("b")], None, "")


def test_a_turned_image_counts_in_the_frame_of_its_boxes(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read_image(image(tmp_path / "1.jpg", exif=exif))
    assert (found.stored_wh, found.upright_wh) == ((40, 30), (30, 40))
    assert found.size_wh(None) == (30, 40)
    assert found.size_wh((30, 40)) == (30, 40)
    assert found.size_wh((40, 30)) == (40, 30)


def test_unreadable_images_are_all_named(tmp_path):
    good = image(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes(b"")
    (tmp_path / "3.jpg").write_bytes(b"<html>Image Not Found</html>")
    paths = [good, tmp_path / "2.jpg", tmp_path / "3.jpg"]
    with pytest.raises(DataError) as error:
        read_images([draft("1"), draft("2"), draft("3")], paths, Problems())
    assert "2 of 3 images cannot be used:" in str(error.value)
    assert "2.jpg: not a readable image" in str(error.value) and "3.jpg" in str(error.value)


def test_an_image_cut_off_is_refused_and_one_with_more_behind_it_is_noted(tmp_path):
    path = image(tmp_path / "1.jpg", size=(300, 200))
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100)
    problems = Problems()
    read_images([draft("1")], [path], problems)
    assert problems.count("maybe_truncated", "train") == 1
    path.write_bytes(whole[:-200])
    with pytest.raises(DataError, match=r"train\.txt:1: .*1\.jpg: not a readable image .*truncated.*save it again"):
        read_images([draft("1")], [path], Problems())


def test_identical_files_are_noted_as_possible_placeholders(tmp_path):
    names = ["1", "2", "3", "4"]
    paths = [image(tmp_path / f"{name}.jpg", colour=(9, 9, 9) if name != "4" else (200, 0, 0)) for name in names]
    problems = Problems()
    read_images([draft(name) for name in names], paths, problems)
    assert problems.examples["identical_images"] == ["train: 3 files: 1.jpg, 2.jpg, 3.jpg"]


def test_one_file_for_two_tweets_is_not_a_placeholder(tmp_path):
    path = image(tmp_path / "1.jpg")
    problems = Problems()
    read_images([draft("1"), draft("1", split="dev")], [path, path], problems)
    assert problems.to_json() == []


def test_few_wrong_sizes_are_noted_and_many_are_refused(tmp_path):
    path = image(tmp_path / "1.jpg")
    problems = Problems()
    read_images([draft("1", (40, 31))], [path], problems)
    assert problems.examples["size_differs"] == ["train: 1.jpg is 40x30, annotated 40x31"]
    with pytest.raises(DataError, match=r"6 of 6 images do not have the size their boxes were drawn in.*original"):
        read_images([draft("1", (80, 60))] * 6, [path] * 6, Problems())
