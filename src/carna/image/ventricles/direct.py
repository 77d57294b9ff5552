"""Areas, dimensions and wall thicknesses of every short-axis picture, without outlines: a second opinion.

A small network that saw pictures of virtual hearts and twelve numbers of each (`indices`), never an
outline, reads each picture in four turned and mirrored forms. Where it and the outlines disagree, one of them
is wrong. It is the coarser of the two.

Known failures: as of the outlines (`carna.image.ventricles.segment`), and slices in which a second round
bright thing lies beside the heart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.network import Network
from carna.image.ventricles.indices import INDICES
from carna.image.ventricles.window import Window

__all__ = ["DIRECT", "Direct", "both", "estimate", "phases"]

Floats = npt.NDArray[np.float64]

DIRECT = "cmr_direct"
_FORMS = ((0, False), (1, False), (2, True), (0, True))  # quarter turns, mirrored
_AREAS, _DIMENSIONS, _WALLS = slice(0, 3), slice(3, 6), slice(6, 12)
_BELIEVED = 0.5  # probability from which a slice has a left ventricle


@dataclass(frozen=True, slots=True, eq=False)
class Direct:
    """What every picture measures.

    Parameters
    ----------
    areas : (t, k, 3) float64
        Left cavity, left muscle, right cavity, in mm2, or in pixels of the frames where their size is
        unknown; 0 where no left ventricle is believed to be.
    dimensions : (t, k, 3) float64
        Of the left cavity (`carna.image.ventricles.indices.DIMENSIONS`), mm or pixels; NaN without one.
    walls : (t, k, 6) float64
        Thickness by region (`carna.image.ventricles.indices.WALLS`), mm or pixels; NaN without a ventricle.
    present : (t, k) float64
        Probability that the slice shows a left ventricle.
    spread : (t, k) float64
        Standard deviation of the left cavity's area over four readings, as a share of its mean.
    """

    areas: Floats
    dimensions: Floats
    walls: Floats
    present: Floats
    spread: Floats

    @property
    def phase(self) -> npt.NDArray[np.int8]:
        """Whether the ventricle fills (1) or empties (-1) at each frame, ``(t,)``: see `phases`."""
        return phases(self.areas[:, :, 0].sum(1))


def estimate(
    frames: npt.NDArray[np.floating | np.integer],
    window: Window,
    *,
    pixel_mm: float | None,
    network: Network | None = None,
) -> Direct:
    """Measure every picture of a short-axis cine.

    Parameters
    ----------
    frames : (t, k, r, c) real
    window : Window
        The square that holds the heart, as `carna.image.ventricles.segment` finds it.
    pixel_mm : float or None
        Side of a square pixel of the frames; None gives pixels.
    network : Network, optional
        `DIRECT` if absent.

    Raises
    ------
    InputError
        Frames that are not ``(t, k, r, c)``, or a window of another side than the network's.
    """
    stack = np.asarray(frames)
    if stack.ndim != 4:
        raise InputError(f"frames of shape {stack.shape}", needed="(t, k, r, c)")
    network = network or Network(DIRECT)
    read = np.stack([_read(window.cut(np.asarray(frame, np.float32)), network) for frame in stack])
    mean = read.mean(1)  # (t, k, 13)
    cavity = read[..., 0]
    spread = cavity.std(1) / np.maximum(cavity.mean(1), 1.0)
    present = 1.0 / (1.0 + np.exp(-np.clip(mean[..., -1], -30, 30)))
    length = window.step * (pixel_mm or 1.0)
    there = (present >= _BELIEVED)[..., None]
    return Direct(
        np.where(there, mean[..., _AREAS] * length**2, 0.0),
        np.where(there, mean[..., _DIMENSIONS] * length, np.nan),
        np.where(there, mean[..., _WALLS] * length, np.nan),
        present,
        spread,
    )


def _read(cut: npt.NDArray[np.float32], network: Network) -> Floats:
    """Return the numbers (4, k, 13) of windows (k, n, n) in four forms."""
    out = []
    for turns, mirrored in _FORMS:
        seen = np.rot90(cut, turns, (1, 2))
        seen = seen[:, :, ::-1] if mirrored else seen
        said = network.numbers(np.ascontiguousarray(seen)).astype(np.float64)
        if said.shape[1] != len(INDICES) + 1:
            raise InputError(f"a network of {said.shape[1]} numbers", needed=f"{len(INDICES) + 1}")
        if mirrored:  # regions are counted the other way round
            said[:, _DIMENSIONS], said[:, _WALLS] = said[:, 5:2:-1].copy(), said[:, 11:5:-1].copy()
        out.append(said)
    return np.stack(out)


def both(outlined: npt.ArrayLike, direct: npt.ArrayLike) -> Floats:
    """Return the mean of two estimates of the left cavity's areas or volumes, weighted by who errs less.

    The weight was chosen on virtual patients (`carna.learn.cmr_trust`); it stands in the card of the trust.
    """
    text = (files("carna") / "models" / "cmr_trust.json").read_text(encoding="utf-8")
    share = float(json.loads(text)["direct share"])
    return (1.0 - share) * np.asarray(outlined, float) + share * np.asarray(direct, float)


def phases(curve: npt.NDArray[np.floating]) -> npt.NDArray[np.int8]:
    """Return whether a volume over the closed beat rises (1) or falls (-1) at each frame; 0 for fewer than 5.

    Parameters
    ----------
    curve : (t,) float
        Smoothed by (1, 2, 1) / 4 first; the slope is that between the neighbours.
    """
    y = np.asarray(curve, float)
    if len(y) < 5:
        return np.zeros(len(y), np.int8)
    y = (np.roll(y, 1) + 2 * y + np.roll(y, -1)) / 4
    return np.where(np.roll(y, -1) - np.roll(y, 1) < 0, -1, 1).astype(np.int8)
