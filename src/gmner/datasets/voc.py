"""Reading boxes in Pascal VOC's XML: one `<object>` with a `<name>` and a `<bndbox>` for each box."""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import Locator

from defusedxml import DefusedXmlException
from defusedxml.sax import parse

from gmner.errors import DataError
from gmner.records import Box

_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class NamedBox:
    """One box under the name it was given, unchanged; `line` is where its `<object>` begins."""

    name: str
    box: Box
    line: int


@dataclass(frozen=True, slots=True)
class VocFile:
    """One picture's boxes. `file_name` and `size_wh` are what the file says of the picture, None where nothing.

    The picture is the one that the XML file itself is named after: `<filename>` is often another's.
    """

    file_name: str | None
    size_wh: tuple[int, int] | None
    boxes: tuple[NamedBox, ...]


def read_voc(path: Path | str) -> VocFile:
    """Read one file of boxes; several objects may share a name.

    Document type definitions and entities are refused. Raises DataError naming file and line where the file is
    no XML or an object lacks a name or a number.
    """
    handler = _Handler(path)
    try:
        with Path(path).open("rb") as stream:
            parse(stream, handler, forbid_dtd=True)
    except SAXParseException as error:
        message = f"{path}:{error.getLineNumber()}: not well-formed XML: {error.getMessage()}"
        raise DataError(f"{message}; mend or remove the file") from error
    except DefusedXmlException as error:
        raise DataError(f"{path}: holds a document type definition or an entity, which is refused ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
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
            raise DataError(f"{self.path}: <size> holds no whole numbers: {self._size}") from error
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
            raise self._error(self._object_line, f"object '{name.strip()}' has no <{edge}> in its <bndbox>")
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._error(self._object_line, f"object '{name.strip()}': <{edge}> is {text!r}, expected a number")
        return number

    def _line(self) -> int:
        return self._locator.getLineNumber() or 0

    def _error(self, line: int, text: str) -> DataError:
        return DataError(f"{self.path}:{line}: {text}")
