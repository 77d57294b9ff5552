"""STL: triangles without a mesh, in text or binary; equal corners become one point.

Layout: 3D Systems, "StereoLithography Interface Specification" (1989): binary files have 80 free
bytes, a count, then 50 bytes a triangle (normal, three corners, an attribute), little-endian.
"""

from __future__ import annotations

import re

import numpy as np

from carna.doors.geometry.cells import TRIANGLE, Cells
from carna.doors.geometry.vtk_legacy import numbers
from carna.errors import InputError
from carna.space import Floats

_HEADER, _RECORD = 84, 50
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)")


def read(data: bytes) -> Cells:
    """Return the triangles of an STL file, corners merged where all three coordinates are equal.

    Raises
    ------
    InputError
        If the file ends before its last triangle.
    """
    # Some binary files begin with "solid" too; the size tells.
    count = int.from_bytes(data[80:_HEADER], "little")
    if len(data) >= _HEADER and len(data) == _HEADER + _RECORD * count:
        corners = np.frombuffer(data, _FACET, count, _HEADER)["corners"].reshape(-1, 3).astype(np.float64)
        return _merged(corners, data[:80].decode("latin-1"))
    if data.lstrip()[:5].lower() == b"solid" and b"facet" in data[:4096].lower():
        return _text(data)
    raise InputError(
        f"{len(data)} bytes for {count} triangles",
        needed=f"{_HEADER + _RECORD * count} bytes",
        fix="send it again",
    )


def _text(data: bytes) -> Cells:
    lower = data.lower()
    found = _VERTEX.findall(lower)
    facets = len(re.findall(rb"\bendfacet\b", lower))
    if b"endsolid" not in lower or len(found) != 3 * facets:
        raise InputError(
            f"{len(found)} corners, {facets} whole facets",
            needed="3 corners a facet, and endsolid",
            fix="send it again",
        )
    words = [word for corner in found for word in corner]
    return _merged(numbers(words, "f8").reshape(-1, 3), data[: data.find(b"\n")].decode("latin-1"))


def _merged(corners: Floats, header: str) -> Cells:
    # -0.0 and 0.0 are one place.
    points, index = np.unique(corners + 0.0, axis=0, return_inverse=True)
    return Cells.of(points, [(TRIANGLE, index.reshape(-1, 3))], header=header)
