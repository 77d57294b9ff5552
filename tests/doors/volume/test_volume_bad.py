"""Broken, truncated and hostile volumes become problems, before anything large is allocated."""

from __future__ import annotations

import io
import json
import resource
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from carna.doors.arrive import Delivery
from carna.doors.files import HEAD, Blob
from carna.doors.volume import DOOR
from carna.errors import InputError
from carna.progress import SILENT

Array = npt.NDArray[Any]

VALUES = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
SIDE = json.dumps({"spacing_mm": [2, 1, 1]}).encode()
META = (
    b"ObjectType = Image\nNDims = 3\nCompressedData = False\nElementSpacing = 1 1 2\nDimSize = 5 4 3\n"
    b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
NRRD = (
    b"NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nencoding: raw\nendian: little\nspace: LPS\n"
    b"space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,0)\n\n"
)


def read(files: dict[str, bytes]) -> Delivery:
    near: dict[str, Blob] = {}
    for name, data in files.items():
        near[name] = Blob(name, len(data), partial(bytes, data), data[:HEAD], None, near)
    claimed = [b for b in near.values() if DOOR.claims(b)]
    return DOOR.read(claimed, SILENT)


def problem(files: dict[str, bytes]) -> str:
    delivery = read(files)
    assert not delivery.arrivals
    (found,) = delivery.problems
    return str(found)


def npy(values: Array = VALUES) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, image=VALUES)
    return out.getvalue()


def nifti() -> bytes:
    return bytes(nibabel.Nifti1Image(VALUES.T, np.diag([1.0, 1, 2, 1])).to_bytes())


def h5(tmp_path: Path) -> bytes:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("image", data=VALUES, compression="gzip")
    return (tmp_path / "x.h5").read_bytes()


def png() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(VALUES[0].astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def every(tmp_path: Path) -> dict[str, dict[str, bytes]]:
    import bz2
    import gzip
    import zlib

    raw = VALUES.tobytes()
    return {
        "nifti": {"a.nii": nifti()},
        "meta": {"a.mha": META + raw},
        "meta packed": {"a.mha": META.replace(b"Data = False", b"Data = True") + zlib.compress(raw)},
        "meta beside": {"a.mhd": META.replace(b"LOCAL", b"a.raw"), "a.raw": raw},
        "nrrd": {"a.nrrd": NRRD + raw},
        "nrrd gzip": {"a.nrrd": NRRD.replace(b": raw", b": gzip") + gzip.compress(raw)},
        "nrrd bzip2": {"a.nrrd": NRRD.replace(b": raw", b": bz2") + bz2.compress(raw)},
        "nrrd text": {
            "a.nrrd": NRRD.replace(b": raw", b": txt") + " ".join(map(str, VALUES.ravel())).encode()
        },
        "npy": {"a.npy": npy(), "a.json": SIDE},
        "npz": {"a.npz": npz(), "a.json": SIDE},
        "hdf5": {"a.h5": h5(tmp_path), "a.json": SIDE},
        "png": {"a.png": png()},
    }


def test_the_seeds_themselves_are_whole(tmp_path: Path) -> None:
    for name, files in every(tmp_path).items():
        (arrival,) = read(files).arrivals
        if name != "png":
            np.testing.assert_array_equal(arrival.part.values.array, VALUES)  # type: ignore[union-attr]


def test_truncated_files(tmp_path: Path) -> None:
    for name, files in every(tmp_path).items():
        last = next(reversed([n for n in files if not n.endswith(".json")]))
        for cut in (1, 7, len(files[last]) // 3):
            if (name == "nrrd text" and cut == 1) or (name == "png" and cut < 12):
                continue  # "59" cut to "5" is still a number, and a PNG's last chunk is empty
            assert problem({**files, last: files[last][:-cut]}), (name, cut)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.mha": META.replace(b"5 4 3", b"100000 100000 100") + bytes(120)}, "takes"),
        ({"a.mha": META.replace(b"5 4 3", b"0 4 3") + bytes(120)}, "at least 1"),
        ({"a.mha": META.replace(b"5 4 3", b"5 4 1e300") + bytes(120)}, ""),
        ({"a.mha": META.replace(b"5 4 3", b"5 4 nan") + bytes(120)}, "finite"),
        ({"a.mha": META.replace(b"1 1 2", b"1 1 0") + bytes(120)}, "spacing"),
        ({"a.mha": META.replace(b"LOCAL", b"LIST") + bytes(120)}, "LIST"),
        ({"a.mhd": META.replace(b"LOCAL", b"../../secret.raw")}, "same folder"),
        ({"a.mhd": META.replace(b"LOCAL", b"missing.raw")}, "beside"),
        ({"a.mha": META.replace(b"MET_SHORT", b"MET_FLOAT_ARRAY") + bytes(120)}, "MET_FLOAT_ARRAY"),
        ({"a.nrrd": NRRD.replace(b"5 4 3", b"1000000 1000000 1") + bytes(120)}, "takes"),
        ({"a.nrrd": NRRD.replace(b"(0,0,2)", b"(0,1,0)") + bytes(120)}, "no volume"),
        ({"a.nrrd": NRRD.replace(b"(0,0,2)", b"(nan,0,2)") + bytes(120)}, "finite"),
        ({"a.nrrd": NRRD.replace(b": raw", b": hex") + bytes(120)}, "hex"),
        ({"a.nhdr": NRRD[:-1] + b"data file: /etc/passwd\n\n"}, "same folder"),
        ({"a.npy": npy().replace(b"(3, 4, 5)", b"(3,10**9)"), "a.json": SIDE}, ""),
        ({"a.npy": npy()[:60] + b"[" * 400, "a.json": SIDE}, "header"),
    ],
)
def test_files_that_lie(files: dict[str, bytes], says: str) -> None:
    assert says in problem(files)


