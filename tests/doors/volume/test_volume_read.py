"""Volumes keep their values and their place, against closed forms, nibabel and pynrrd."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from carna import codes
from carna.doors.files import HEAD, Blob, walk
from carna.doors.volume import DOOR
from carna.findings import Region
from carna.progress import SILENT
from carna.study import Cine, Geometry, Image, Picture

Array = npt.NDArray[Any]
Data = Callable[[str], Path]
Library = Callable[[str], ModuleType]

RNG = np.random.default_rng(5)
# Asymmetric on purpose: any swapped or flipped axis shows.
VALUES = RNG.integers(0, 1000, (3, 4, 5)).astype(np.int16)  # (k, r, c)
# A turned, anisotropic place in RAS, columns first, as NIfTI has it.
TURN = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
RAS = np.eye(4)
RAS[:3, :3] = TURN * (0.7, 1.1, 8.0)
RAS[:3, 3] = (12.0, -34.0, 56.0)


def blobs(files: dict[str, bytes]) -> list[Blob]:
    near: dict[str, Blob] = {}
    for name, data in files.items():
        near[name] = Blob(name, len(data), partial(bytes, data), data[:HEAD], None, near)
    return list(near.values())


def read(files: dict[str, bytes]) -> tuple[list[Any], list[Any]]:
    given = blobs(files)
    assert all(DOOR.claims(b) for b in given)
    delivery = DOOR.read(given, SILENT)
    assert not delivery.problems, delivery.problems
    parts = [a.part for a in delivery.arrivals if a.part is not None]
    return parts, [a.findings for a in delivery.arrivals if a.findings is not None]


def problem(files: dict[str, bytes]) -> str:
    delivery = DOOR.read([b for b in blobs(files) if DOOR.claims(b)], SILENT)
    assert not delivery.arrivals
    return str(delivery.problems[0])


def nifti(values: Array = VALUES, affine: Array = RAS, kind: Any = nibabel.Nifti1Image, **set_: Any) -> bytes:
    image = kind(values.T, affine)
    image.header.set_xyzt_units("mm", set_.pop("time", "unknown"))
    for name, value in set_.items():
        image.header[name] = value
    return bytes(image.to_bytes())


def expect_world(image: Image) -> None:
    """The place of each voxel is nibabel's, with x and y turned from RAS to LPS."""
    for index in np.ndindex(3, 4, 5):
        ras = RAS @ (*index[::-1], 1)
        np.testing.assert_allclose(image.grid.to_world(index), ras[:3] * (-1, -1, 1), atol=1e-4)
    assert image.grid.voxel_ml == pytest.approx(0.7 * 1.1 * 8 / 1000)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_places_every_voxel(kind: Any) -> None:
    (image,), _ = read({"a.nii": nifti(kind=kind)})
    assert isinstance(image, Image)
    np.testing.assert_array_equal(image.values.array, VALUES)
    assert image.values.array.dtype == np.int16
    expect_world(image)
    assert image.origin.notes == ()


def test_nifti_big_endian_and_scaled() -> None:
    image = nibabel.Nifti1Image(VALUES.T, RAS).header
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_shape((5, 4, 3))
    header.set_data_dtype(np.dtype(">i2"))
    header.set_sform(RAS, 1)
    header.set_slope_inter(2.0, -1024.0)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    assert image is not None
    data = header.binaryblock + b"\0" * 4 + VALUES.astype(">i2").tobytes()
    (part,), _ = read({"a.nii": data})
    np.testing.assert_array_equal(part.values.array, VALUES.astype(int) * 2 - 1024)
    assert part.values.array.dtype.kind == "i"
    expect_world(part)


def test_nifti_with_fractional_slope() -> None:
    scaled = bytearray(nifti())
    scaled[112:120] = np.array([0.5, 3.0], "<f4").tobytes()
    (part,), _ = read({"a.nii": bytes(scaled)})
    np.testing.assert_allclose(part.values.array, VALUES * 0.5 + 3)
    assert part.values.array.dtype == np.float32


