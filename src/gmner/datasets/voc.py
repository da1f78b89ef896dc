"""Reading boxes in Pascal VOC's XML: one `<object>` with a `<name>` and a `<bndbox>` for each box."""

import math
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder  # nosec B405 - classes alone: what parses is defusedxml

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from gmner.core.records import Box
from gmner.datasets.edges import check_edges
from gmner.errors import DataError
from gmner.storage.files import refuse_special

_EDGES = ("xmin", "ymin", "xmax", "ymax")
_SHOWN = 60  # characters of a name or a number in an error


class NamedBox(NamedTuple):
    """One box under the name it was given, unchanged; `line` is where its `<object>` begins."""

    name: str
    box: Box
    line: int


class VocFile(NamedTuple):
    """One image's boxes. `file_name` and `size_wh` are what the file says of the image, None if it says nothing.

    The image is the one that the XML file itself is named after: `<filename>` is often another's.
    """

    file_name: str | None
    size_wh: tuple[int, int] | None
    boxes: tuple[NamedBox, ...]


def read_voc(path: Path | str) -> VocFile:
    """Read one file of boxes (pixels of the original image); several objects may share a name.

    Document type definitions and entities are refused. Raises DataError naming file and line if the file is no XML,
    an object lacks a name or a number, or a box cannot be one in pixels.
    """
    root = _parse(path)
    if root.tag != "annotation":
        raise DataError(f"{path}:{_line(root)}: expected the root <annotation>, found <{str(root.tag)[:_SHOWN]}>")
    name = root.findtext("filename")
    boxes = tuple(_box(path, found) for found in root.findall("object"))
    return VocFile(None if name is None else name.strip(), _size_wh(path, root), boxes)


class _Lines(TreeBuilder):
    """Builds the tree with the line of each element in its attribute `line`; VOC has no attributes of its own."""

    parser: Any = None

    def start(self, tag: str, attrs: dict[Any, Any], /) -> Element:
        return super().start(tag, {"line": str(self.parser.parser.CurrentLineNumber)})


def _parse(path: Path | str) -> Element:
    refuse_special(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    builder = _Lines()
    try:
        builder.parser = parser = DefusedXMLParser(target=builder, forbid_dtd=True)
        parser.feed(data)
        root: Element = parser.close()
    except ParseError as error:
        line = error.position[0]
        what = str(error).partition(": line ")[0]
        raise DataError(f"{path}:{line}: not well-formed XML: {what}; fix or remove the file") from error
    except DefusedXmlException as error:
        raise DataError(f"{path}: holds a document type definition or an entity, which is refused ({error})") from error
    except (ValueError, LookupError) as error:  # of an encoding that the parser does not know
        raise DataError(f"{path}: not readable as XML ({error}); write it as UTF-8") from error
    return root


def _line(element: Element) -> int:
    return int(element.get("line", 0))


def _size_wh(path: Path | str, root: Element) -> tuple[int, int] | None:
    """Return the size, or None if it is missing or zero, as some annotation tools write."""
    found = [root.findtext(f"size/{side}") for side in ("width", "height")]
    if found[0] is None or found[1] is None:
        return None
    try:
        width, height = int(found[0]), int(found[1])
    except ValueError as error:
        raise DataError(f"{path}: <size> holds no whole numbers: {str(found)[: 2 * _SHOWN]}") from error
    return (width, height) if width > 0 and height > 0 else None


def _box(path: Path | str, found: Element) -> NamedBox:
    where, name = f"{path}:{_line(found)}", found.findtext("name")
    if name is None or not name.strip():
        raise DataError(f"{where}: <object> has no <name>; every box needs one")
    what = f"object '{name.strip()[:_SHOWN]}'"
    x1, y1, x2, y2 = (_edge(f"{where}: {what}", found.findtext(f"bndbox/{edge}"), edge) for edge in _EDGES)
    check_edges((x1, y1, x2, y2), f"{where}: {what}")
    return NamedBox(name, (x1, y1, x2, y2), _line(found))


def _edge(where: str, text: str | None, edge: str) -> float:
    if text is None:
        raise DataError(f"{where} has no <{edge}> in its <bndbox>")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: <{edge}> is {text[:_SHOWN]!r}, expected a number")
    return number
