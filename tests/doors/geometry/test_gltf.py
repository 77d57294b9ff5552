"""Binary glTF, read back by the rules of its specification."""

import json

import numpy as np
import pytest

from carna.doors.geometry import write_glb
from carna.errors import InputError
from carna.space import Surface

TRIANGLES = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
POINTS = np.array([[10.0, 20, 30], [40, 20, 30], [10, 50, 30], [10, 20, 60]])


def read(raw):
    """Return the document and a function that reads an accessor."""
    assert raw[:4] == b"glTF" and int.from_bytes(raw[4:8], "little") == 2
    assert int.from_bytes(raw[8:12], "little") == len(raw)
    size = int.from_bytes(raw[12:16], "little")
    assert raw[16:20] == b"JSON" and size % 4 == 0
    document = json.loads(raw[20 : 20 + size])
    body = raw[20 + size + 8 :]
    assert raw[20 + size + 4 : 20 + size + 8] == b"BIN\0"
    assert document["buffers"] == [{"byteLength": len(body)}]

    def array(n):
        accessor = document["accessors"][n]
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {5126: np.float32, 5125: np.uint32}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
        at = view["byteOffset"]
        assert at % 4 == 0
        values = np.frombuffer(body[at : at + view["byteLength"]], kind).reshape(-1, width)
        assert len(values) == accessor["count"]
        np.testing.assert_array_equal(values.min(0), accessor["min"])
        np.testing.assert_array_equal(values.max(0), accessor["max"])
        return values

    return document, array


def beating():
    return [Surface(POINTS * s, TRIANGLES) for s in (1.0, 0.9, 0.7, 0.95)]


def test_every_frame_comes_back():
    frames = beating()
    document, array = read(write_glb({"a": frames, "b": frames[::-1]}, [0.0, 0.1, 0.3, 0.6]))
    times = array(document["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, [0.0, 0.1, 0.3, 0.6], rtol=1e-6)
    weights = array(document["animations"][0]["samplers"][0]["output"]).reshape(4, 3)
    for mesh, given in zip(document["meshes"], (frames, frames[::-1]), strict=True):
        shape = mesh["primitives"][0]
        base = array(shape["attributes"]["POSITION"])
        moves = np.stack([array(t["POSITION"]) for t in shape["targets"]])
        np.testing.assert_array_equal(array(shape["indices"]).reshape(-1, 3), TRIANGLES)
        for frame, weight in zip(given, weights, strict=True):
            np.testing.assert_allclose(base + np.tensordot(weight, moves, 1), frame.points, atol=1e-4)
    assert len(document["animations"][0]["channels"]) == 2


def test_the_patient_stands_and_faces_the_viewer():
    document, _ = read(write_glb({"a": beating()[:1]}))
    assert "animations" not in document
    matrix = np.array(document["nodes"][0]["matrix"]).reshape(4, 4).T
    assert np.linalg.det(matrix[:3, :3]) > 0
    left, posterior, superior = matrix[:3, :3].T * 1000.0
    np.testing.assert_allclose([left, posterior, superior], [[1, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("moving", "times"),
    [
        ({}, [0.0]),
        ({"a": beating()}, [0.0, 0.1]),
        ({"a": beating()[:2]}, [0.1, 0.0]),
        ({"a": [beating()[0], Surface(POINTS, TRIANGLES[::-1])]}, [0.0, 0.1]),
    ],
)
def test_faults_are_named(moving, times):
    with pytest.raises(InputError):
        write_glb(moving, times)
