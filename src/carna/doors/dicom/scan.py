"""Scan: the headers of many DICOM files, fast, whatever is wrong with them (PS3.5 §7, PS3.10 §7).

Only what comes before the pixels is looked at, and of that private elements, overlays, icons
and long values are stepped over. pydicom's own reader is thorough and slower; here each element
is left raw in a pydicom `Dataset` and decoded when somebody asks.

A file is believed before its own statement about itself: when the first element contradicts
the Transfer Syntax UID, or there is none, the encoding is guessed from the bytes and noted.
Damage is refused, never followed: a length that leaves the file, a tag of zeros, a dataset of
more elements than any real one, a deflated file that grows without end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import BinaryIO, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag

from carna.case import Problem
from carna.doors.dicom.header import UNREADABLE, Extent, Header
from carna.doors.dicom.sniff import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    LONG_VR,
    SHORT_VR,
    UNDEFINED,
    encoding,
)
from carna.doors.files import HEAD, Blob
from carna.errors import InputError
from carna.progress import SILENT, Progress

_VR_NAME: Final = {vr: vr.decode() for vr in LONG_VR | SHORT_VR}
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS: Final = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_STEPPED_OVER: Final = frozenset((0x00880200, 0x54000100, 0x00420011))  # icon, waveforms, document
_KEPT_BYTES = (
    1 << 16
)  # longer values are look-up tables and the like; pixels.py reads them when it needs them
_CHUNK = 1 << 14
_MAX_ELEMENTS = 10_000  # the dictionary knows about 5,000; real headers hold 50 to 400
_MAX_STEPS = 5_000_000  # through sequences of undefined length: 5,000 frames take about 600,000
_MAX_SEQUENCE_BYTES = 1 << 28
MAX_INFLATED_BYTES = 1 << 29


def headers(blobs: Sequence[Blob], progress: Progress = SILENT) -> tuple[list[Header], list[Problem]]:
    """Return the header of every readable file, and a problem for each other one.

    Parameters
    ----------
    blobs : sequence of Blob
    progress : Progress

    Returns
    -------
    headers, problems
        In the order of the blobs.
    """
    found: list[Header] = []
    problems: list[Problem] = []
    for n, blob in enumerate(blobs):
        try:
            found.append(header(blob))
        except InputError as error:
            problems.append(Problem(blob.name, error.found, error.needed, error.fix))
        except UNREADABLE as error:
            problems.append(
                Problem(blob.name, f"a damaged DICOM file: {error}", "an intact one", "send it again")
            )
        if n % 64 == 0:
            progress(n / len(blobs), "headers")
    return found, problems


def header(blob: Blob) -> Header:
    """Return the header of one file.

    Raises
    ------
    InputError
        If the file is damaged or no DICOM.
    OSError
        If it can't be opened.
    """
    with _Window(blob) as window:
        start = 132 if window.at(128, 4) == b"DICM" else 4 if window.at(0, 4) == b"DICM" else 0
        notes = [] if start == 132 else ["no DICOM preamble"]
        meta, body = _meta(window, start)
        stated = _uid(meta, 0x00020010)
        if stated == DEFLATED:
            window.inflate_from(body)
        coded = _trusted(window, body, stated, notes)
        if not meta:
            notes.append("no file meta information")
        little, implicit = coded != BIG_ENDIAN, coded == IMPLICIT
        # What the pixels are compressed with can't be seen from the elements: it is believed.
        plain = stated in ("", IMPLICIT, EXPLICIT, BIG_ENDIAN)
        syntax = coded if plain else stated
        elements, extent = _elements(window, body, little, implicit)
    if not elements:
        raise InputError("a DICOM file without one public element", needed="a dataset", fix="send it again")
    _guess_charset(elements, notes, little)
    notes += [f"no {name} Instance UID" for tag, name in _UIDS if _base_tag(tag) not in elements and extent]
    ds = Dataset(elements)
    ds.set_original_encoding(implicit, little)
    ds.file_meta = FileMetaDataset(meta)
    return Header(ds, blob, blob.name, syntax, extent, tuple(notes))


def dataset_bytes(blob: Blob) -> tuple[bytes, int]:
    """Return the file's bytes, inflated if it was deflated, and where its dataset starts."""
    with _Window(blob) as window:
        start = 132 if window.at(128, 4) == b"DICM" else 4 if window.at(0, 4) == b"DICM" else 0
        meta, body = _meta(window, start)
        if _uid(meta, 0x00020010) == DEFLATED:
            window.inflate_from(body)
            return window.data, body
        return blob.load(), body