def test_nifti_with_time_is_a_cine_and_without_is_not() -> None:
    four = np.stack([VALUES, VALUES + 1, VALUES + 2, VALUES + 3])
    made = nibabel.Nifti1Image(four.T, RAS)
    made.header.set_xyzt_units("mm", "sec")
    made.header["pixdim"][4] = 0.04
    (cine,), _ = read({"a.nii": made.to_bytes()})
    assert isinstance(cine, Cine)
    np.testing.assert_array_equal(cine.values.array, four)
    np.testing.assert_allclose(cine.times_ms[:, 0], [0, 40, 80, 120], rtol=1e-5)
    np.testing.assert_allclose(cine.rr_ms, 160, rtol=1e-5)
    assert cine.grid is not None
    np.testing.assert_allclose(cine.grid.affine[:3, 3], RAS[:3, 3] * (-1, -1, 1), atol=1e-4)
    made.header.set_xyzt_units("mm", "unknown")
    images, _ = read({"a.nii": made.to_bytes()})
    assert [type(i) for i in images] == [Image] * 4
    np.testing.assert_array_equal(images[2].values.array, VALUES + 2)
    assert "volume 3 of 4" in images[2].origin.notes


def test_sform_and_qform() -> None:
    header = nibabel.Nifti1Header.from_header(nibabel.Nifti1Image(VALUES.T, RAS).header)
    header["vox_offset"] = 352
    other = RAS.copy()
    other[0, 3] += 5

    def image() -> Any:
        (part,), _ = read({"a.nii": header.binaryblock + bytes(4) + VALUES.tobytes()})
        return part

    header.set_xyzt_units("mm")
    header.set_qform(other, 1)
    header.set_sform(RAS, 1)
    expect_world(image())
    assert any("differ by up to 5 mm" in n for n in image().origin.notes)
    header.set_sform(RAS, 0)
    np.testing.assert_allclose(image().grid.origin, other[:3, 3] * (-1, -1, 1), atol=1e-4)
    assert image().origin.notes == ()
    header.set_qform(None, 0)
    np.testing.assert_allclose(image().grid.spacing_mm, (8.0, 1.1, 0.7), rtol=1e-6)
    assert any("no orientation" in n for n in image().origin.notes)


def test_nifti_in_metres_and_as_a_pair() -> None:
    affine = RAS.copy()
    affine[:3] /= 1000
    made = nibabel.Nifti1Image(VALUES.T, affine)
    made.header.set_xyzt_units("meter", "unknown")
    (part,), _ = read({"a.nii": made.to_bytes()})
    expect_world(part)
    pair = nibabel.Nifti1Pair(VALUES.T, RAS)
    maps = nibabel.Nifti1Pair.make_file_map()
    import io

    for key in ("header", "image"):
        maps[key].fileobj = io.BytesIO()
    pair.to_file_map(maps)
    files = {"a.hdr": maps["header"].fileobj.getvalue(), "a.img": maps["image"].fileobj.getvalue()}
    (part,), _ = read(files)
    np.testing.assert_array_equal(part.values.array, VALUES)


def test_packed_nifti_from_a_folder_with_its_sidecar(tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(nifti()))
    labels = (VALUES % 3).astype(np.uint8)
    (tmp_path / "scan_seg.nii.gz").write_bytes(gzip.compress(nifti(labels)))
    side = {"modality": "MR", "patient": "p7", "study": "1.2.3"}
    (tmp_path / "scan.json").write_text(json.dumps(side))
    (tmp_path / "scan_seg.json").write_text(json.dumps(side | {"labels": {"1": "LV_CAVITY", "2": "a clot"}}))
    found, problems = walk([tmp_path])
    assert not problems and all(DOOR.claims(b) for b in found)
    delivery = DOOR.read(found, SILENT)
    assert not delivery.problems
    image, labelled = delivery.arrivals
    assert {a.study for a in delivery.arrivals} == {"1.2.3"} and image.patient.id == "p7"
    assert image.part is not None and image.part.origin.modality == "MR"
    assert labelled.findings is not None
    region = labelled.findings["labels"]
    assert isinstance(region, Region)
    np.testing.assert_array_equal(region.labels, labels)
    assert region.segments[0].code == codes.LV_CAVITY
    assert region.segments[1].code.meaning == "a clot" and region.segments[1].code.scheme == "99CARNA"
    # The labels' volume in mL, by counting.
    assert region.volume_ml(1) == pytest.approx((labels == 1).sum() * 0.7 * 1.1 * 8 / 1000)


