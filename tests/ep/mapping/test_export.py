"""Maps on their way out: what another program reads from the files is what was mapped, in LPS millimetres."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest

from carna.doors.geometry import write_ply, write_stl, write_vtp, write_vtu
from carna.ep.mapping import conduction_velocity, early_meets_late, isochrones, voltage_zones
from carna.space import Surface

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def wall() -> Surface:
    """A bent strip far from the origin on every axis, so that a swapped or mirrored axis shows."""
    u, w = (g.ravel() for g in np.meshgrid(np.arange(0, 40, 2.0), np.arange(0, 30, 2.0), indexing="ij"))
    points = np.stack([u - 70.0, w + 25.0, 0.02 * u**2 + 130.0], axis=1)
    cell = (np.arange(19)[:, None] * 15 + np.arange(14)).ravel()
    halves = [np.stack([cell, cell + 15, cell + 16], 1), np.stack([cell, cell + 16, cell + 1], 1)]
    return Surface(points, np.concatenate(halves))


@pytest.fixture(scope="module")
def fields(wall: Surface) -> dict[str, Floats]:
    lat = np.linalg.norm(wall.points - wall.points[0], axis=1) / 0.6
    lat[7] = np.nan  # a point without a time has no velocity either
    bipolar = np.where(wall.points[:, 0] < -50, 0.4, 1.8)
    velocity = conduction_velocity(wall, lat)
    assert np.isfinite(velocity.vector_m_s).all(axis=1).mean() > 0.9
    zones = voltage_zones(bipolar).astype(float)
    return {"lat_ms": lat, "bipolar_mv": bipolar, "zone": zones, "velocity_m_s": velocity.vector_m_s}


def vtp(data: bytes) -> dict[str, Floats]:
    """Every array of a VTP file, by its documented layout: base64 of a header, then blocks packed by zlib."""
    root = ET.fromstring(data)
    assert root.get("byte_order") == "LittleEndian"
    word = {"UInt32": "I", "UInt64": "Q"}[root.get("header_type", "UInt32")]
    kinds = {"Float64": "<f8", "Float32": "<f4", "Int64": "<i8", "Int32": "<i4", "UInt8": "u1"}
    found = {}
    for array in root.iter("DataArray"):
        text = "".join((array.text or "").split())
        size = struct.calcsize("<" + word)
        blocks = struct.unpack("<" + word, base64.b64decode(text[:16])[:size])[0]
        head = 4 * -(-(3 + blocks) * size // 3)
        lengths = struct.unpack(f"<{3 + blocks}{word}", base64.b64decode(text[:head])[: (3 + blocks) * size])[
            3:
        ]
        packed = io.BytesIO(base64.b64decode(text[head:]))
        raw = b"".join(zlib.decompress(packed.read(n)) for n in lengths)
        values = np.frombuffer(raw, kinds[array.get("type", "")])
        columns = int(array.get("NumberOfComponents", "1"))
        found[array.get("Name", "points")] = values.reshape(-1, columns) if columns > 1 else values
    return found


def test_vtp_holds_the_map_its_velocities_and_its_lines(wall: Surface, fields: dict[str, Floats]) -> None:
    found = vtp(write_vtp(wall, fields))
    (points,) = (v for v in found.values() if v.shape == wall.points.shape and np.array_equal(v, wall.points))
    assert points[:, 2].min() >= 130
    np.testing.assert_array_equal(found["connectivity"].reshape(-1, 3), wall.triangles)
    for name, values in fields.items():
        np.testing.assert_array_equal(found[name], values)
    lines, level = isochrones(wall, fields["lat_ms"], [10.0, 20.0, 30.0])
    read = vtp(write_vtp(lines, {"lat_ms": level}))
    np.testing.assert_array_equal(read["connectivity"].reshape(-1, 2), lines.edges)
    np.testing.assert_array_equal(read["lat_ms"], level)
    meets, _ = early_meets_late(wall, (fields["lat_ms"] * 2) % 60, 60.0)
    assert len(meets.edges)
    np.testing.assert_array_equal(vtp(write_vtp(meets))["connectivity"].reshape(-1, 2), meets.edges)


@pytest.mark.peer
def test_another_library_reads_the_same(
    wall: Surface, fields: dict[str, Floats], library: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    meshio = library("meshio")
    scalars = {k: v for k, v in fields.items() if v.ndim == 1}
    for name, data in (
        ("map.vtu", write_vtu(wall, fields)),
        ("map.ply", write_ply(wall, scalars)),
        ("map.stl", write_stl(wall)),
    ):
        file = tmp_path / name
        file.write_bytes(data)
        mesh = meshio.read(file)
        corners = mesh.points[mesh.cells_dict["triangle"]]
        np.testing.assert_allclose(corners, wall.points[wall.triangles], atol=1e-4 if ".stl" in name else 0)
        for field, values in mesh.point_data.items():
            np.testing.assert_array_equal(np.reshape(values, fields[field].shape), fields[field])
        wanted = {"map.vtu": set(fields), "map.ply": set(scalars), "map.stl": set()}[name]
        assert set(mesh.point_data) == wanted
