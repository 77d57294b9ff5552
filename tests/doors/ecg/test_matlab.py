"""MATLAB files against scipy's reader: made-up arrays of every class, and every real file."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from carna.doors.ecg.matlab import first_names, matlab_arrays
from carna.errors import InputError

_KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


def _saved(arrays: dict[str, Any], **options: Any) -> bytes:
    content = io.BytesIO()
    scipy.io.savemat(content, arrays, **options)
    return content.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_every_class_of_version_5(compressed: bool) -> None:
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {f"x_{k}": rng.integers(0, 100, (3, 4)).astype(k) for k in _KINDS}
    arrays |= {"one": np.array([[7]]), "cube": rng.normal(size=(2, 3, 4)), "word": "text", "cell": {"a": 1}}
    data = _saved(arrays, do_compression=compressed)
    mine, theirs = matlab_arrays(data), scipy.io.loadmat(io.BytesIO(data))
    assert set(mine) == set(arrays) - {"word", "cell"}
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name])
        assert array.dtype == theirs[name].dtype
    assert first_names(data[:4096])[:3] == ("x_i1", "x_u1", "x_i2")


def test_version_4() -> None:
    arrays = {"val": np.arange(12, dtype=np.int16).reshape(3, 4), "y": np.array([[0.5, 1.5]])}
    data = _saved(arrays, format="4")
    mine = matlab_arrays(data)
    assert set(mine) == {"val", "y"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(mine[name], array)


def test_big_endian_version_4() -> None:
    data = struct.pack(">5i", 1030, 1, 2, 0, 2) + b"v\0" + struct.pack(">2h", 1, -2)
    assert matlab_arrays(data)["v"].tolist() == [[1, -2]]


def test_sizes_that_the_file_does_not_have_are_refused() -> None:
    lying = struct.pack("<5i", 30, 1 << 30, 1 << 30, 0, 2) + b"v\0"
    for data in (lying, b"MATLAB 7.3 MAT-file", b"", b"MATLAB 5.0" + bytes(200), _saved({"a": "text"})):
        with pytest.raises(InputError):
            matlab_arrays(data)


@pytest.mark.data
def test_real_files_equal_scipy(data: Callable[[str], Path]) -> None:
    paths = [
        p for name in ("cinc2021-sample", "code15-10", "cinc2017-300") for p in data(name).rglob("*.mat")
    ]
    assert len(paths) == 100 + 10 + 201
    for path in paths:
        mine = matlab_arrays(path.read_bytes())
        theirs = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
        assert set(mine) == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(mine[name], array)
