"""Writers: a surface, a mesh or a vessel tree as VTP, VTU, STL or PLY bytes.

Each writes LPS millimetres and says so where the format has room; what a format can't carry
(STL: fields and edges) is refused, never dropped.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from carna.doors.geometry.cells import HEXAHEDRON, LINE, TETRA, TRIANGLE
from carna.errors import InputError
from carna.space import Floats, Mesh, Surface, VesselTree

_NONE: Mapping[str, Floats] = MappingProxyType({})
_BLOCK = 1 << 15


def write_vtp(
    shape: Surface | VesselTree,
    fields: Mapping[str, Floats] = _NONE,
    cell_fields: Mapping[str, Floats] = _NONE,
) -> bytes:
    """Return a surface or a vessel tree as VTK XML PolyData, arrays packed by zlib.

    Parameters
    ----------
    shape : Surface or VesselTree
        The radii of a tree become the point field ``radius``.
    fields, cell_fields : mapping
        Name to ``(points, ...)`` and ``(triangles or edges, ...)`` values.
    """
    rows = shape.triangles if isinstance(shape, Surface) else shape.edges
    fields = _with_radius(shape, fields)
    ends = np.arange(1, len(rows) + 1) * rows.shape[1]
    lists = _array("connectivity", rows.ravel()) + _array("offsets", ends)
    name = "Polys" if isinstance(shape, Surface) else "Lines"
    # Isolated points of a tree without edges have to be vertices, or a viewer shows nothing.
    if isinstance(shape, VesselTree) and not len(rows):
        n = len(shape.points)
        name, rows = "Verts", np.zeros((n, 1), np.int64)
        lists = _array("connectivity", np.arange(n)) + _array("offsets", np.arange(1, n + 1))
    counts = "".join(
        f' NumberOf{kind}="{len(rows) if kind == name else 0}"'
        for kind in ("Verts", "Lines", "Strips", "Polys")
    )
    body = f"<{name}>{lists}</{name}>"
    return _document("PolyData", shape.points, counts, body, fields, cell_fields)


def write_vtu(
    shape: Surface | Mesh | VesselTree,
    fields: Mapping[str, Floats] = _NONE,
    cell_fields: Mapping[str, Floats] = _NONE,
) -> bytes:
    """Return any shape as VTK XML UnstructuredGrid, arrays packed by zlib."""
    match shape:
        case Surface():
            rows, kind = shape.triangles, TRIANGLE
        case Mesh():
            rows, kind = shape.cells, TETRA if shape.cells.shape[1] == 4 else HEXAHEDRON
        case VesselTree():
            rows, kind = shape.edges, LINE
    body = (
        f"<Cells>{_array('connectivity', rows.ravel())}"
        f"{_array('offsets', np.arange(1, len(rows) + 1) * rows.shape[1])}"
        f"{_array('types', np.full(len(rows), kind, np.uint8))}</Cells>"
    )
    counts = f' NumberOfCells="{len(rows)}"'
    return _document("UnstructuredGrid", shape.points, counts, body, _with_radius(shape, fields), cell_fields)


def write_stl(surface: Surface) -> bytes:
    """Return a surface as binary STL; coordinates become 32-bit, so 7 digits of them remain."""
    record = np.zeros(
        len(surface.triangles),
        np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]),
    )
    corners = surface.points[surface.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    record["normal"] = normal / np.where(length > 0, length, 1.0)
    record["corners"] = corners
    header = b"Carna SPACE=LPS UNIT=mm".ljust(80)
    return header + len(record).to_bytes(4, "little") + record.tobytes()


def write_ply(surface: Surface, fields: Mapping[str, Floats] = _NONE) -> bytes:
    """Return a surface as little-endian PLY; each field must have one value a point.

    Raises
    ------
    InputError
        If a field is no column of one number a point, or its name has a space.
    """
    for name, values in fields.items():
        if np.shape(values) != (len(surface.points),) or not name.isidentifier():
            raise InputError(
                f"the field {name!r} of shape {np.shape(values)}",
                needed="one number a point, a name of one word",
            )
    names = ["x", "y", "z", *fields]
    vertex = np.zeros(len(surface.points), np.dtype([(name, "<f8") for name in names]))
    for n, axis in enumerate("xyz"):
        vertex[axis] = surface.points[:, n]
    for name, values in fields.items():
        vertex[name] = values
    face = np.zeros(len(surface.triangles), np.dtype([("n", "u1"), ("corners", "<i4", 3)]))
    face["n"], face["corners"] = 3, surface.triangles
    header = [
        "ply", "format binary_little_endian 1.0", "comment Carna SPACE=LPS UNIT=mm",
        f"element vertex {len(vertex)}", *(f"property double {name}" for name in names),
        f"element face {len(face)}", "property list uchar int vertex_indices", "end_header", "",
    ]  # fmt: skip
    return "\n".join(header).encode() + vertex.tobytes() + face.tobytes()


def _with_radius(shape: Surface | Mesh | VesselTree, fields: Mapping[str, Floats]) -> Mapping[str, Floats]:
    if isinstance(shape, VesselTree) and shape.radius_mm is not None:
        return {"radius": shape.radius_mm} | dict(fields)
    return fields


def _document(
    kind: str,
    points: Floats,
    counts: str,
    body: str,
    fields: Mapping[str, Floats],
    cell_fields: Mapping[str, Floats],
) -> bytes:
    def block(name: str, values: Mapping[str, Floats]) -> str:
        arrays = "".join(_array(key, np.asarray(value, float)) for key, value in values.items())
        return f"<{name}>{arrays}</{name}>"

    return (
        '<?xml version="1.0"?>\n<!-- Carna SPACE=LPS UNIT=mm -->\n'
        f'<VTKFile type="{kind}" version="1.0" byte_order="LittleEndian" header_type="UInt64" '
        'compressor="vtkZLibDataCompressor">\n'
        f'<{kind}><Piece NumberOfPoints="{len(points)}"{counts}>'
        f"<Points>{_array('Points', points)}</Points>{body}"
        f"{block('PointData', fields)}{block('CellData', cell_fields)}</Piece></{kind}></VTKFile>\n"
    ).encode()


def _array(name: str, values: npt.NDArray[Any]) -> str:
    """Return a DataArray in base64, cut into blocks that zlib packs."""
    kind = {"f": "Float64", "i": "Int64", "u": "UInt8"}[values.dtype.kind]
    dtype = {"f": "<f8", "i": "<i8", "u": "u1"}[values.dtype.kind]
    raw = np.ascontiguousarray(values, dtype).tobytes()
    blocks = [raw[n : n + _BLOCK] for n in range(0, len(raw), _BLOCK)]
    packed = [zlib.compress(block) for block in blocks]
    header = [len(blocks), _BLOCK, len(raw) % _BLOCK, *map(len, packed)]
    text = base64.b64encode(np.array(header, "<u8").tobytes()) + base64.b64encode(b"".join(packed))
    width = 1 if values.ndim == 1 else values.shape[1]
    return (
        f'<DataArray type="{kind}" Name={quoteattr(name)} NumberOfComponents="{width}" format="binary">'
        f"{text.decode()}</DataArray>"
    )
