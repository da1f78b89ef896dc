"""Tweets and boxes read line by line and tree by tree, written row by row: the plain way to read the data set."""

import html
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
from PIL import Image

TAG = re.compile(r"(O|[BI]-(\S+))$")
TYPES = ("PER", "ORG", "LOC", "OTHER")


def read_tweets(text_file: Path) -> list[tuple[str, list[str], list[str]]]:
    """Return the image id, tokens and tags of each tweet, checking every line."""
    tweets: list[tuple[str, list[str], list[str]]] = []
    image_id, tokens, tags = "", [], []
    for number, line in enumerate([*text_file.read_text(encoding="utf-8").split("\n"), ""], start=1):
        line = line.rstrip("\r")
        if line.startswith("IMGID:"):
            image_id, tokens, tags = line[len("IMGID:") :].strip(), [], []
        elif line.strip():
            token, tag = line.split("\t")
            if not image_id or not token.strip() or not TAG.match(tag):
                raise ValueError(f"{text_file}:{number}: {line!r}")
            tokens.append(token)
            tags.append(tag)
        elif image_id:
            if not tokens:
                raise ValueError(f"{text_file}:{number}: no tokens")
            tweets.append((image_id, tokens, tags))
            image_id = ""
    return tweets


def decode(tokens: list[str], tags: list[str]) -> tuple[list[str], list[str]]:
    """Decode html escapes; the `;` that the tokenizer cut off is merged into the token before it."""
    kept: list[str] = []
    kept_tags: list[str] = []
    may_merge = False
    for token, tag in zip(tokens, tags, strict=True):
        if may_merge and token == ";":
            kept_tags[-1] = tag if kept_tags[-1] == "O" else kept_tags[-1]
            may_merge = False
            continue
        may_merge = re.search(r"&(amp|lt|gt|quot|apos|#39)$", token) is not None
        kept.append(re.sub(r"&(amp|lt|gt|quot|apos|#39);?", lambda match: html.unescape(f"&{match[1]};"), token))
        kept_tags.append(tag)
    return kept, kept_tags


def read_boxes(xml_file: Path) -> tuple[tuple[int, int], dict[str, list[list[float]]]]:
    """Return an image's size and its boxes by name."""
    root = ElementTree.parse(xml_file).getroot()
    size = root.find("size")
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for found in root.findall("object"):
        name = " ".join(found.find("name").text.split())
        name = re.sub(r"&(amp|lt|gt|quot|apos|#39)(?: ?;)?", lambda match: html.unescape(f"&{match[1]};"), name)
        edges = found.find("bndbox")
        boxes[name].append([float(edges.find(edge).text) for edge in ("xmin", "ymin", "xmax", "ymax")])
    return (int(size.find("width").text), int(size.find("height").text)), boxes


def entities_of(tokens: list[str], tags: list[str], boxes: dict[str, list[list[float]]]) -> list[dict[str, Any]]:
    """Return the entities of a tweet, each with the boxes of its mention."""
    spans: list[list[Any]] = []
    inside = None
    for index, tag in enumerate(tags):
        if tag == "O":
            inside = None
        elif tag.startswith("I-") and inside == tag[2:]:
            spans[-1][1] = index + 1
        else:
            inside = tag[2:]
            if inside not in TYPES:
                raise ValueError(f"unknown type {inside}")
            spans.append([index, index + 1, inside])
    found = []
    for start, end, kind in spans:
        mention = " ".join(tokens[start:end])
        entity = {"start": start, "end": end, "mention": mention, "type": kind, "fine_type": None}
        found.append({**entity, "boxes": boxes.get(mention, []), "description": None})
    return found


def make_table(root: Path, schema: pa.Schema, size_wh: tuple[int, int]) -> pa.Table:
    """Return all tweets below `root` (txt/, xml/) as a table; `size_wh` is said of images without boxes."""
    rows = []
    for split in ("train", "dev", "test"):
        for image_id, raw_tokens, raw_tags in read_tweets(root / "txt" / f"{split}.txt"):
            tokens, tags = decode(raw_tokens, raw_tags)
            xml_file = os.path.join(root, "xml", f"{image_id}.xml")  # noqa: PTH118
            size, boxes = read_boxes(Path(xml_file)) if os.path.exists(xml_file) else (size_wh, {})  # noqa: PTH110
            rows.append({
                "sample_id": f"{split}/{image_id}", "dataset": "twitter-gmner", "split": split, "image_id": image_id,
                "image_path": "", "width": size[0], "height": size[1], "tokens": tokens, "text": " ".join(tokens),
                "caption": None, "entities": entities_of(tokens, tags, boxes),
            })  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def read_images(paths: list[Path]) -> list[tuple[int, int]]:
    """Open, decode and resize each image, as a loader does that keeps what it can resize; return the sizes."""
    sizes = []
    for path in paths:
        with Image.open(path) as stored:
            image = stored.convert("RGB")
            width, height = image.size
            image.resize((max(28, width // 28 * 28), max(28, height // 28 * 28)), Image.Resampling.BICUBIC)
            sizes.append(image.size)
    return sizes