def repaired(header: Header) -> bytes:
    """Return the file as valid Part 10 bytes: those it has, or a new preamble where that is wrong."""
    stated = str(header.ds.file_meta.get("TransferSyntaxUID", ""))
    if stated == header.syntax and header.blob.head[128:132] == b"DICM" and stated != DEFLATED:
        return header.blob.load()
    data, body = dataset_bytes(header.blob)
    syntax = EXPLICIT if header.syntax == DEFLATED else header.syntax
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    element = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(element)) + element + data[body:]


def fragments(blob: Blob, start: int) -> tuple[int, int, bytes]:
    """Return how many fragments encapsulated pixels have, their end, and how the first starts (PS3.5 A.4).

    Raises
    ------
    InputError
        If they do not end with a delimiter inside the file.
    """
    count, first, pos = -1, b"", start  # the first item is the offset table
    with blob.open() as file:
        for _ in range(_MAX_STEPS):
            file.seek(pos)
            head = file.read(8)
            if len(head) < 8:
                break
            group, element, length = struct.unpack("<HHI", head)
            if (group, element) == (0xFFFE, 0xE0DD):
                return max(count, 0), pos + 8, first
            if (group, element) != (0xFFFE, 0xE000) or pos + 8 + length > blob.size:
                break
            count += 1
            if count == 1:
                first = file.read(min(length, HEAD))
            pos += 8 + length
    raise InputError(
        f"the pixels break off after {max(count, 0)} fragments", needed="all of them", fix="send it again"
    )


