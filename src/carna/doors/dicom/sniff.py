"""Sniff: does a file start as DICOM does, and in which encoding? Standard library only.

Every file of a folder is asked, so this must not cost the import of pydicom.
"""

from __future__ import annotations

import struct
from typing import Final

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

LONG_VR: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
SHORT_VR: Final = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
     b"SS", b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip
UNDEFINED: Final = 0xFFFFFFFF


def looks_like_dicom(head: bytes) -> bool:
    """Whether there is ``DICM`` at 128 or at 0, or two plausible elements at the start."""
    return head[128:132] == b"DICM" or head[:4] == b"DICM" or encoding(head, 0) is not None


def encoding(data: bytes, pos: int, *, any_group: bool = False) -> str | None:
    """Return the syntax in which two plausible elements stand at ``pos``, None if they do not.

    A dataset starts with group 0008, file meta information with 0002; ``any_group`` is for
    what follows a preamble, where the file has said already that it is DICOM.
    """
    for end, other, explicit in (("<", ">", EXPLICIT), (">", "<", BIG_ENDIAN)):
        first = _step(data, pos, end)
        if first is None:
            continue
        group = first[0] >> 16
        # The wrong byte order makes of a small group number a large one.
        if group > struct.unpack_from(f"{other}H", data, pos)[0]:
            continue
        if not (group in (0x0002, 0x0008) or (any_group and group > 0)):
            continue
        second = _step(data, first[1], end)
        beyond = second is None and first[1] + 8 > len(data)
        if beyond or (second is not None and first[0] < second[0] < (1 << 31 if any_group else 0x00200000)):
            return explicit if first[2] else (IMPLICIT if end == "<" else None)
    return None


def _step(data: bytes, pos: int, end: str) -> tuple[int, int, bool] | None:
    """Return tag, end and whether the VR is explicit of a plausible short element, else None."""
    if pos + 8 > len(data):
        return None
    group, element, vr, short = struct.unpack_from(f"{end}HH2sH", data, pos)
    tag = group << 16 | element
    if vr in SHORT_VR:
        return tag, pos + 8 + short, True
    if vr in LONG_VR and pos + 12 <= len(data):
        (length,) = struct.unpack_from(f"{end}I", data, pos + 8)
        return tag, pos + 12 + (0 if length == UNDEFINED else length), True
    (length,) = struct.unpack_from(f"{end}I", data, pos + 4)
    return (tag, pos + 8 + length, False) if length < 1 << 12 and length % 2 == 0 else None
