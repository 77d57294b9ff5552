"""The left atrium in a late enhancement volume: found, outlined, measured.

A volume that covers the heart is resampled to 2.5 mm and read by a small three-dimensional U-Net in one
window of 120 x 100 x 120 mm. Blood is equally bright in every chamber then; place and neighbours tell them
apart, which is why the network sees the whole window at once and why left and right must be what they are
said to be: axes go from feet to head, front to back, right to left.

The window begins in the middle of the volume and moves to what it finds until it stays, from several
beginnings where the volume is much larger. Then it is read seven times, shifted by 5 mm along each axis; the
mean decides, the spread of the seven says how sure it is. The largest body is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import permutations
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.progress import SILENT, Progress

__all__ = ["LeftAtrium", "Reader", "Upright", "left_atrium", "upright"]

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

NETWORK: Final = "atrium_lge"
_MOVES = 4  # of the window until it must stay
_STAYS_MM = 5.0
_AROUND_MM = 45.0  # other beginnings lie so far from the middle
_SHIFTS = ((0, 0, 0), (2, 0, 0), (-2, 0, 0), (0, 2, 0), (0, -2, 0), (0, 0, 2), (0, 0, -2))  # voxels
_MOST = 60_000_000  # voxels


@dataclass(frozen=True, slots=True, eq=False)
class LeftAtrium:
    """A left atrium found in a volume.

    Parameters
    ----------
    labels : (k, r, c) uint8
        1 inside: blood pool with appendage and the first centimetre of the veins; on the voxels given.
    ml : float
        Its volume, mL.
    range_ml : (float, float)
        Least and greatest volume by the seven shifted readings, mL.
    certainty : float
        Mean belief in the outline over the atrium and 5 mm around it, 0.5 to 1.
    agreement : float
        Mean Dice of the seven shifted readings with the outline, 0 to 1.
    cut : float
        Share of the atrium within 5 mm of the picture's rim: where much of it is, it goes on beyond.
    """

    labels: npt.NDArray[np.uint8]
    ml: float
    range_ml: tuple[float, float]
    certainty: float
    agreement: float
    cut: float


@dataclass(frozen=True, slots=True)
class Upright:
    """How a volume's axes become the body's: from feet to head, front to back, right to left.

    Parameters
    ----------
    order : 3 ints
        Which axis of the volume is the first, second and third then.
    forward : 3 bools
        Whether each of these runs that way already.
    tilt_deg : float
        Largest angle between an axis and the body's, 0 to 55 degrees.
    """

    order: tuple[int, int, int]
    forward: tuple[bool, bool, bool]
    tilt_deg: float

    def view(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of a volume, or of labels to be filled, in the body's axes."""
        steps = tuple(slice(None, None, 1 if ahead else -1) for ahead in self.forward)
        return volume.transpose(self.order)[steps]


def upright(directions: npt.NDArray[np.floating]) -> Upright:
    """Return how to turn a volume so that its axes lie nearest to the body's.

    Parameters
    ----------
    directions : (3, 3)
        Columns: where slices, rows and columns of the volume lead in LPS space, any length.
    """
    body = np.array([(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)])
    along = body @ (directions / np.linalg.norm(directions, axis=0))
    order = max(permutations(range(3)), key=lambda p: sum(abs(along[n, p[n]]) for n in range(3)))
    cosines = [float(along[n, order[n]]) for n in range(3)]
    tilt = float(np.degrees(np.arccos(np.clip(min(abs(x) for x in cosines), 0.0, 1.0))))
    a, b, c = order
    return Upright((a, b, c), (cosines[0] > 0, cosines[1] > 0, cosines[2] > 0), tilt)


@final
class Reader:
    """A volume network with its card: arrays in, belief out, by ONNX Runtime on one thread.

    Parameters
    ----------
    name : str or Path
        Name in the package, or the path of an ONNX file with its card beside it.

    Raises
    ------
    InputError
        There is no such network.
    """

    def __init__(self, name: str | Path = NETWORK) -> None:
        import onnxruntime

        source = Path(name) if isinstance(name, Path) else files("carna") / "models" / f"{name}.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        with as_file(source) as path:
            if not path.exists():
                raise InputError(f"no network at {name}", needed="an ONNX file with its card beside it")
            self.card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        k, r, c = self.card["shape"]
        self.shape: tuple[int, int, int] = (int(k), int(r), int(c))
        self.step_mm = float(self.card["step_mm"])

    def belief(self, window: Floats, seen: Flags) -> Floats:
        """Return the belief (k, r, c), 0 to 1, that each voxel is left atrium.

        Parameters
        ----------
        window : (k, r, c) float32
            Of `shape`, any brightness.
        seen : (k, r, c) bool
            Which voxels were pictured.
        """
        low, high = np.percentile(window[seen], (1.0, 99.0)) if seen.any() else (0.0, 1.0)
        scaled = np.clip((window - low) / max(float(high - low), 1e-6), 0.0, 1.0) * seen
        scaled = (scaled - scaled.mean()) / (scaled.std() + 1e-6)
        name = self._session.get_inputs()[0].name
        (scores,) = self._session.run(None, {name: scaled[None, None].astype(np.float32)})
        return np.asarray(1.0 / (1.0 + np.exp(scores[0, 0] - scores[0, 1])), np.float32)


