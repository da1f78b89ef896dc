"""Reading boxes in Pascal VOC's XML: one `<object>` with a `<name>` and a `<bndbox>` for each box.

Files as LabelImg and its like write them are read by one pattern, ten times as fast as a parser calls back. The
pattern covers the whole file and nothing that XML could mean otherwise (no reference, no attribute, no declaration);
whatever it does not cover goes to the parser, which also knows what is wrong and where.
"""

import io
import math
import os
import re
from pathlib import Path
from typing import NamedTuple
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import Locator

from defusedxml import DefusedXmlException
from defusedxml.sax import parse

from gmner.core.records import Box
from gmner.errors import DataError

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_BLANK = r"[ \t\n]*+"
# Characters that stand for themselves. A carriage return would be read as a newline; control characters are refused.
_TEXT = r"[^<>&\x00-\x08\x0b-\x1f\ufffe\uffff]*+"
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"


def _element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>{_BLANK}"


def _maybe(pattern: str) -> str:
    return f"(?:{pattern})?+"


_HEAD = re.compile(
    f"<annotation>{_BLANK}"
    + _maybe(_element("folder", _TEXT))
    + _maybe(_element("filename", f"({_TEXT})"))
    + _maybe(_element("path", _TEXT))
    + _maybe(_element("source", _BLANK + _element("database", _TEXT)))
    + _element("size", _BLANK + _element("width", "([0-9]{1,9})") + _element("height", "([0-9]{1,9})")
               + _maybe(_element("depth", _TEXT)))
    + _maybe(_element("segmented", _TEXT))
)  # fmt: skip
_OBJECT = re.compile(
    f"<object>{_BLANK}"
    + _element("name", f"({_TEXT})")
    + "".join(_maybe(_element(name, _TEXT)) for name in ("pose", "truncated", "difficult"))
    + _element("bndbox", _BLANK + "".join(_element(edge, _NUMBER) for edge in _EDGES))
    + f"</object>{_BLANK}"
)
_END = re.compile(rf"</annotation>{_BLANK}\Z")


class NamedBox(NamedTuple):
    """One box under the name it was given, unchanged; `line` is where its `<object>` begins."""

    name: str
    box: Box
    line: int


class VocFile(NamedTuple):
    """One image's boxes. `file_name` and `size_wh` are what the file says of the image, None where nothing.

    The image is the one that the XML file itself is named after: `<filename>` is often another's.
    """

    file_name: str | None
    size_wh: tuple[int, int] | None
    boxes: tuple[NamedBox, ...]


def read_voc(path: Path | str) -> VocFile:
    """Read one file of boxes; several objects may share a name.

    Document type definitions and entities are refused. Raises DataError naming file and line where the file is
    no XML or an object lacks a name or a number.
    """
    try:
        data = _bytes_of(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return _read_usual(data) or _read_any(path, data)


def _bytes_of(path: Path | str) -> bytes:
    """Return a file's bytes by the system's own calls: with thousands of small files, half the time of `open`."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        parts = [os.read(handle, 1 << 16)]
        while len(parts[-1]) == 1 << 16:
            parts.append(os.read(handle, 1 << 16))
        return b"".join(parts)
    finally:
        os.close(handle)


def _read_usual(data: bytes) -> VocFile | None:
    """Return what a file of the usual form says, or None for any other, malformed ones among them."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    head = _HEAD.match(text)
    if head is None:
        return None
    boxes: list[NamedBox] = []
    position, counted, line = head.end(), 0, 1
    while (found := _OBJECT.match(text, position)) is not None:
        name, x1, y1, x2, y2 = found.groups()
        if not name.strip():
            return None
        line += text.count("\n", counted, position)
        boxes.append(NamedBox(name, (float(x1), float(y1), float(x2), float(y2)), line))
        counted, position = position, found.end()
    if _END.match(text, position) is None:
        return None
    file_name, width, height = head[1], int(head[2]), int(head[3])
    size_wh = (width, height) if width > 0 and height > 0 else None
    return VocFile(None if file_name is None else file_name.strip(), size_wh, tuple(boxes))


def _read_any(path: Path | str, data: bytes) -> VocFile:
    handler = _Handler(path)
    try:
        parse(io.BytesIO(data), handler, forbid_dtd=True)
    except SAXParseException as error:
        message = f"{path}:{error.getLineNumber()}: not well-formed XML: {error.getMessage()}"
        raise DataError(f"{message}; mend or remove the file") from error
    except DefusedXmlException as error:
        raise DataError(f"{path}: holds a document type definition or an entity, which is refused ({error})") from error
    except (ValueError, LookupError) as error:  # of an encoding that the parser does not know
        raise DataError(f"{path}: not readable as XML ({error}); write it as UTF-8") from error
    return VocFile(handler.file_name, handler.size_wh(), tuple(handler.boxes))


class _Handler(ContentHandler):
    def __init__(self, path: Path | str) -> None:
        super().__init__()
        self.path = path
        self.file_name: str | None = None
        self.boxes: list[NamedBox] = []
        self._size: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._object_line = 0
        self._parents: list[str] = []
        self._text: list[str] = []

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: object) -> None:
        if not self._parents and name != "annotation":
            raise self._error(self._line(), f"expected the root <annotation>, found <{name}>")
        if name == "object" and len(self._parents) == 1:
            self._object, self._object_line = {}, self._line()
        self._parents.append(name)
        self._text.clear()

    def characters(self, content: str) -> None:
        self._text.append(content)

    def endElement(self, name: str) -> None:
        self._parents.pop()
        parents = self._parents
        if name == "object" and len(parents) == 1:
            self.boxes.append(self._box())
        elif parents == ["annotation", "object"] and name == "name":
            self._object["name"] = "".join(self._text)
        elif parents == ["annotation", "object", "bndbox"] and name in _EDGES:
            self._object[name] = "".join(self._text)
        elif parents == ["annotation", "size"]:
            self._size[name] = "".join(self._text)
        elif parents == ["annotation"] and name == "filename":
            self.file_name = "".join(self._text).strip()
        self._text.clear()

    def size_wh(self) -> tuple[int, int] | None:
        """Return the size, or None where it is missing or zero, as some annotation tools write."""
        try:
            width, height = int(self._size["width"]), int(self._size["height"])
        except KeyError:
            return None
        except ValueError as error:
            raise DataError(f"{self.path}: <size> holds no whole numbers: {str(self._size)[:120]}") from error
        return (width, height) if width > 0 and height > 0 else None

    def _box(self) -> NamedBox:
        name = self._object.get("name")
        if name is None or not name.strip():
            raise self._error(self._object_line, "<object> has no <name>; every box needs one")
        x1, y1, x2, y2 = (self._edge(edge, name) for edge in _EDGES)
        return NamedBox(name, (x1, y1, x2, y2), self._object_line)

    def _edge(self, edge: str, name: str) -> float:
        text = self._object.get(edge)
        if text is None:
            raise self._error(self._object_line, f"object '{name.strip()[:60]}' has no <{edge}> in its <bndbox>")
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._error(
                self._object_line, f"object '{name.strip()[:60]}': <{edge}> is {text[:60]!r}, expected a number"
            )
        return number

    def _line(self) -> int:
        return self._locator.getLineNumber() or 0

    def _error(self, line: int, text: str) -> DataError:
        return DataError(f"{self.path}:{line}: {text}")