def test_plain_files_are_not_loaded_before_they_are_looked_at(tmp_path: Path) -> None:
    files = {"a.nii": nifti(), "b.mha": mha()[0], "c.npy": b"", "c.json": b'{"spacing_mm": [8, 1, 1]}'}
    np.save(tmp_path / "c.npy", VALUES)
    for name, content in files.items():
        if content:
            (tmp_path / name).write_bytes(content)
    loaded: list[str] = []

    def counted(blob: Blob) -> Blob:
        def load() -> bytes:
            loaded.append(blob.file)
            return blob.load()

        held = load if blob.suffix != ".json" else blob.load
        return Blob(blob.name, blob.size, held, blob.head, blob.path, blob.neighbours)

    delivery = DOOR.read([counted(b) for b in walk([tmp_path])[0]], SILENT)
    assert len(delivery.arrivals) == 3 and not loaded
    for arrival in delivery.arrivals:
        assert isinstance(arrival.part, Image)
        np.testing.assert_array_equal(arrival.part.values.array, VALUES)
        assert not arrival.part.values.array.flags.writeable
    assert sorted(loaded) == ["a.nii", "b.mha", "c.npy"]


def test_labels_are_told_by_type_and_name() -> None:
    labels = (VALUES % 3).astype(np.uint8)
    _, (findings,) = read({"heart_mask.nii": nifti(labels)})
    assert [s.code.meaning for s in findings["labels"].segments] == [
        "label 1 of heart_mask.nii",
        "label 2 of heart_mask.nii",
    ]
    parts, none = read({"heart_mask.nii": nifti(labels.astype(np.float32))})
    assert len(parts) == 1 and not none
    parts, none = read({"heart.nii": nifti(labels)})
    assert len(parts) == 1 and not none
    _, (findings,) = read({"heart.nii": nifti(labels, intent_code=1002)})
    assert findings.items


def mha(
    values: Array = VALUES, *, packed: bool = False, big: bool = False, file: str = "LOCAL", **more: Any
) -> tuple[bytes, bytes]:
    lps = np.diag([-1, -1, 1, 1]) @ RAS
    spacing = (0.7, 1.1, 8.0)
    directions = (lps[:3, :3] / spacing).T  # one row an axis, columns first
    raw = values.astype(">i2" if big else "<i2").tobytes()
    raw = zlib.compress(raw) if packed else raw
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(big),
        "CompressedData": str(packed),
        "TransformMatrix": " ".join(map(repr, directions.ravel().tolist())),
        "Offset": " ".join(map(repr, lps[:3, 3].tolist())),
        "ElementSpacing": "0.7 1.1 8.0",
        "DimSize": "5 4 3",
        "ElementType": "MET_SHORT",
        **more,
        "ElementDataFile": file,
    }
    head = "".join(f"{key} = {value}\n" for key, value in lines.items()).encode()
    return (head + raw, b"") if file == "LOCAL" else (head, raw)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_metaimage(packed: bool, big: bool) -> None:
    (part,), _ = read({"a.mha": mha(packed=packed, big=big)[0]})
    np.testing.assert_array_equal(part.values.array, VALUES)
    expect_world(part)
    name = "a.zraw" if packed else "a.raw"
    head, raw = mha(packed=packed, big=big, file=name)
    (part,), _ = read({"a.mhd": head, name: raw})
    np.testing.assert_array_equal(part.values.array, VALUES)
    head, raw = mha(file="a.raw", HeaderSize="-1")
    (part,), _ = read({"a.mhd": head, "a.raw": b"free words" + raw})
    np.testing.assert_array_equal(part.values.array, VALUES)


def test_metaimage_in_two_dimensions_and_with_a_wrong_orientation_word() -> None:
    head = b"NDims = 2\nDimSize = 5 4\nElementSpacing = 0.5 2\nElementType = MET_UCHAR\n"
    head += b"ElementDataFile = LOCAL\n"
    (part,), _ = read({"a.mha": head + bytes(range(20))})
    np.testing.assert_array_equal(part.values.array, np.arange(20).reshape(1, 4, 5))
    assert part.grid.spacing_mm == (1.0, 2.0, 0.5)
    identity: dict[str, Any] = {"TransformMatrix": "1 0 0 0 1 0 0 0 1"}
    assert not any(
        "does not fit" in n
        for n in read({"a.mha": mha(AnatomicalOrientation="RAI", **identity)[0]})[0][0].origin.notes
    )
    assert any(
        "does not fit" in n
        for n in read({"a.mha": mha(AnatomicalOrientation="LAI", **identity)[0]})[0][0].origin.notes
    )


