"""Images of every kind and in every state, through the commands that read them."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmner.config.teachers import SentImage
from gmner.datasets.images import read_image
from gmner.errors import DataError
from gmner.llm_client.sent_images import image_of
from gmner.reporting.html.thumbnails import thumbnail
from gmner.storage.images import open_image
from tests.helpers.faults import Faults
from tests.helpers.pipeline import Pipeline

ORIENTATION = 0x0112
GREY = np.linspace(0, 255, 60 * 40).reshape(40, 60)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def rgb(size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.fromarray(GREY.astype(np.uint8)).resize(size).convert("RGB")


def frames(count: int = 3) -> list[Image.Image]:
    return [Image.new("RGB", (60, 40), (80 * number, 10, 200)) for number in range(count)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_16_bits() -> bytes:
    """An RGB image with 16 bits a channel, which Pillow reads but does not write."""
    rows = b"".join(b"\0" + np.full((60, 3), 40000, dtype=">u2").tobytes() for _ in range(40))
    head = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def palette() -> Image.Image:
    image = rgb().quantize(8)
    image.info["transparency"] = 0
    return image


READABLE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "cmyk.jpg": ("CMYK", lambda: saved(rgb().convert("CMYK"), "JPEG"), "read as RGB"),
    "deep.png": ("16 bits, grey", lambda: saved(Image.fromarray((GREY * 200).astype(np.uint16)), "PNG"), "read as RGB"),
    "deep-rgb.png": ("16 bits a channel, colour", png_of_16_bits, "read as RGB of 8 bits"),
    "palette.png": ("palette with a transparent colour", lambda: saved(palette(), "PNG"), "read as RGB over white"),
    "animated.gif": (
        "animated GIF",
        lambda: saved(frames()[0], "GIF", save_all=True, append_images=frames()[1:]),
        "its first image is read",
    ),
    "animated.png": (
        "animated PNG",
        lambda: saved(frames()[0], "PNG", save_all=True, append_images=frames()[1:]),
        "its first image is read",
    ),
    "really-png.jpg": ("a PNG named .jpg", lambda: saved(rgb(), "PNG"), "read: the content decides, not the name"),
    "pixel.png": ("one pixel", lambda: saved(Image.new("RGB", (1, 1)), "PNG"), "read, enlarged to the frame's least"),
    "long.png": ("1:200", lambda: saved(Image.new("RGB", (3, 600)), "PNG"), "read"),
}


@pytest.fixture
def pipeline(tmp_path: Path, repo: Path) -> Pipeline:
    return Pipeline(tmp_path, repo)


def tweet(image: str, **more: object) -> dict[str, object]:
    return {"image": image, "text": "Ann in Rome", "entities": [{"mention": "Ann", "type": "PER"}], **more}


def test_images_of_every_kind_are_read_and_counted(pipeline: Pipeline, faults: Faults) -> None:
    for name, (_, make, _) in READABLE.items():
        (pipeline.images / name).write_bytes(make())
    pipeline.lines("test", [tweet(name) for name in READABLE])
    ran = pipeline.samples()
    assert ran.code == 0, ran.err
    pipeline.check_counts(len(READABLE))
    for sample, (what, _, result) in zip(pipeline.read(), READABLE.values(), strict=True):
        found = open_image(sample.image_path, sample.size_wh)
        assert found.mode == "RGB" and found.size == sample.size_wh
        assert image_of(sample.image_path, sample.size_wh, SentImage()).encode()
        faults.add("images", what, result)
    first = open_image(pipeline.images / "animated.gif")
    assert np.abs(np.asarray(first).astype(int) - (0, 10, 200)).max() < 12


UNREADABLE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty.jpg": ("zero bytes", lambda: b"", "not a readable image"),
    "page.jpg": ("a web page named .jpg", lambda: b"<html>Image Not Found</html>", "not a readable image"),
    "cut.jpg": ("JPEG cut off in the middle", lambda: saved(rgb((300, 200)), "JPEG")[:-900], "truncated"),
    "cut.png": ("PNG cut off in the middle", lambda: saved(rgb((300, 200)), "PNG")[:-600], "truncated"),
    "head.png": ("a PNG's signature and nothing", lambda: b"\x89PNG\r\n\x1a\n", "not a readable image"),
    "script.jpg": (
        "PostScript named .jpg (Pillow would start Ghostscript)",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n",
        "not a readable image",
    ),
    "strip.png": ("1:300", lambda: saved(Image.new("RGB", (2, 600)), "PNG"), "2x600 pixels are too elongated"),
    "huge.png": (
        "200 megapixels",
        lambda: saved(Image.new("1", (20_000, 10_000)), "PNG", compress_level=1),
        "the image is larger than 178956970 pixels",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_image_that_cannot_be_used_is_named_with_its_line(pipeline: Pipeline, name: str, faults: Faults) -> None:
    what, make, message = UNREADABLE[name]
    (pipeline.images / name).write_bytes(make())
    (pipeline.images / "good.png").write_bytes(saved(rgb(), "PNG"))
    pipeline.lines("test", [tweet("good.png"), tweet(name)])
    error = pipeline.samples().error
    assert "1 of 2 images cannot be used" in error and f"test.jsonl:2: {pipeline.images / name}: " in error
    assert message in error
    assert not pipeline.table.exists()
    faults.error("images", what, error)


@pytest.mark.parametrize("read", [open_image, read_image, lambda path: thumbnail(str(path), (60, 40), 64, 80)])
def test_whatever_opens_an_image_knows_six_formats(read: Callable[[Path], object], tmp_path: Path) -> None:
    """Also a file that was replaced after the samples stage reaches no other decoder."""
    path = tmp_path / "script.jpg"
    path.write_bytes(UNREADABLE["script.jpg"][1]())
    with pytest.raises(DataError, match="none of JPEG, PNG"):
        read(path)


def test_a_folder_named_as_an_image_is_a_missing_image(pipeline: Pipeline, faults: Faults) -> None:
    (pipeline.images / "folder.jpg").mkdir()
    pipeline.lines("test", [tweet("folder.jpg")])
    error = pipeline.samples().error
    assert "1 of 1 images are missing: folder.jpg" in error and "test.jsonl:1" in error
    faults.error("images", "a folder where an image should be", error)


def test_damage_behind_a_good_header_stops_the_stage_that_decodes_it(pipeline: Pipeline, faults: Faults) -> None:
    data = bytearray(saved(rgb((300, 200)), "PNG"))
    place = data.index(b"IDAT") + 40
    data[place : place + 60] = b"\0" * 60
    (pipeline.images / "broken.png").write_bytes(bytes(data))
    pipeline.lines("test", [tweet("broken.png")])
    assert pipeline.samples().code == 0
    error = pipeline.generate().error
    assert error.startswith("sample test/broken: ") and "broken.png: not a readable image" in error
    assert not (pipeline.root / "outputs.parquet").exists()
    faults.error("images", "damaged behind a good header (when it is decoded)", error)


def test_an_image_replaced_after_samples_is_an_error(pipeline: Pipeline, faults: Faults) -> None:
    (pipeline.images / "a.png").write_bytes(saved(rgb(), "PNG"))
    pipeline.lines("test", [tweet("a.png")])
    assert pipeline.samples().code == 0
    (pipeline.images / "a.png").write_bytes(saved(rgb((80, 80)), "PNG"))
    error = pipeline.generate().error
    assert "the image is 80x80, but its sample says 60x40" in error
    faults.error("images", "replaced by one of another size after the samples stage", error)


# How the stored pixels come from the upright ones, for each mark of a camera.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
BOX = (4, 6, 24, 16)


def marked(orientation: int) -> tuple[Image.Image, bytes]:
    """Return an upright image with a red box at BOX, and the same as a camera would store it."""
    upright = Image.new("RGB", (60, 40), "blue")
    upright.paste((255, 0, 0), BOX)
    way = STORED[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return upright, saved(upright if way is None else upright.transpose(way), "PNG", exif=exif)


def is_red(path: str, size_wh: tuple[int, int], box: tuple[float, ...]) -> bool:
    pixels = np.asarray(open_image(path, size_wh)).astype(int)
    x1, y1, x2, y2 = (round(edge) for edge in box)
    red = (pixels[..., 0] > 200) & (pixels[..., 2] < 50)
    return bool(red[y1:y2, x1:x2].all()) and int(red.sum()) == (x2 - x1) * (y2 - y1)


@pytest.mark.parametrize("orientation", STORED)
def test_boxes_and_pixels_of_a_turned_image_agree(pipeline: Pipeline, orientation: int, faults: Faults) -> None:
    upright, data = marked(orientation)
    (pipeline.images / "a.png").write_bytes(data)
    entity = {"mention": "Ann", "type": "PER", "boxes": [list(BOX)]}
    pipeline.lines("test", [tweet("a.png", entities=[entity])])
    assert pipeline.samples().code == 0
    (sample,) = pipeline.read()
    assert sample.size_wh == upright.size
    assert is_red(sample.image_path, sample.size_wh, sample.entities[0].boxes[0])
    faults.add("images", "turned by a camera's mark (EXIF), all eight", "shown upright; boxes count in that image")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_drawn_in_the_unturned_image_stay_in_it(pipeline: Pipeline, orientation: int, faults: Faults) -> None:
    _, data = marked(orientation)
    (pipeline.images / "a.png").write_bytes(data)
    stored = np.asarray(Image.open(pipeline.images / "a.png")).astype(int)
    ys, xs = np.nonzero(stored[..., 0] > 200)
    edges = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(names, edges, strict=True))
    (pipeline.data / "xml").mkdir()
    (pipeline.data / "xml/a.xml").write_text(
        "<annotation><size><width>40</width><height>60</height></size>"
        f"<object><name>Ann</name><bndbox>{box}</bndbox></object></annotation>"
    )
    (pipeline.data / "test.txt").write_text("IMGID:a\nAnn\tB-PER\nin\tO\n")
    assert pipeline.samples().code == 0
    (sample,) = pipeline.read()
    assert sample.size_wh == (40, 60) and is_red(sample.image_path, sample.size_wh, sample.entities[0].boxes[0])
    faults.add("images", "turned by a mark, boxes drawn in the unturned one", "kept unturned: the annotated size tells")
