"""Values that say nothing and are valid: what stands in the place of a value that may not be empty."""

from __future__ import annotations

from typing import Final

REMOVED: Final = "REMOVED"
_TEXT: Final = {
    "DA": "19000101",
    "TM": "000000",
    "DT": "19000101000000",
    "AS": "000Y",
    "IS": "0",
    "DS": "0",
    "UR": "urn:removed",
}
_BYTES: Final = {"FD": 8, "FL": 4, "SL": 4, "UL": 4, "SS": 2, "US": 2, "AT": 4, "SV": 8, "UV": 8}
_CODING_SCHEME: Final = 0x00080102
_DOCUMENT: Final = 0x00420011


def dummy(tag: int, vr: str, length: int = 0, mime: str = "") -> bytes:
    """Return the dummy value of an attribute, of even length.

    Parameters
    ----------
    length : int
        Bytes of the value it replaces: numbers keep how many there were.
    mime : str
        For an encapsulated document, its kind: a document that opens and is empty.
    """
    if tag == _DOCUMENT:
        return _document(mime)
    if vr in _BYTES:
        return bytes(max(length // _BYTES[vr], 1) * _BYTES[vr])
    if vr in ("OB", "OW", "OF", "OD", "OL", "OV", "UN"):
        return bytes(8)
    if tag == _CODING_SCHEME:
        # A scheme that no standard defines begins with 99.
        return b"99REMOVED "
    text = _TEXT.get(vr, REMOVED).encode()
    return text + b" " * (len(text) % 2)


def _document(mime: str) -> bytes:
    if mime == "application/pdf":
        return _pdf()
    if mime in ("text/XML", "text/xml", "application/xml"):
        return b"<removed/> "[: len(b"<removed/>")]
    return bytes(8)


def _pdf() -> bytes:
    """Return a PDF of one empty page, with a table of where its objects are."""
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
    )
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    entries = b"".join(b"%010d 00000 n \n" % at for at in places)
    end = b"xref\n0 4\n0000000000 65535 f \n%strailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    whole = data + end % (entries, len(data))
    return whole + b"\n" * (len(whole) % 2)
