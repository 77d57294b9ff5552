"""XML without its dangers: no document type, so no entity is ever expanded or fetched; bounded size.

Names come without their namespace: every format of this door uses one of its own and tells its
elements apart by local name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from carna.errors import InputError

__all__ = ["attribute", "base64_bytes", "decoded", "find", "find_all", "parse", "text"]

MAX_BYTES = 512 << 20
MAX_DEPTH = 200
MAX_ELEMENTS = 5_000_000


def decoded(data: bytes) -> str:
    """Return the characters of an XML file by what its bytes are, whatever its declaration says."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[:3] == b"\xef\xbb\xbf":
        return data[3:].decode("utf-8", "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    if data[:1] == b"\0":
        return data.decode("utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        named = re.search(rb"encoding=[\"']([\w.:-]+)[\"']", data[:200])
        name = named[1].decode() if named else "latin-1"
        try:
            return data.decode(
                name if name.lower().startswith(("iso", "windows", "cp")) else "latin-1", "replace"
            )
        except LookupError:
            return data.decode("latin-1")


def parse(data: bytes) -> Element:
    """Return the root element.

    Raises
    ------
    InputError
        If the text is no XML, has a document type declaration, or is beyond all bounds.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"an XML file of {len(data)} bytes", needed=f"at most {MAX_BYTES}")
    builder = TreeBuilder()
    depth = count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise InputError("XML nested too deeply or with too many elements", needed="a plain ECG file")
        builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def refuse(*_: object) -> None:
        raise InputError("XML with a document type declaration", needed="none", fix="export it without a DTD")

    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(decoded(data).encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise InputError(f"damaged XML: {error}", needed="a whole XML file", fix="send it again") from None
    return builder.close()


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def find(element: Element | None, *path: str) -> Element | None:
    """Return the first descendant along a path of child names, None if there is none."""
    for name in path:
        element = None if element is None else element.find(name)
    return element


def find_all(element: Element | None, name: str) -> Iterator[Element]:
    """Yield every descendant of a name, in document order."""
    yield from () if element is None else element.iter(name)


def text(element: Element | None, *path: str) -> str:
    """Return the stripped text of the first descendant along a path, "" if there is none."""
    found = find(element, *path)
    return "" if found is None else (found.text or "").strip()


def attribute(element: Element | None, name: str, *path: str) -> str:
    """Return an attribute of the first descendant along a path, "" if there is none."""
    found = find(element, *path)
    return "" if found is None else found.get(name, "").strip()


def base64_bytes(content: str) -> bytes:
    """Return what Base64 stands for.

    Raises
    ------
    InputError
        If it is no Base64.
    """
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"damaged Base64: {error}", needed="whole Base64 text", fix="send it again"
        ) from None
