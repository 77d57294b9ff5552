"""Each format gives the same body: area, volume, length and fields, against closed forms and meshio."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from carna.doors.files import HEAD, Blob, walk
from carna.doors.geometry import DOOR, write_ply, write_stl, write_vtp, write_vtu
from carna.errors import InputError
from carna.progress import SILENT
from carna.space import Mesh, Surface, VesselTree
from carna.study import Geometry

Array = npt.NDArray[Any]
Data = Callable[[str], Path]
Library = Callable[[str], ModuleType]

RADIUS = 20.0


def blob(name: str, data: bytes, **near: bytes) -> Blob:
    around = {key: Blob(key, len(value), partial(bytes, value), value[:HEAD]) for key, value in near.items()}
    return Blob(name, len(data), lambda: data, data[:HEAD], None, around)


def parts(name: str, data: bytes, **near: bytes) -> list[Geometry]:
    given = blob(name, data, **near)
    assert DOOR.claims(given)
    delivery = DOOR.read([given], SILENT)
    assert not delivery.problems, delivery.problems
    found = [a.part for a in delivery.arrivals]
    assert all(isinstance(p, Geometry) for p in found)
    return found  # type: ignore[return-value]


def sphere(n: int = 48) -> Surface:
    """A sphere of radius 20 mm off the origin, 2 n x n quads cut into triangles, poles included."""
    theta = np.linspace(0, np.pi, n + 1)[1:-1]
    phi = np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    ring = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1).reshape(-1, 3)
    points = np.concatenate([ring, [[0, 0, 1], [0, 0, -1]]]) * RADIUS + (10.0, -30.0, 100.0)
    m = 2 * n
    rows = []
    for j in range(m):
        k = (j + 1) % m
        rows += [[len(ring), j, k], [len(ring) + 1, (n - 2) * m + k, (n - 2) * m + j]]
        for i in range(n - 2):
            a, b, c, d = i * m + j, (i + 1) * m + j, (i + 1) * m + k, i * m + k
            rows += [[a, b, c], [a, c, d]]
    return Surface(points, np.array(rows))


def legacy(surface: Surface, *, binary: bool, version: str) -> bytes:
    points, rows = surface.points, surface.triangles
    value = np.arange(len(points), dtype=float)
    flat = np.concatenate([np.full((len(rows), 1), 3), rows], axis=1)

    def put(array: Array, dtype: str) -> bytes:
        if binary:
            return array.astype(dtype).tobytes() + b"\n"
        return (
            "\n".join(" ".join(repr(x) for x in row) for row in np.atleast_2d(array).tolist()).encode()
            + b"\n"
        )

    out = f"# vtk DataFile Version {version}\na sphere\n{'BINARY' if binary else 'ASCII'}\n".encode()
    out += f"DATASET POLYDATA\nPOINTS {len(points)} double\n".encode() + put(points, ">f8")
    if version.startswith("5"):
        out += f"METADATA\nINFORMATION 0\n\nPOLYGONS {len(rows) + 1} {rows.size}\n".encode()
        out += b"OFFSETS vtktypeint64\n"
        out += put(np.arange(len(rows) + 1) * 3, ">i8") + b"CONNECTIVITY vtktypeint64\n" + put(rows, ">i8")
    else:
        out += f"POLYGONS {len(rows)} {flat.size}\n".encode() + put(flat, ">i4")
    out += f"CELL_DATA {len(rows)}\nSCALARS cell int 1\nLOOKUP_TABLE default\n".encode()
    out += put(np.arange(len(rows)), ">i4")
    out += f"POINT_DATA {len(points)}\nSCALARS a%20name float\nLOOKUP_TABLE default\n".encode() + put(
        value, ">f4"
    )
    out += b"VECTORS v double\n" + put(points * 2, ">f8")
    out += f"FIELD FieldData 1\nf 2 {len(points)} double\n".encode() + put(
        np.stack([value, -value], 1), ">f8"
    )
    return out


def xml(surface: Surface, *, form: str, order: str = "<", header: str = "u4", packed: bool = False) -> bytes:
    """Write a VTP by hand: every combination VTK itself can write."""
    arrays = {
        "Points": (surface.points, "Float64", "f8"),
        "connectivity": (surface.triangles.ravel(), "Int64", "i8"),
        "offsets": (np.arange(1, len(surface.triangles) + 1) * 3, "Int32", "i4"),
    }
    appended = b""
    nodes = {}
    for name, (values, kind, dtype) in arrays.items():
        raw = np.ascontiguousarray(values, order + dtype).tobytes()
        if packed:
            size = 1000
            blocks = [raw[i : i + size] for i in range(0, len(raw), size)]
            small = [zlib.compress(b) for b in blocks]
            head = np.array([len(blocks), size, len(raw) % size, *map(len, small)], order + header).tobytes()
            plain, coded = head + b"".join(small), base64.b64encode(head) + base64.b64encode(b"".join(small))
        else:
            head = np.array([len(raw)], order + header).tobytes()
            plain, coded = head + raw, base64.b64encode(head + raw)
        width = 3 if name == "Points" else 1
        start = f'<DataArray type="{kind}" Name="{name}" NumberOfComponents="{width}"'
        if form == "ascii":
            text = " ".join(repr(v) for v in values.ravel().tolist())
            nodes[name] = f'{start} format="ascii">{text}</DataArray>'
        elif form == "binary":
            nodes[name] = f'{start} format="binary">\n  {coded.decode()}\n</DataArray>'
        else:
            nodes[name] = f'{start} format="appended" offset="{len(appended)}"/>'
            appended += plain if form == "raw" else coded
    names = {"<": "LittleEndian", ">": "BigEndian"}
    packer = ' compressor="vtkZLibDataCompressor"' if packed else ""
    tail = b""
    if form in ("raw", "base64"):
        tail = f'<AppendedData encoding="{form}">\n_'.encode() + appended + b"\n</AppendedData>"
    return (
        (
            f'<VTKFile type="PolyData" version="1.0" byte_order="{names[order]}" '
            f'header_type="{ {"u4": "UInt32", "u8": "UInt64"}[header] }"{packer}><PolyData>'
            f'<Piece NumberOfPoints="{len(surface.points)}" NumberOfPolys="{len(surface.triangles)}">'
            f"<Points>{nodes['Points']}</Points><Polys>{nodes['connectivity']}{nodes['offsets']}</Polys>"
            "</Piece></PolyData>"
        ).encode()
        + tail
        + b"</VTKFile>"
    )


def stl_text(surface: Surface) -> bytes:
    out = ["solid body"]
    for row in surface.triangles:
        out += ["facet normal 0 0 0", "outer loop"]
        out += [f"vertex {x:.9g} {y:.9g} {z:.9g}" for x, y, z in surface.points[row]]
        out += ["endloop", "endfacet"]
    return "\n".join([*out, "endsolid body"]).encode()


def ply_text(surface: Surface) -> bytes:
    out = ["ply", "format ascii 1.0", "comment x", f"element vertex {len(surface.points)}"]
    out += [f"property float {a}" for a in "xyz"] + ["property uchar red"]
    out += [f"element face {len(surface.triangles)}", "property list uchar int vertex_index", "end_header"]
    out += [f"{x!r} {y!r} {z!r} 7" for x, y, z in surface.points.tolist()]
    out += [f"3 {a} {b} {c}" for a, b, c in surface.triangles.tolist()]
    return "\n".join(out).encode()


def ply_big(surface: Surface) -> bytes:
    head = ["ply", "format binary_big_endian 1.0", f"element vertex {len(surface.points)}"]
    head += [f"property double {a}" for a in "xyz"]
    head += [
        f"element face {len(surface.triangles)}",
        "property list uchar uint vertex_indices",
        "end_header",
        "",
    ]
    face = np.zeros(len(surface.triangles), np.dtype([("n", "u1"), ("c", ">u4", 3)]))
    face["n"], face["c"] = 3, surface.triangles
    return "\n".join(head).encode() + surface.points.astype(">f8").tobytes() + face.tobytes()


def named(name: str, write: Callable[..., bytes], **how: Any) -> Callable[[Surface], tuple[str, bytes]]:
    return lambda surface: (name, write(surface, **how))


FILES = {
    "stl": named("s.stl", write_stl),
    "stl text": named("s.stl", stl_text),
    "ply": named("s.ply", write_ply),
    "ply text": named("s.ply", ply_text),
    "ply big": named("s.ply", ply_big),
    "vtp": named("s.vtp", write_vtp),
    "vtu": named("s.vtu", write_vtu),
    **{
        f"vtk {version} {binary}": named("s.vtk", legacy, binary=binary, version=version)
        for version in ("2.0", "4.2", "5.1")
        for binary in (True, False)
    },
    **{
        f"xml {form} {order} {width} {packed}": named(
            "s.vtp", xml, form=form, order=order, header=width, packed=packed
        )
        for form in ("ascii", "binary", "raw", "base64")
        for order in "<>"
        for width in ("u4", "u8")
        for packed in (False, True)
    },
}


@pytest.mark.parametrize("name", FILES)
def test_a_sphere_keeps_its_area_and_volume(name: str) -> None:
    body = sphere()
    (part,) = parts(*FILES[name](body))
    assert isinstance(part.shape, Surface)
    # Inscribed: both fall short of the closed form by O(h^2), and never exceed it.
    assert part.shape.area_mm2 == pytest.approx(4 * np.pi * RADIUS**2, rel=2e-3)
    assert part.shape.volume_ml == pytest.approx(4 / 3 * np.pi * RADIUS**3 / 1000, rel=3e-3)
    assert part.shape.volume_ml < 4 / 3 * np.pi * RADIUS**3 / 1000
    assert part.shape.volume_ml == pytest.approx(body.volume_ml, rel=1e-6)
    assert len(part.shape.points) == len(body.points)
    assert any("read as mm" in n or "states its unit" in n for n in part.origin.notes)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["3.0", "5.1"])
def test_legacy_fields(binary: bool, version: str) -> None:
    body = sphere(6)
    (part,) = parts("s.vtk", legacy(body, binary=binary, version=version))
    n = np.arange(len(body.points))
    np.testing.assert_array_equal(part.fields["a name"], n)
    np.testing.assert_allclose(part.fields["v"], body.points * 2)
    np.testing.assert_array_equal(part.fields["f"], np.stack([n, -n], 1))
    np.testing.assert_array_equal(part.cell_fields["cell"], np.arange(len(body.triangles)))
    assert part.origin.facts["Title"] == "a sphere"


def test_strips_polygons_and_lines_in_one_file() -> None:
    text = (
        "# vtk DataFile Version 3.0\nmixed\nASCII\nDATASET POLYDATA\nPOINTS 6 float\n"
        "0 0 0 1 0 0\n0 1 0 1 1 0 0 2 0 1 2 0\n"
        "TRIANGLE_STRIPS 1 7\n6 0 1 2 3 4 5\nPOLYGONS 1 5\n4 0 1 3 2\nLINES 2 6\n2 0 4\n2 1 5\n"
        "VERTICES 1 2\n1 0\nCELL_DATA 5\nSCALARS s int\nLOOKUP_TABLE default\n9 1 2 3 4\n"
    )
    tree, surface = parts("m.vtk", text.encode())
    assert isinstance(tree.shape, VesselTree) and isinstance(surface.shape, Surface)
    assert tree.shape.length_mm == 4.0
    assert len(tree.shape.points) == 4
    # The quad (1 x 1) and the strip (1 x 2): all wound the same way.
    assert surface.shape.area_mm2 == pytest.approx(3.0)
    a, b, c = (surface.shape.points[surface.shape.triangles[:, i]] for i in range(3))
    np.testing.assert_allclose(np.cross(b - a, c - a)[:, 2], 1.0)
    # Cell data counts vertices, lines, polygons, strips, whatever the order in the file.
    assert tree.cell_fields["s"].tolist() == [1, 2]
    assert surface.cell_fields["s"].tolist() == [3, 3, 4, 4, 4, 4]
    assert any("single points" in n for n in surface.origin.notes)


def test_tetrahedra_hexahedra_and_voxels() -> None:
    corners = np.array([[i, j, k] for k in (0, 1) for j in (0, 1) for i in (0, 1)], float)
    text = (
        "# vtk DataFile Version 2.0\nm\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 8 double\n"
        + " ".join(str(v) for v in corners.ravel())
        + "\nCELLS 4 28\n4 0 1 2 4\n8 0 1 2 3 4 5 6 7\n8 0 1 3 2 4 5 7 6\n4 1 2 3 7\n"
        "CELL_TYPES 4\n10 11 12 10\n"
        "POINT_DATA 8\nSCALARS p double\nLOOKUP_TABLE default\n0 1 2 3 4 5 6 7\n"
    )
    tets, hexes = parts("m.vtk", text.encode())
    assert isinstance(tets.shape, Mesh) and isinstance(hexes.shape, Mesh)
    assert tets.shape.cells.shape == (2, 4)
    # A voxel turned into a hexahedron is the hexahedron.
    np.testing.assert_array_equal(hexes.shape.cells[0], hexes.shape.cells[1])
    assert len(tets.shape.points) == 6
    np.testing.assert_array_equal(tets.fields["p"], [0, 1, 2, 3, 4, 7])


def test_meshes_and_trees_survive_the_writers() -> None:
    points = np.random.default_rng(0).normal(size=(9, 3)) * 30
    tet = Mesh(points, np.array([[0, 1, 2, 3], [4, 5, 6, 7]]))
    hexa = Mesh(points, np.arange(8)[None])
    tree = VesselTree(points, np.array([[0, 1], [1, 2], [1, 8]]), np.linspace(0.5, 3, 9))
    lonely = VesselTree(points, np.zeros((0, 2), int))
    value, vector = np.arange(9.0), points * 3
    for shape in (tet, hexa, tree, lonely):
        if isinstance(shape, VesselTree):
            (part,) = parts("x.vtp", write_vtp(shape, {"a": value, "v & w": vector}))
            assert isinstance(part.shape, VesselTree)
            np.testing.assert_array_equal(part.shape.edges, shape.edges)
        if shape is lonely:
            continue  # a VTU has no cells to hold it
        (part,) = parts("x.vtu", write_vtu(shape, {"a": value, "v & w": vector}))
        np.testing.assert_array_equal(part.shape.points, points)
        np.testing.assert_array_equal(part.fields["a"], value)
        np.testing.assert_array_equal(part.fields["v & w"], vector)
        if isinstance(shape, Mesh):
            assert isinstance(part.shape, Mesh)
            np.testing.assert_array_equal(part.shape.cells, shape.cells)
    assert parts("t.vtp", write_vtp(tree))[0].shape.radius_mm == pytest.approx(tree.radius_mm)  # type: ignore[union-attr]
    (one,) = parts("t.vtp", write_vtp(tree, cell_fields={"id": np.array([5.0, 6, 7])}))
    assert one.cell_fields["id"].tolist() == [5, 6, 7]
    assert "the header states LPS" in one.origin.notes
    (ply,) = parts("t.ply", write_ply(sphere(4), {"lat": np.arange(26.0)}))
    np.testing.assert_array_equal(ply.fields["lat"], np.arange(26.0))
    with pytest.raises(InputError):
        write_ply(sphere(4), {"two words": np.arange(26.0)})


def test_ply_with_faces_of_several_sizes_and_edges() -> None:
    head = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 5\n"
        "property float x\nproperty float y\nproperty float z\n"
        "element face 2\nproperty list uchar int vertex_indices\nproperty uchar c\n"
        "element edge 1\nproperty int vertex1\nproperty int vertex2\nend_header\n"
    )
    points = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [0, 4, 0]], "<f4")
    body = points.tobytes() + b"\x04" + np.array([0, 1, 2, 3], "<i4").tobytes() + b"\x01"
    body += b"\x03" + np.array([3, 2, 4], "<i4").tobytes() + b"\x02" + np.array([0, 4], "<i4").tobytes()
    tree, surface = parts("x.ply", head.encode() + body)
    assert isinstance(tree.shape, VesselTree) and isinstance(surface.shape, Surface)
    assert surface.shape.area_mm2 == pytest.approx(4 + 2)
    assert tree.shape.length_mm == pytest.approx(4)


def test_ras_in_the_header_is_turned_and_said() -> None:
    data = write_stl(sphere(6)).replace(b"SPACE=LPS", b"SPACE=RAS")
    (part,) = parts("s.stl", data)
    np.testing.assert_allclose(part.shape.points.mean(0), sphere(6).points.mean(0) * (-1, -1, 1), atol=1)
    assert part.shape.volume_ml > 0  # type: ignore[union-attr]
    assert any("RAS" in n for n in part.origin.notes)


def test_an_implausible_extent_is_said_and_not_scaled() -> None:
    small = Surface(sphere(6).points / 1000, sphere(6).triangles)
    (part,) = parts("s.vtp", write_vtp(small))
    np.testing.assert_array_equal(part.shape.points, small.points)
    assert any("may be m;" in n for n in part.origin.notes)
    large = Surface(sphere(6).points * 1000, sphere(6).triangles)
    assert any("may be µm" in n for n in parts("s.vtp", write_vtp(large))[0].origin.notes)
    assert not any("may be" in n for n in parts("s.vtp", write_vtp(sphere(6)))[0].origin.notes)


def test_a_surface_wound_inwards_is_said() -> None:
    inside = Surface(sphere(6).points, sphere(6).triangles[:, ::-1])
    assert any("inwards" in n for n in parts("s.vtp", write_vtp(inside))[0].origin.notes)
    assert not any("inwards" in n for n in parts("s.vtp", write_vtp(sphere(6)))[0].origin.notes)


def test_centreline_table() -> None:
    text = 'x_cm,y_cm,z_cm,"radius [mm]",branch\n0,0,0,2,a\n1,0,0,2,a\n2,0,0,1.5,a\n1,0,0,2,b\n1,3,0,1,b\n'
    (part,) = parts("c.csv", text.encode())
    assert isinstance(part.shape, VesselTree) and part.shape.radius_mm is not None
    assert len(part.shape.points) == 4  # the branching point is one
    assert part.shape.length_mm == pytest.approx(20 + 30)
    assert part.shape.radius_mm.tolist() == [2, 2, 1.5, 1]
    delivery = DOOR.read([blob("c.csv", b"x,y,z\n0,0,0\n1,1,1\n")], SILENT)
    assert "states no unit" in delivery.problems[0].found


def test_opencarp_files_belong_together() -> None:
    points = b"4\n0 0 0\n10 0 0\n0 10 0\n0 0 10\n"
    elements = b"2\nTt 0 1 2 3 7\nTr 0 1 2 8\n"
    fibres = b"2\n1 0 0 0 1 0\n0 1 0 0 0 1\n"
    files = {"m.pts": points, "m.lon": fibres, "m.elem": elements}
    for name, content in files.items():
        assert DOOR.claims(blob(name, content, **files))
    surface, mesh = parts("m.elem", elements, **files)
    assert isinstance(mesh.shape, Mesh) and isinstance(surface.shape, Surface)
    assert mesh.cell_fields["region"].tolist() == [7] and surface.cell_fields["region"].tolist() == [8]
    assert surface.cell_fields["fibre"].tolist() == [[0, 1, 0]]
    assert mesh.cell_fields["sheet"].tolist() == [[0, 1, 0]]
    assert DOOR.read([blob("m.elem", elements)], SILENT).problems[0].needed == "m.pts beside it"


@pytest.mark.peer
def test_meshio_reads_what_we_write_and_we_what_it_writes(library: Library, tmp_path: Path) -> None:
    meshio = library("meshio")
    body = sphere(8)
    mesh = meshio.Mesh(
        body.points, [("triangle", body.triangles)], point_data={"a": np.arange(len(body.points)) * 0.5}
    )
    for name, options in (
        ("a.vtk", {"binary": True}),
        ("b.vtk", {"binary": False}),
        ("c.vtu", {"binary": True}),
        ("d.vtu", {"binary": False}),
        ("f.stl", {"binary": True}),
        ("g.stl", {"binary": False}),
        ("h.ply", {"binary": True}),
        ("i.ply", {"binary": False}),
    ):
        path = tmp_path / name
        kind = {"compression": "zlib"} if name == "c.vtu" else {}
        given = mesh if path.suffix != ".stl" else meshio.Mesh(body.points, [("triangle", body.triangles)])
        meshio.write(path, given, **options, **kind)
        (part,) = parts(name, path.read_bytes())
        assert part.shape.volume_ml == pytest.approx(body.volume_ml, rel=1e-6)  # type: ignore[union-attr]
        if path.suffix != ".stl":
            np.testing.assert_allclose(part.fields["a"], mesh.point_data["a"])
    for name, data in (("w.vtu", write_vtu(body)), ("w.stl", write_stl(body)), ("w.ply", write_ply(body))):
        path = tmp_path / name
        path.write_bytes(data)
        theirs = meshio.read(path)
        again = Surface(theirs.points, theirs.cells_dict["triangle"])
        assert again.volume_ml == pytest.approx(body.volume_ml, rel=1e-6)


@pytest.mark.data
@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # meshio's own, on text files
def test_real_stl_files_as_meshio_reads_them(data: Data, library: Library) -> None:
    meshio = library("meshio")
    files = sorted(data("vessel-geometries").rglob("*.stl"))
    assert len(files) == 5
    for path in files:
        theirs = meshio.read(path)
        ours = parts(path.name, path.read_bytes())[0].shape
        assert isinstance(ours, Surface)
        there = Surface(theirs.points, theirs.cells_dict["triangle"])
        assert len(ours.triangles) == len(there.triangles)
        assert ours.area_mm2 == pytest.approx(there.area_mm2, rel=1e-6)
        assert ours.volume_ml == pytest.approx(there.volume_ml, rel=1e-5)


@pytest.mark.data
def test_real_geometries(data: Data) -> None:
    blobs, _ = walk(
        [
            data("vessel-geometries"),
            data("monoalg-networks"),
            data("openep-meshes"),
            data("atria-mesh-opencarp"),
        ]
    )
    mine = [b for b in blobs if DOOR.claims(b)]
    delivery = DOOR.read(mine, SILENT)
    assert not delivery.problems
    by_name = {a.description: a.part for a in delivery.arrivals}
    assert len(by_name) == 39  # 19 vessels, 17 networks, 2 maps, 1 atrium

    def shape(name: str) -> Surface | Mesh | VesselTree:
        part = by_name[name]
        assert isinstance(part, Geometry)
        return part.shape

    # Counts and extents as the sets' own notes have them.
    assert len(shape("aorta-surface.vtp").points) == 6468
    assert len(shape("aneurysm_vascular_model.stl").points) == 22365
    line = shape("aorta-centerline.vtp")
    assert isinstance(line, VesselTree) and line.radius_mm is not None
    assert len(line.points) == 409 and 2.77 < line.radius_mm.min() < line.radius_mm.max() < 7.58
    np.testing.assert_allclose(np.ptp(shape("227A_Centreline.vtk").points, axis=0), (90, 120, 55), atol=0.5)
    openep = by_name["openep_mesh_2_dense.vtk"]
    assert isinstance(openep, Geometry) and isinstance(openep.shape, Surface)
    assert (len(openep.shape.points), len(openep.shape.triangles)) == (8848, 16942)
    assert openep.fields["LAT"].shape == (8848,)
    ball = shape("sphere.vtk")
    assert isinstance(ball, Surface) and ball.area_mm2 == pytest.approx(4 * np.pi, rel=0.01)
    atrium = by_name["atria.elem"]
    assert isinstance(atrium, Geometry) and atrium.cell_fields["fibre"].shape == (3444, 3)
    # A cable of 2 cm whose file counts in micrometres: not scaled, but said.
    cable = by_name["simple_cable_2cm.vtk"]
    assert isinstance(cable, Geometry) and isinstance(cable.shape, VesselTree)
    assert cable.shape.length_mm == 20000.0
    assert any("µm" in n for n in cable.origin.notes)


@pytest.mark.data
def test_a_clinical_table_is_no_centreline(data: Data) -> None:
    blobs, _ = walk([data("heart-failure-uci")])
    assert not any(DOOR.claims(b) for b in blobs)