def left_atrium(
    volume: npt.NDArray[np.floating | np.integer],
    spacing_mm: tuple[float, float, float],
    *,
    reader: Reader | None = None,
    progress: Progress = SILENT,
) -> LeftAtrium:
    """Find and outline the left atrium.

    Parameters
    ----------
    volume : (k, r, c) real
        Late enhancement magnitude picture, k from feet to head, r from front to back, c from right to left.
    spacing_mm : (k, r, c)
        Distances of slices (0.3 to 6), rows and columns (0.3 to 4), mm.
    reader : Reader, optional
        The package's own unless given.
    progress : Progress

    Raises
    ------
    InputError
        Not a volume of at least 40 mm each way, voxels too coarse, values that are not finite or all the
        same; or no left atrium is found.
    """
    stack = _checked(volume, spacing_mm)
    reader = reader or _own()
    coarse = _resampled(stack, spacing_mm, reader.step_mm)
    middle = _sought(coarse, reader, progress.part(0.0, 0.6))
    readings = []
    for n, shift in enumerate(_SHIFTS):
        readings.append(_read(coarse, middle + shift, reader))
        progress(0.6 + 0.35 * (n + 1) / len(_SHIFTS), "left atrium")
    belief = np.mean(readings, axis=0)
    body = _largest(belief > 0.5)
    if not body.any():
        raise InputError(
            "no left atrium is found", needed="a late enhancement volume of the heart, cut across the body"
        )
    labels = _fine(np.where(_near(body, 2), belief, 0.0), stack.shape, spacing_mm, reader.step_mm)
    voxel_ml = float(np.prod(spacing_mm)) / 1e3
    coarse_ml = [float((one > 0.5)[_near(body, 2)].sum()) for one in readings]
    ml = float(labels.sum()) * voxel_ml
    per = ml / max(float(body.sum()), 1.0)
    around = _near(body, round(5.0 / reader.step_mm))
    progress(1.0, "left atrium")
    return LeftAtrium(
        labels=labels.astype(np.uint8),
        ml=ml,
        range_ml=(min(coarse_ml) * per, max(coarse_ml) * per),
        certainty=float(np.maximum(belief, 1.0 - belief)[around].mean()),
        agreement=float(np.mean([_dice(_largest(one > 0.5), body) for one in readings])),
        cut=_on_rim(body),
    )


@cache
def _own() -> Reader:
    return Reader()


def _checked(volume: npt.NDArray[Any], spacing_mm: tuple[float, float, float]) -> Floats:
    stack = np.asarray(volume, np.float32)
    if stack.ndim != 3 or stack.size > _MOST:
        raise InputError(f"a volume of shape {stack.shape}", needed=f"(k, r, c), {_MOST} voxels at most")
    if not all(0.3 <= mm <= most for mm, most in zip(spacing_mm, (6.0, 4.0, 4.0), strict=True)):
        raise InputError(
            f"voxels of {spacing_mm} mm", needed="slices 0.3 to 6 mm apart, pixels of 0.3 to 4 mm"
        )
    wide = [n * mm for n, mm in zip(stack.shape, spacing_mm, strict=True)]
    if min(wide) < 40.0:
        size = " x ".join(f"{w:.0f}" for w in wide)
        raise InputError(
            f"a volume of {size} mm", needed="at least 40 mm each way", fix="send the whole series"
        )
    if not np.isfinite(stack).all() or float(np.ptp(stack)) == 0.0:
        raise InputError("a volume that is empty or not finite", needed="a picture")
    return stack