@pytest.mark.peer
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "LPS"])
def test_nrrd_as_pynrrd_writes_it(library: Library, tmp_path: Path, encoding: str, space: str) -> None:
    nrrd = library("nrrd")
    world = RAS if space.startswith("right") else np.diag([-1, -1, 1, 1]) @ RAS
    header = {
        "space": space,
        "space directions": world[:3, :3].T,
        "space origin": world[:3, 3],
        "encoding": encoding,
    }
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES.T, header)
    (part,), _ = read({"a.nrrd": (tmp_path / "a.nrrd").read_bytes()})
    np.testing.assert_array_equal(part.values.array, VALUES)
    expect_world(part)
    nrrd.write(str(tmp_path / "b.nhdr"), VALUES.T, header, detached_header=True)
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.stem.startswith("b")}
    assert len(files) == 2
    (part,), _ = read(files)
    np.testing.assert_array_equal(part.values.array, VALUES)


@pytest.mark.peer
def test_nrrd_with_a_list_axis_or_without_a_place(library: Library, tmp_path: Path) -> None:
    nrrd = library("nrrd")
    four = np.stack([VALUES, VALUES + 7], axis=-1)  # (k, r, c, 2): the list runs fastest
    directions = np.vstack([np.full(3, np.nan), (np.diag([-1, -1, 1, 1]) @ RAS)[:3, :3].T])
    origin = (np.diag([-1, -1, 1, 1]) @ RAS)[:3, 3]
    nrrd.write(
        str(tmp_path / "a.nrrd"),
        four.T,
        {"space": "LPS", "space directions": directions, "space origin": origin},
    )
    one, two = read({"a.nrrd": (tmp_path / "a.nrrd").read_bytes()})[0]
    np.testing.assert_array_equal(one.values.array, VALUES)
    np.testing.assert_array_equal(two.values.array, VALUES + 7)
    expect_world(two)
    nrrd.write(str(tmp_path / "b.nrrd"), VALUES.T, {"spacings": [0.7, 1.1, 8.0]})
    (part,), _ = read({"b.nrrd": (tmp_path / "b.nrrd").read_bytes()})
    assert part.grid.spacing_mm == (8.0, 1.1, 0.7)
    nrrd.write(str(tmp_path / "c.nrrd"), VALUES.T, {})
    (part,), _ = read({"c.nrrd": (tmp_path / "c.nrrd").read_bytes()})
    assert isinstance(part, Picture) and any("mL" in n for n in part.origin.notes)
    las = {"space": "left-anterior-superior", "space directions": np.eye(3), "space origin": np.zeros(3)}
    nrrd.write(str(tmp_path / "d.nrrd"), VALUES.T, las)
    assert "left-anterior-superior" in problem({"d.nrrd": (tmp_path / "d.nrrd").read_bytes()})


def hdf5(tmp_path: Path, fill: Any) -> bytes:
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    return path.read_bytes()


def test_hdf5_with_and_without_a_spacing(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        image = file.create_dataset("image", data=VALUES.astype(np.uint16), compression="gzip")
        image.attrs["divide_by"] = 500
        image.attrs["scanner"] = "words"
        image.attrs.create("list", ["a"], dtype=h5py.string_dtype())
        file["label"] = (VALUES % 2).astype(np.uint8)

    data = hdf5(tmp_path, fill)
    (picture,), none = read({"a.h5": data})
    assert isinstance(picture, Picture) and not none
    np.testing.assert_allclose(picture.values.array, VALUES / 500, rtol=1e-6)
    assert any("mL can't be computed" in n for n in picture.origin.notes)
    np.testing.assert_array_equal(picture.origin.facts["label"].array, VALUES % 2)
    (image,), (findings,) = read({"a.h5": data, "a.json": b'{"spacing_mm": [8, 1.5, 1.5], "modality": "MR"}'})
    assert image.grid.spacing_mm == (8, 1.5, 1.5)
    region = findings["labels.label"]
    assert region.volume_ml(1) == pytest.approx((VALUES % 2).sum() * 8 * 1.5 * 1.5 / 1000)
    assert region.evidence[0].part == image.origin.uid

    def spaced(file: Any) -> None:
        fill(file)
        file["image"].attrs["spacing_mm"] = (8.0, 1.0, 1.0)

    (image,), _ = read({"a.h5": hdf5(tmp_path, spaced)})
    assert isinstance(image, Image)


def test_hdf5_never_reads_another_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(60))

    def fill(file: Any) -> None:
        file.create_dataset("image", (3, 4, 5), "u1", external=[(str(secret), 0, 60)])
        file["link"] = h5py.ExternalLink(str(secret), "/image")
        file["dx"] = h5py.ExternalLink(str(secret), "/dx")

    assert "without a volume" in problem({"a.h5": hdf5(tmp_path, fill)})


