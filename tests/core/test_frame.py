import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmner.core.frame import Frame
from gmner.errors import DataError

QWEN = Frame("absolute", 256 * 28 * 28, 1024 * 28 * 28)
TINY = Frame("absolute", 14000, 19600)
QWEN3 = Frame("norm1000", 256 * 32 * 32, 1024 * 32 * 32, factor=32)
FRAMES = (QWEN, TINY, QWEN3, Frame("absolute", 3136, 12845056))


@pytest.mark.parametrize("frame", FRAMES)
def test_size_equals_that_of_transformers(frame: Frame) -> None:
    smart_resize = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl").smart_resize
    generator = np.random.default_rng(0)
    sizes = np.concatenate(
        [
            generator.integers(1, 5000, (800, 2)),
            generator.integers(1, 60, (300, 2)),
            np.stack([generator.integers(1, 20, 200), generator.integers(1, 4000, 200)], axis=1),
        ]
    )
    compared = 0
    for width, height in sizes.tolist():
        if max(width, height) > 200 * min(width, height):
            continue
        limits = {"factor": frame.factor, "min_pixels": frame.min_pixels, "max_pixels": frame.max_pixels}
        new_height, new_width = smart_resize(height, width, **limits)
        assert frame.model_size((width, height)) == (new_width, new_height), (width, height)
        compared += 1
    assert compared > 1100


sizes = st.tuples(st.integers(30, 3000), st.integers(30, 3000))
shares = st.tuples(*[st.floats(0, 1) for _ in range(4)])


@given(sizes, shares, st.sampled_from(FRAMES))
def test_rounded_boxes_come_back_within_a_pixel_of_the_coarser_grid(
    size_wh: tuple[int, int], share: tuple[float, ...], frame: Frame
) -> None:
    width, height = size_wh
    box = np.array([[share[0] * width, share[1] * height, share[2] * width, share[3] * height]])
    back = frame.to_original(np.rint(frame.to_model(box, size_wh)), size_wh)
    grain = np.array(size_wh) / np.array(frame.coordinate_size(size_wh))
    assert (np.abs(back - box) <= 0.5 * np.tile(grain, 2) + 1e-6).all()
    assert np.allclose(frame.to_original(frame.to_model(box, size_wh), size_wh), box, atol=1e-6)


def test_boxes_come_back_within_a_pixel_at_the_sizes_of_the_data() -> None:
    generator = np.random.default_rng(1)
    for size_wh in [(600, 400), (1200, 675), (58, 58), (1024, 1024), (340, 255)]:
        boxes = generator.uniform(0, 1, (50, 4)) * np.tile(size_wh, 2)
        back = QWEN.to_original(np.rint(QWEN.to_model(boxes, size_wh)), size_wh)
        assert np.abs(back - boxes).max() <= 1


def test_original_boxes_are_clipped_to_the_image() -> None:
    assert QWEN.to_original([(-10, -10, 9999, 9999)], (600, 400)).tolist() == [[0, 0, 600, 400]]


def test_thousandths_do_not_depend_on_the_resized_size() -> None:
    assert QWEN3.to_model([(0, 0, 300, 400)], (600, 400)).tolist() == [[0, 0, 500, 1000]]


@pytest.mark.parametrize(("size_wh", "said"), [((0, 5), "at least 1 x 1"), ((4000, 10), "too elongated")])
def test_impossible_sizes_are_refused(size_wh: tuple[int, int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        QWEN.model_size(size_wh)


def test_json_round_trip_and_unknown_keys() -> None:
    assert Frame.from_json(QWEN3.to_json()) == QWEN3
    with pytest.raises(DataError, match="not a frame"):
        Frame.from_json({"coordinates": "absolute", "pixels": 3})
