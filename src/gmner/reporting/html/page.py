"""The page itself: one HTML text that needs no network, in which data can never become markup or code."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARTS = Path(__file__).parent / "page"
SCRIPTS = ("dom.js", "charts.js", "overview.js", "errors.js", "tweet.js", "gallery.js", "detail.js", "start.js")
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_HALF = re.compile(r"[\ud800-\udfff]")
_MARKUP = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True)
class Sizes:
    """Bytes of the page and of its two large parts."""

    page: int
    data: int
    images: int

    def __str__(self) -> str:
        page, data, images = (f"{size / 1e6:.1f} MB" for size in (self.page, self.data, self.images))
        return f"{page} ({images} images, {data} tweets and answers)"


def build_page(title: str, data: dict[str, Any], images: Sequence[str]) -> tuple[str, Sizes]:
    """Return the page and its sizes. `images` are data URIs; the data name them by their number.

    The policy in the page lets run the page's own script alone, loads nothing from anywhere, and forbids turning text
    into markup (trusted types). Data and images stand in blocks that are not executed; `<`, `>` and `&` are
    escaped in the one and do not occur in the other, so that no text can end its block.
    """
    style = (PARTS / "page.css").read_text(encoding="utf-8").strip()
    script = "\n".join((PARTS / name).read_text(encoding="utf-8").strip() for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}\n}})();'
    image_lines = "\n".join(images)
    data_size = len(embedded_json(data).encode())
    sizes = Sizes(data_size + len(image_lines) + len(style) + len(script), data_size, len(image_lines))
    parts = {
        "title": html.escape(title),
        "policy": html.escape(policy(script, style)),
        "style": style,
        "script": script,
        "data": embedded_json({**data, "title": title, "sizes": str(sizes)}),
        "images": image_lines,
    }
    frame = (PARTS / "page.html").read_text(encoding="utf-8")
    return _PLACE.sub(lambda found: parts[found[1]], frame), sizes


def policy(script: str, style: str) -> str:
    """Return the Content-Security-Policy of a page with this one script and this one style sheet."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded_json(value: Any) -> str:
    """Return JSON that can stand inside a script element: nothing in it ends the element or opens a comment.

    Halves of surrogate pairs become U+FFFD: they are no Unicode text.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _HALF.sub("\ufffd", text).translate(_MARKUP)