def test_arrays_need_a_sidecar_that_says_what(tmp_path: Path) -> None:
    import io

    out = io.BytesIO()
    np.save(out, np.asfortranarray(VALUES))
    data = out.getvalue()
    assert "spacing_mm" in problem({"a.npy": data})
    lps = (np.diag([-1, -1, 1, 1]) @ RAS)[:, (2, 1, 0, 3)]
    (part,), _ = read(
        {"a.npy": data, "a.json": json.dumps({"affine": lps.tolist(), "unit": "[hnsf'U]"}).encode()}
    )
    np.testing.assert_array_equal(part.values.array, VALUES)
    expect_world(part)
    assert part.unit == "[hnsf'U]"
    side = json.dumps({"spacing_mm": [8, 1, 1], "wind": 3}).encode()
    out = io.BytesIO()
    np.savez_compressed(out, image=VALUES, mask=(VALUES % 2).astype(np.uint8), other=np.arange(3))
    (part,), (findings,) = read({"a.npz": out.getvalue(), "a.json": side})
    np.testing.assert_array_equal(part.values.array, VALUES)
    assert any("wind" in n for n in part.origin.notes)
    np.testing.assert_array_equal(findings["labels.mask"].labels, VALUES % 2)
    for bad in (
        b"[1]",
        b"{",
        b'{"spacing_mm": [1, 2]}',
        b'{"spacing_mm": [1, 2, 0]}',
        b'{"spacing_mm": "x"}',
        b'{"unit": "furlong", "spacing_mm": [1,1,1]}',
        b'{"labels": {"a": "b"}, "spacing_mm": [1,1,1]}',
        b'{"modality": 3, "spacing_mm": [1,1,1]}',
        b'{"affine": [[1,0,0,0],[0,0,0,0],[0,0,1,0],[0,0,0,1]]}',
    ):
        assert problem({"a.npy": data, "a.json": bad})
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "object" in problem({"a.npy": out.getvalue(), "a.json": side})
    out = io.BytesIO()
    np.save(out, VALUES.astype(np.complex64))
    assert "k-space" in problem({"a.npy": out.getvalue()})


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", m) for m in ("L", "RGB", "RGBA", "1", "P", "I;16")]
    + [("JPEG", m) for m in ("L", "RGB", "CMYK")],
)
def test_pictures(form: str, mode: str) -> None:
    import io

    from PIL import Image as Pil

    grey = np.linspace(0, 200, 12).astype(np.uint8).reshape(3, 4)
    made = (
        Pil.fromarray(grey.astype(np.uint16) * 100) if mode == "I;16" else Pil.fromarray(grey).convert(mode)
    )
    out = io.BytesIO()
    exif = Pil.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    made.save(out, form, exif=exif)
    (part,), _ = read({"a.img": out.getvalue()})
    assert isinstance(part, Picture) and part.spacing_mm is None
    pixels = part.values.array
    assert pixels.shape[:3] == (1, 4, 3)
    if form == "PNG" and mode in ("L", "RGB", "RGBA", "P"):
        np.testing.assert_array_equal(pixels[0] if mode == "L" else pixels[0, ..., 0], np.rot90(grey, -1))
    if mode == "I;16":
        np.testing.assert_array_equal(pixels[0], np.rot90(grey.astype(int) * 100, -1))
    assert any("EXIF" in n for n in part.origin.notes)