class _Window:
    """A file seen through a sliding window, so that a header costs one or two reads."""

    __slots__ = ("_file", "base", "blob", "data", "size")

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.size = blob.size
        self.base = 0
        self.data = blob.head
        self._file: BinaryIO | None = None

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def at(self, pos: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``pos``; fewer only at the end of the file."""
        offset = pos - self.base
        if offset < 0 or offset + count > len(self.data):
            self.move(pos, count)
            offset = pos - self.base
        return self.data[offset : offset + count]

    def move(self, pos: int, count: int = 0) -> None:
        """Make the window start at ``pos`` and reach at least ``count`` bytes."""
        if self.base + len(self.data) >= self.size and pos >= self.base:
            return
        if self._file is None:
            self._file = (
                self.blob.path.open("rb", buffering=0) if self.blob.path is not None else self.blob.open()
            )
        self._file.seek(pos)
        wanted = max(count, _CHUNK)
        self.base, self.data = pos, self._file.read(min(wanted, max(self.size - pos, 0))) or b""

    def inflate_from(self, body: int) -> None:
        """Replace what follows ``body`` by what it inflates to (PS3.5 A.5)."""
        data = self.blob.load()
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        grown = inflater.decompress(data[body:], MAX_INFLATED_BYTES)
        if inflater.unconsumed_tail:
            raise InputError(
                f"a deflated dataset of more than {MAX_INFLATED_BYTES >> 20} MiB", needed="a smaller one"
            )
        self.base, self.data = 0, data[:body] + grown
        self.size = len(self.data)


@lru_cache(maxsize=1 << 14)
def _base_tag(tag: int) -> BaseTag:
    return BaseTag(tag)


def _trusted(window: _Window, body: int, stated: str, notes: list[str]) -> str:
    """Return the encoding of the elements that the bytes bear out."""
    seen = encoding(window.at(body, 1 << 10), 0, any_group=body > 0)
    if not stated:
        if seen is None:
            raise InputError("no DICOM dataset", needed="a file that starts with one", fix="send it again")
        notes.append(f"no transfer syntax stated; read as {_SYNTAX_NAME[seen]}")
        return seen
    expected = IMPLICIT if stated == IMPLICIT else BIG_ENDIAN if stated == BIG_ENDIAN else EXPLICIT
    if seen is None or seen == expected:
        return expected
    notes.append(f"the header states {_SYNTAX_NAME[expected]}, the data is {_SYNTAX_NAME[seen]}")
    return seen


_SYNTAX_NAME: Final = {
    IMPLICIT: "implicit little endian",
    EXPLICIT: "explicit little endian",
    BIG_ENDIAN: "explicit big endian",
}


def _uid(meta: dict[BaseTag, RawDataElement], tag: int) -> str:
    found = meta.get(_base_tag(tag))
    return bytes(found.value or b"").rstrip(b"\0 ").decode("ascii", "replace") if found is not None else ""


def _meta(window: _Window, start: int) -> tuple[dict[BaseTag, RawDataElement], int]:
    """Return the elements of group 0002 (always explicit little endian) and where they end.

    The group length is not believed: the group ends where the next one starts.
    """
    meta: dict[BaseTag, RawDataElement] = {}
    pos = start
    while len(meta) < 64:
        first = window.at(pos, 12)
        if len(first) < 8 or first[:2] != b"\x02\x00":
            break
        group, element, vr, length = struct.unpack_from("<HH2sH", first)
        value_at = pos + 8
        if vr in LONG_VR and len(first) == 12:
            (length,) = struct.unpack_from("<I", first, 8)
            value_at = pos + 12
        elif vr not in SHORT_VR:
            vr, length = b"UN", struct.unpack_from("<I", first, 4)[0]
        if value_at + length > window.size:
            raise InputError(
                f"the file ends inside (0002,{element:04X})", needed="the whole file", fix="send it again"
            )
        if length <= _KEPT_BYTES:
            tag = _base_tag(group << 16 | element)
            got = window.at(value_at, length)
            meta[tag] = RawDataElement(tag, vr.decode(), length, got, value_at, False, True)
        pos = value_at + length
    return meta, pos


def _elements(
    window: _Window, pos: int, little: bool, implicit: bool
) -> tuple[dict[BaseTag, RawDataElement], Extent | None]:
    """Return the raw elements before the pixels, and where the pixels are."""
    end = "<" if little else ">"
    head = struct.Struct(f"{end}HH2sH").unpack_from
    four = struct.Struct(f"{end}I").unpack_from
    found: dict[BaseTag, RawDataElement] = {}
    count, size = 0, window.size
    while pos + 8 <= size:
        offset = pos - window.base
        if offset < 0 or offset + 12 > len(window.data):
            window.move(pos)
            offset = pos - window.base
        data = window.data
        group, element, vr, length = head(data, offset)
        explicit, value_at = not implicit, pos + 8
        if implicit or not _is_short(vr):
            # Some writers slip an implicit element into an explicit dataset.
            explicit = not implicit and vr in LONG_VR
            value_at = pos + 12 if explicit else pos + 8
            if value_at > size:
                raise _ends(group, element)
            (length,) = four(data, value_at - 4 - window.base)
        tag = group << 16 | element
        if tag in _PIXELS:
            whole = length == UNDEFINED or value_at + length <= size
            return found, Extent(_PIXELS[tag], value_at, -1 if length == UNDEFINED else length, whole)
        count += 1
        if group == 0 or count > _MAX_ELEMENTS or group == 0xFFFE:
            raise InputError(
                f"no DICOM element at byte {pos}", needed="a dataset to its end", fix="send it again"
            )
        name = _VR_NAME.get(vr, "UN") if explicit else None
        if length == UNDEFINED:
            stop, pos = _sequence_end(window, value_at, end, not explicit or vr == b"UN")
            length, name = stop - value_at, "SQ" if explicit else None
        else:
            pos = value_at + length
            if pos > size:
                raise _ends(group, element)
        long = name == "SQ" or not explicit
        if 0 < length <= (_MAX_SEQUENCE_BYTES if long else _KEPT_BYTES) and _wanted(group, element, tag):
            got = window.at(value_at, length)
            known = _base_tag(tag)
            fields = (known, name, length, got, value_at, not explicit, little, True, False)
            # Past the keyword handling of the named tuple: a header has a hundred of them.
            found[known] = tuple.__new__(RawDataElement, fields)
    return found, None


@lru_cache(maxsize=1 << 12)
def _is_short(vr: bytes) -> bool:
    """Whether an explicit element's length has two bytes; a VR nobody knows is taken to be of that kind."""
    return vr in SHORT_VR or (vr not in LONG_VR and vr.isalpha() and vr.isupper())


def _wanted(group: int, element: int, tag: int) -> bool:
    """Whether an element is kept: no private one, group length, curve, overlay, icon or bulk."""
    odd = group & 1 or element == 0 or tag in _STEPPED_OVER
    return not (odd or 0x5000 <= group < 0x5200 or group >= 0x6000)


def _ends(group: int, element: int) -> InputError:
    return InputError(
        f"the file ends inside ({group:04X},{element:04X})", needed="the whole file", fix="send it again"
    )


def _sequence_end(window: _Window, pos: int, end: str, implicit: bool) -> tuple[int, int]:
    """Return where a sequence of undefined length stops, before and after its delimiter.

    Works for encapsulated bulk data as well: its fragments are items. Defined lengths are
    jumped over, undefined ones walked with a stack, so depth costs no recursion.
    """
    head, four = struct.Struct(f"{end}HH2sH"), struct.Struct(f"{end}I")
    inside_item: list[bool] = [False]
    for _ in range(_MAX_STEPS):
        first = window.at(pos, 12)
        if len(first) < 8:
            break
        group, element, vr, length = head.unpack_from(first)
        tag = group << 16 | element
        if group == 0xFFFE:
            (length,) = four.unpack_from(first, 4)
            at = pos
            pos += 8
            if tag == _SEQUENCE_END and not inside_item[-1]:
                inside_item.pop()
                if not inside_item:
                    return at, pos
            elif tag == _ITEM_END and inside_item[-1]:
                inside_item.pop()
            elif tag == _ITEM and not inside_item[-1]:
                if length == UNDEFINED:
                    inside_item.append(True)
                else:
                    pos += length
            else:
                break
            continue
        if not inside_item[-1]:
            break
        pos += 8
        if implicit or not (_is_short(vr) or vr in LONG_VR):
            (length,) = four.unpack_from(first, 4)
        elif vr in LONG_VR:
            if len(first) < 12:
                break
            (length,) = four.unpack_from(first, 8)
            pos += 4
        if length == UNDEFINED:
            inside_item.append(False)
        else:
            pos += length
        if pos > window.size:
            break
    raise InputError(
        f"a sequence that does not end, near byte {pos}", needed="the whole file", fix="send it again"
    )


_UIDS: Final = ((0x00080018, "SOP"), (0x0020000D, "Study"), (0x0020000E, "Series"))
_TEXT_TAGS: Final = (0x00100010, 0x00081030, 0x0008103E, 0x00181030)


def _guess_charset(elements: dict[BaseTag, RawDataElement], notes: list[str], little: bool) -> None:
    """Where letters beyond ASCII stand without a Specific Character Set, try UTF-8, else Latin-1."""
    declared = elements.get(_base_tag(0x00080005))
    if declared is not None and (declared.value or b"").strip(b" \0"):
        return
    texts = [e.value for t in _TEXT_TAGS if (e := elements.get(_base_tag(t))) is not None and e.value]
    joined = b"".join(texts)
    if joined.isascii():
        return
    try:
        joined.decode("utf-8")
    except UnicodeDecodeError:
        guess, name = b"ISO_IR 100", "Latin-1"
    else:
        guess, name = b"ISO_IR 192", "UTF-8"
    notes.append(f"no character set declared; texts read as {name}")
    tag = _base_tag(0x00080005)
    elements[tag] = RawDataElement(tag, "CS", len(guess), guess, 0, False, little)