def test_hostile_sizes_allocate_nothing(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    header = bytearray(nifti())
    header[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    assert "takes" in problem({"a.nii": bytes(header)})
    with h5py.File(tmp_path / "x.h5", "w") as file:  # 2e12 values that were never written
        file.create_dataset("image", (20000, 10000, 10000), "f4", chunks=(64, 64, 64), compression="gzip")
    assert "takes" in problem({"a.h5": (tmp_path / "x.h5").read_bytes()})
    bomb = META.replace(b"Data = False", b"Data = True").replace(b"5 4 3", b"4000 4000 4000") + bytes(100)
    assert problem({"a.mha": bomb})
    huge = bytearray(png())
    huge[16:24] = (100_000).to_bytes(4, "big") * 2
    assert problem({"a.png": bytes(huge)})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_labels_that_are_no_labels() -> None:
    many = nibabel.Nifti1Image((VALUES * 10).T, np.eye(4)).to_bytes()
    assert "labels from 0 to 590" in problem({"a_seg.nii": many})


def fuzz(n: int, seeds: list[dict[str, bytes]]) -> None:
    rng = np.random.default_rng(n)
    kept = 0
    for _ in range(n):
        files = dict(seeds[rng.integers(len(seeds))])
        names = sorted(files)
        name = names[rng.integers(len(names))]
        bad = bytearray(files[name])
        for _ in range(rng.integers(1, 5)):
            # Headers are where the trouble is.
            at = int(rng.integers(min(len(bad), 400))) if rng.random() < 0.7 else int(rng.integers(len(bad)))
            match rng.integers(4):
                case 0:
                    bad[at] = int(rng.integers(256))
                case 1:
                    del bad[at : at + int(rng.integers(1, 30))]
                case 2:
                    bad[at:at] = bad[at : at + int(rng.integers(1, 30))]
                case _:
                    bad[at:at] = rng.choice([b"9999999999", b"-1", b"nan", b"\x00", b"\xff" * 8])
            if not bad:
                break
        files[name] = bytes(bad)
        for arrival in read(files).arrivals:
            if arrival.part is not None:
                try:
                    arrival.part.values.array  # type: ignore[union-attr]  # noqa: B018
                except InputError:
                    continue
                kept += 1
    assert kept


def test_mutated_files_never_raise(tmp_path: Path) -> None:
    fuzz(200, list(every(tmp_path).values()))


@pytest.mark.slow
def test_many_mutated_files_never_raise(tmp_path: Path) -> None:
    fuzz(2000, list(every(tmp_path).values()))
