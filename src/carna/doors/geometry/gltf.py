"""Writer: surfaces that move, as one binary glTF 2.0 file that any viewer plays.

Every surface is one mesh with the first frame as its positions and a morph target for each later frame; one
animation turns the targets on and off, linearly in between (Khronos, glTF 2.0, sections 3.7.2.2 and 3.11).
glTF counts metres with Y up and +Z forward: one node turns and scales LPS millimetres, so the numbers in the
file are the patient's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.space import Surface

__all__ = ["write_glb"]

_FLOAT, _INDEX = 5126, 5125  # GL's numbers for float32 and uint32
_VERTICES, _TRIANGLES = 34962, 34963
# Columns of a matrix: the patient's left stays x, superior becomes y, posterior becomes minus z; mm to m.
_STAND: Final = [0.001, 0, 0, 0, 0, 0, -0.001, 0, 0, 0.001, 0, 0, 0, 0, 0, 1]
_COLOURS: Final = ((0.80, 0.20, 0.22, 1.0), (0.85, 0.55, 0.50, 0.45), (0.25, 0.42, 0.75, 0.8))


def write_glb(moving: Mapping[str, Sequence[Surface]], times_s: Sequence[float] = (0.0,)) -> bytes:
    """Return named surfaces over time as a binary glTF file.

    Parameters
    ----------
    moving : mapping of str to sequence of Surface
        For each name one surface a time, all with the same triangles.
    times_s : sequence of float
        Ascending, s.

    Raises
    ------
    InputError
        Another number of surfaces than of times, times out of order, or triangles that change.
    """
    times = np.asarray(times_s, np.float32)
    if not len(times) or (np.diff(times) <= 0).any() or not moving:
        raise InputError("times out of order, or no surface", needed="ascending times and a surface for each")
    file = _File()
    for n, (name, surfaces) in enumerate(moving.items()):
        if len(surfaces) != len(times):
            raise InputError(
                f"{len(surfaces)} surfaces of {name}", needed=f"one for each of {len(times)} times"
            )
        if any(not np.array_equal(s.triangles, surfaces[0].triangles) for s in surfaces):
            raise InputError(f"the triangles of {name} change", needed="one topology at all times")
        file.add(name, surfaces, _COLOURS[n % len(_COLOURS)])
    if len(times) > 1:
        file.animate(times)
    return file.bytes()


@final
class _File:
    """The lists of a glTF document and its buffer, as they grow."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lists: dict[str, list[Any]] = {
            key: [] for key in ("accessors", "bufferViews", "meshes", "materials", "animations")
        }
        self._nodes: list[dict[str, Any]] = [{"name": "LPS mm", "matrix": _STAND, "children": []}]

    def add(self, name: str, surfaces: Sequence[Surface], colour: tuple[float, ...]) -> None:
        """Add a surface with its morph targets."""
        first = surfaces[0].points
        shape: dict[str, Any] = {
            "attributes": {"POSITION": self._array(first.astype(np.float32), "VEC3", _VERTICES)},
            "indices": self._array(surfaces[0].triangles.ravel().astype(np.uint32), "SCALAR", _TRIANGLES),
            "material": len(self._lists["materials"]),
        }
        mesh: dict[str, Any] = {"name": name, "primitives": [shape]}
        if len(surfaces) > 1:
            shape["targets"] = [
                {"POSITION": self._array((s.points - first).astype(np.float32), "VEC3", _VERTICES)}
                for s in surfaces[1:]
            ]
            mesh["weights"] = [0.0] * (len(surfaces) - 1)
        self._lists["materials"].append(
            {
                "name": name,
                "alphaMode": "BLEND" if colour[3] < 1.0 else "OPAQUE",
                "doubleSided": True,
                "pbrMetallicRoughness": {
                    "baseColorFactor": list(colour),
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.7,
                },
            }
        )
        self._nodes[0]["children"].append(len(self._nodes))
        self._nodes.append({"name": name, "mesh": len(self._lists["meshes"])})
        self._lists["meshes"].append(mesh)

    def animate(self, times: npt.NDArray[np.float32]) -> None:
        """Add the animation that shows target n - 1 at time n, and none at the first."""
        weights = np.vstack([np.zeros(len(times) - 1), np.eye(len(times) - 1)]).astype(np.float32)
        moments, shares = self._array(times, "SCALAR"), self._array(weights.ravel(), "SCALAR")
        nodes = self._nodes[0]["children"]
        self._lists["animations"].append(
            {
                "name": "beat",
                "samplers": [{"input": moments, "output": shares, "interpolation": "LINEAR"}],
                "channels": [{"sampler": 0, "target": {"node": n, "path": "weights"}} for n in nodes],
            }
        )

    def _array(self, values: npt.NDArray[Any], kind: str, target: int | None = None) -> int:
        """Append numbers to the buffer and return their accessor."""
        raw = values.tobytes()  # a multiple of four bytes, so everything stays aligned
        view = {"buffer": 0, "byteOffset": len(self._buffer), "byteLength": len(raw)}
        self._lists["bufferViews"].append(view if target is None else view | {"target": target})
        self._buffer += raw
        low, high = (np.atleast_1d(f(axis=0)).tolist() for f in (values.min, values.max))
        self._lists["accessors"].append(
            {
                "bufferView": len(self._lists["bufferViews"]) - 1,
                "componentType": _INDEX if values.dtype == np.uint32 else _FLOAT,
                "count": len(values),
                "type": kind,
                "min": low,
                "max": high,
            }
        )
        return len(self._lists["accessors"]) - 1

    def bytes(self) -> bytes:
        """Return the file: a header, the document and the buffer, each padded to four bytes."""
        document = {
            "asset": {"version": "2.0", "generator": "Carna", "extras": {"space": "LPS", "unit": "mm"}},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": self._nodes,
            "buffers": [{"byteLength": len(self._buffer)}],
            **{key: values for key, values in self._lists.items() if values},
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        body = bytes(self._buffer)
        chunks = _chunk(b"JSON", text) + _chunk(b"BIN\0", body)
        return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + kind + content