@pytest.mark.data
def test_real_volumes(data: Data) -> None:
    names = ("totalseg-ct-mr", "cinema-cmr-samples", "acdc-cine-mri", "la-lge-mri-2018", "aortic-4dflow-cfd")
    found = {}
    for name in names:
        given = [b for b in walk([data(name)])[0] if DOOR.claims(b)]
        delivery = DOOR.read(given, SILENT)
        assert not delivery.problems
        found[name] = delivery.arrivals
    cinema = [a.part for a in found["cinema-cmr-samples"]]
    assert all(isinstance(p, Image) and p.grid.spacing_mm == (10.0, 1.0, 1.0) for p in cinema)
    assert len(found["acdc-cine-mri"]) == 40 and all(
        isinstance(a.part, Picture) for a in found["acdc-cine-mri"]
    )
    assert sum(a.part.values.shape[0] for a in found["acdc-cine-mri"] if isinstance(a.part, Picture)) == 406
    for arrival in found["la-lge-mri-2018"]:
        assert isinstance(arrival.part, Picture)
        assert 85_000 <= int(arrival.part.origin.facts["label"].array.sum()) <= 240_400
    flow = [a.part for a in found["aortic-4dflow-cfd"]]
    assert len(flow) == 7 and all(isinstance(p, Image) and p.values.shape == (42, 38, 36) for p in flow)
    assert all(p.origin.facts["venc_u"] == 1.5 for p in flow if p is not None)
    regions = [a.findings for a in found["totalseg-ct-mr"] if a.findings is not None]
    assert len(regions) == 8


@pytest.mark.data
def test_real_nifti_as_nibabel_places_it(data: Data) -> None:
    files = sorted(data("totalseg-ct-mr").rglob("*.nii.gz"))
    assert len(files) > 30
    arrivals = DOOR.read([b for b in walk(files)[0] if DOOR.claims(b)], SILENT).arrivals
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.name.removesuffix(".gz"), []).append(path)
    checked = 0
    for arrival in arrivals:
        if not isinstance(arrival.part, Image) or len(by_name[arrival.description]) > 1:
            continue
        theirs = nibabel.load(by_name[arrival.description][0])
        np.testing.assert_array_equal(arrival.part.values.array, np.asanyarray(theirs.dataobj).T)
        i, j, k = (n // 3 for n in theirs.shape)
        ras = theirs.affine @ (i, j, k, 1)
        np.testing.assert_allclose(arrival.part.grid.to_world((k, j, i)), ras[:3] * (-1, -1, 1), atol=1e-3)
        checked += 1
    assert checked >= 20


@pytest.mark.data
def test_the_aorta_image_and_its_surface_share_a_world(data: Data) -> None:
    """The vmtk image and the centreline drawn in it: bright blood lies along it.

    vmtk writes its geometry in RAS without saying so. The door can't know and notes that the
    frame is not stated; turned, the centreline lies in the vessel of the image.
    """
    from carna.doors.geometry import DOOR as GEOMETRY
    from carna.space import flip_ras

    folder = data("vessel-geometries") / "vmtk-aorta"
    given = [b for b in walk([folder])[0] if b.file in ("aorta.mha", "aorta-centerline.vtp")]
    image = DOOR.read([b for b in given if DOOR.claims(b)], SILENT).arrivals[0].part
    line = GEOMETRY.read([b for b in given if GEOMETRY.claims(b)], SILENT).arrivals[0].part
    assert isinstance(image, Image) and isinstance(line, Geometry)
    assert any("frame is not stated" in n for n in line.origin.notes)
    assert not image.origin.notes  # LPI fits the matrix
    index = np.round(image.grid.to_index(flip_ras(line.shape.points))).astype(int)
    assert ((index >= 0) & (index < image.grid.shape)).all()
    blood = image.values.array[tuple(index.T)]
    assert np.percentile(blood, 10) > np.percentile(image.values.array, 90)


@pytest.mark.data
def test_noise_signals_are_no_volume(data: Data) -> None:
    given = [b for b in walk([data("nstdb")])[0] if DOOR.claims(b)]
    delivery = DOOR.read(given, SILENT)
    assert not delivery.arrivals and "without a volume" in delivery.problems[0].found
