"""Broken, truncated and hostile geometry becomes a problem, quickly, and never an exception."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from carna.doors.arrive import Delivery
from carna.doors.files import HEAD, Blob
from carna.doors.geometry import DOOR, write_ply, write_stl, write_vtp, write_vtu
from carna.progress import SILENT
from carna.space import Mesh, Surface, VesselTree
from carna.study import Geometry

TETRA = np.array([[0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 30]], float)
BODY = Surface(TETRA, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]))
LEGACY = (
    "# vtk DataFile Version 3.0\nt\nASCII\nDATASET POLYDATA\nPOINTS 4 float\n0 0 0\n30 0 0\n0 30 0\n0 0 30\n"
    "POLYGONS 4 16\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"
    "POINT_DATA 4\nSCALARS s float\nLOOKUP_TABLE default\n1 2 3 4\n"
)


def read(name: str, data: bytes) -> Delivery | None:
    given = Blob(name, len(data), lambda: data, data[:HEAD])
    return DOOR.read([given], SILENT) if DOOR.claims(given) else None


def problem(name: str, data: bytes) -> str:
    delivery = read(name, data)
    assert delivery is not None and not delivery.arrivals
    (found,) = delivery.problems
    return str(found)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("POINTS 4", "POINTS 1000000000000", "declared"),
        ("POLYGONS 4 16", "POLYGONS 1000000000000 16", "ends after"),
        ("POLYGONS 4 16", "POLYGONS 4 1000000000000", "declared"),
        ("30 0 0", "nan 0 0", "not finite"),
        ("30 0 0", "1e200 0 0", "a coordinate of 1e+200"),
        ("3 1 2 3", "3 1 2 9", "points to 9"),
        ("3 1 2 3", "3 1 2 -1", "points to -1"),
        ("3 1 2 3", "5 1 2 3", "18 numbers, 16 given"),
        ("30 0 0", "x 0 0", "no number"),
        ("POLYDATA", "STRUCTURED_POINTS", "STRUCTURED_POINTS"),
        ("ASCII", "EBCDIC", "data mode"),
        ("1 2 3 4\n", "1 2\n", "ends after"),
        ("SCALARS s float", "SCALARS s quaternion", "quaternion"),
        ("POINT_DATA 4\nSCALARS", "POINT_DATA 4\nWIBBLE", "WIBBLE"),
    ],
)
def test_legacy_files_that_lie(old: str, new: str, says: str) -> None:
    assert says in problem("t.vtk", LEGACY.replace(old, new).encode())
    whole = read("t.vtk", LEGACY.encode())
    assert whole is not None and whole.arrivals


def test_hostile_sizes_in_the_other_formats() -> None:
    ply = write_ply(BODY)
    assert "10000000000" in problem("t.ply", ply.replace(b"vertex 4", b"vertex 10000000000000"))
    assert "triangles" in problem("t.stl", write_stl(BODY)[:80] + b"\xff\xff\xff\xff" + write_stl(BODY)[84:])
    vtp = write_vtp(BODY)
    assert "coordinates" in problem(
        "t.vtp", vtp.replace(b'NumberOfPoints="4"', b'NumberOfPoints="4000000000000"')
    )
    assert "LZ4" in problem("t.vtp", vtp.replace(b"vtkZLib", b"vtkLZ4"))
    assert "ImageData" in problem("t.vti", vtp.replace(b'"PolyData"', b'"ImageData"'))
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>' + vtp[21:]
    assert "document type" in problem("t.vtp", bomb)
    other = b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/hostname">' + vtp[21:]
    assert "document type" in problem("t.vtp", other)


@pytest.mark.parametrize("n", [0.2, 0.5, 0.9, 0.99])
def test_truncated_files(n: float) -> None:
    for name, data in (
        ("t.vtp", write_vtp(BODY)),
        ("t.stl", write_stl(BODY)),
        ("t.ply", write_ply(BODY)),
        ("t.vtk", LEGACY.encode()),
    ):
        delivery = read(name, data[: int(len(data) * n)])
        if delivery is None:
            continue  # the name of the format itself is gone
        if name != "t.vtk" or n < 0.5:  # a text file cut at the end of a section is whole
            assert delivery.problems and not delivery.arrivals


def mutants(n: int) -> Iterator[tuple[str, bytes]]:
    """Valid files with bytes changed, cut out, doubled or inserted."""
    rng = np.random.default_rng(n)
    mesh = Mesh(TETRA, np.array([[0, 1, 2, 3]]))
    tree = VesselTree(TETRA, np.array([[0, 1], [1, 2]]), np.ones(4))
    binary = (
        b"# vtk DataFile Version 5.1\nt\nBINARY\nDATASET POLYDATA\nPOINTS 4 double\n"
        + TETRA.astype(">f8").tobytes()
    )
    binary += b"\nPOLYGONS 2 3\nOFFSETS vtktypeint64\n" + np.array([0, 3], ">i8").tobytes()
    binary += b"\nCONNECTIVITY vtktypeint64\n" + np.array([0, 1, 2], ">i8").tobytes() + b"\n"
    seeds = [
        ("t.vtk", LEGACY.encode()),
        ("t.vtk", binary),
        ("t.vtp", write_vtp(BODY, {"a": np.arange(4.0)})),
        ("t.vtp", write_vtp(tree)),
        ("t.vtu", write_vtu(mesh)),
        ("t.stl", write_stl(BODY)),
        ("t.ply", write_ply(BODY)),
        ("t.csv", b"x_mm,y_mm,z_mm,radius_mm,branch\n0,0,0,1,a\n1,0,0,1,a\n2,0,5,1,b\n"),
    ]
    for _ in range(n):
        name, data = seeds[rng.integers(len(seeds))]
        bad = bytearray(data)
        for _ in range(rng.integers(1, 6)):
            at = int(rng.integers(len(bad)))
            match rng.integers(4):
                case 0:
                    bad[at] = int(rng.integers(256))
                case 1:
                    del bad[at : at + int(rng.integers(1, 40))]
                case 2:
                    bad[at:at] = bad[at : at + int(rng.integers(1, 40))]
                case _:
                    bad[at:at] = rng.choice([b"9999999999", b"-1", b"nan", b"\x00", b"\xff" * 8])
            if not bad:
                break
        yield name, bytes(bad)


def fuzz(n: int) -> None:
    kept = 0
    for name, data in mutants(n):
        delivery = read(name, data)
        if delivery is None:
            continue
        assert delivery.arrivals or delivery.problems
        for arrival in delivery.arrivals:
            assert isinstance(arrival.part, Geometry)
            assert np.isfinite(arrival.part.shape.points).all()
            kept += 1
    assert kept  # the mutants are close enough to be read at times


def test_mutated_files_never_raise() -> None:
    fuzz(200)


@pytest.mark.slow
def test_many_mutated_files_never_raise() -> None:
    fuzz(2000)