def _resampled(stack: Floats, spacing_mm: tuple[float, float, float], step_mm: float) -> Floats:
    """Return the volume on voxels of ``step_mm`` about the same middle, finer detail averaged out."""
    from scipy.ndimage import affine_transform, gaussian_filter

    scale = np.array([step_mm / mm for mm in spacing_mm])
    smooth = gaussian_filter(stack, 0.42 * np.sqrt(np.maximum(scale**2 - 1.0, 0.0)), mode="nearest")
    shape = tuple(int(np.ceil(n / s)) for n, s in zip(stack.shape, scale, strict=True))
    offset = (np.array(stack.shape) - 1.0) / 2.0 - scale * (np.array(shape) - 1.0) / 2.0
    return np.asarray(
        affine_transform(smooth, scale, offset, output_shape=shape, order=1, mode="nearest"), np.float32
    )


def _sought(coarse: Floats, reader: Reader, progress: Progress) -> npt.NDArray[np.int64]:
    """Return the middle of the window that shows the atrium best, in voxels of the coarse volume."""
    away = round(_AROUND_MM / reader.step_mm)
    half = np.array(coarse.shape) // 2
    room = np.array(coarse.shape) - np.array(reader.shape)
    starts = [half]
    for axis in range(3):
        if room[axis] > away:
            starts += [half + side * away * np.eye(3, dtype=np.int64)[axis] for side in (-1, 1)]
    best, most = half, -1.0
    for n, start in enumerate(starts):
        at, told = _settled(coarse, start, reader)
        if told > most:
            best, most = at, told
        progress((n + 1) / len(starts), "looking for the left atrium")
    return np.asarray(best, np.int64)


def _settled(
    coarse: Floats, at: npt.NDArray[np.int64], reader: Reader
) -> tuple[npt.NDArray[np.int64], float]:
    """Move a window to what it finds until it stays; return its middle and how much is found, how surely."""
    told = 0.0
    for _ in range(_MOVES):
        belief = _read(coarse, at, reader)
        body = _largest(belief > 0.5)
        if not body.any():
            return at, 0.0
        told = float((2.0 * belief[body] - 1.0).sum())
        to = np.rint(np.argwhere(body).mean(0)).astype(np.int64)
        moved = float(np.abs(to - at).max()) * reader.step_mm
        at = to
        if moved <= _STAYS_MM:
            break
    return at, told


def _read(coarse: Floats, middle: npt.NDArray[np.int64], reader: Reader) -> Floats:
    """Return the belief over the whole coarse volume by one window about a voxel; 0 outside it."""
    low = np.asarray(middle) - np.array(reader.shape) // 2
    into, of = [], []
    for a, side, n in zip(low, reader.shape, coarse.shape, strict=True):
        begin, end = max(int(a), 0), min(int(a) + side, n)
        of.append(slice(begin, end))
        into.append(slice(begin - int(a), end - int(a)))
    window, seen = np.zeros(reader.shape, np.float32), np.zeros(reader.shape, np.bool_)
    window[tuple(into)] = coarse[tuple(of)]
    seen[tuple(into)] = True
    out = np.zeros(coarse.shape, np.float32)
    out[tuple(of)] = reader.belief(window, seen)[tuple(into)]
    return out


def _fine(
    belief: Floats, shape: tuple[int, ...], spacing_mm: tuple[float, float, float], step_mm: float
) -> Flags:
    """Return where belief, enlarged smoothly to the voxels that were given, is more than a half."""
    from scipy.ndimage import affine_transform

    scale = np.array([mm / step_mm for mm in spacing_mm])
    offset = (np.array(belief.shape) - 1.0) / 2.0 - scale * (np.array(shape) - 1.0) / 2.0
    fine = affine_transform(belief, scale, offset, output_shape=shape, order=1, mode="nearest")
    return _largest(fine > 0.5)


def _largest(flags: Flags) -> Flags:
    """Return the largest body, its holes filled."""
    from scipy.ndimage import binary_fill_holes, label

    names, count = label(flags)
    if count > 1:
        flags = names == 1 + int(np.argmax(np.bincount(names.ravel())[1:]))
    return np.asarray(binary_fill_holes(flags), np.bool_)


def _near(body: Flags, voxels: int) -> Flags:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(body, iterations=voxels), np.bool_)


def _dice(a: Flags, b: Flags) -> float:
    return 2.0 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def _on_rim(body: Flags) -> float:
    """Share of a body in the two outermost layers of voxels; the network is shy of the very last."""
    inner = float(body[2:-2, 2:-2, 2:-2].sum())
    return 1.0 - inner / max(float(body.sum()), 1.0)
