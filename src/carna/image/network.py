"""A trained network as a function: arrays in, arrays out, on one thread.

ONNX Runtime in float32 computes it, and is the reference. Where OpenVINO is installed (``carna[accel]``) it
does, in bfloat16 if the processor has instructions for it, in float32 otherwise: said outright, since
OpenVINO would choose by itself. `Network.engine` says which it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

Scores = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


_BATCH = 10  # pictures a call: larger ones leave the cache


@final
class Network:
    """A network that comes with the package, ``models/NAME.onnx`` with its card ``NAME.json``, or a file.

    Parameters
    ----------
    name : str or Path
        Name in the package, or the path of an ONNX file with its card beside it.
    accelerate : bool
        Whether OpenVINO may compute it where it is installed.

    Attributes
    ----------
    card : dict
        What it was taught with and scored on; ``side`` is the pixels of its pictures.
    engine : str
        What computes it, and in which precision.

    Raises
    ------
    InputError
        There is no such network.
    """

    def __init__(self, name: str | Path, *, accelerate: bool = True) -> None:
        source = Path(name) if isinstance(name, Path) else files("carna") / "models" / f"{name}.onnx"
        with as_file(source) as path:
            if not path.exists():
                raise InputError(f"no network at {name}", needed="an ONNX file with its card beside it")
            self.card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            self.engine, self._scores = (
                _openvino(path) if accelerate and find_spec("openvino") else _onnx(path)
            )
        self.side = int(self.card["side"])

    def shares(self, pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what share of belief each class of each pixel has.

        Parameters
        ----------
        pictures : (n, side, side) float32
            Any brightness; each is standardised by itself.

        Returns
        -------
        (n, classes, side, side) float32
            0 to 1, sum 1 over the classes.
        """
        return _softmax(self.numbers(pictures))

    def numbers(self, pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what the network itself says of pictures (n, side, side), each standardised: (n, ...)."""
        if pictures.ndim != 3 or pictures.shape[1:] != (self.side, self.side):
            raise InputError(f"pictures of shape {pictures.shape}", needed=f"(n, {self.side}, {self.side})")
        out = [self._scores(standardised(pictures[n : n + _BATCH])) for n in range(0, len(pictures), _BATCH)]
        return np.concatenate(out)


def turned(network: Network, pictures: npt.NDArray[np.float32], turns: int, mirrored: bool) -> Any:
    """Return the shares of pictures read turned by right angles, mirrored or not, and turned back."""
    seen = np.rot90(pictures, turns, (1, 2))
    back = network.shares(np.ascontiguousarray(seen[:, :, ::-1] if mirrored else seen))
    return np.rot90(back[..., ::-1] if mirrored else back, -turns, (2, 3))


def standardised(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return pictures (n, 1, r, c) clipped to their 1st and 99th percentile, mean 0, deviation 1 each."""
    flat = pictures.reshape(len(pictures), -1)
    low, high = np.percentile(flat, (1.0, 99.0), axis=1, keepdims=True)
    flat = np.clip((flat - low) / np.maximum(high - low, 1e-6), 0.0, 1.0)
    flat = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + 1e-6)
    return np.asarray(flat.reshape(len(pictures), 1, *pictures.shape[1:]), np.float32)


def _softmax(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    grown = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(grown / grown.sum(1, keepdims=True), np.float32)


def _onnx(path: Path) -> tuple[str, Scores]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Two spinning threads on two busy cores are slower than one.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return "ONNX Runtime, float32", lambda pictures: session.run(None, {name: pictures})[0]


def _openvino(path: Path) -> tuple[str, Scores]:
    import openvino

    core = openvino.Core()
    short = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    set_to = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if short else "f32",
    }
    model = core.compile_model(str(path), "CPU", set_to)
    said = f"OpenVINO, {'bfloat16' if short else 'float32'}"
    return said, lambda pictures: np.asarray(model(pictures)[0], np.float32)
