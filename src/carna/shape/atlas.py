"""A statistical atlas of both ventricles: the mean shape, its modes, and how unusual a shape is.

A shape is a vector of all vertices of the template in the heart's own frame (origin at the middle of its base
plane, x to the septum, z to the apex). With ``c`` the coefficients of a shape in the modes and ``mu``, ``S``
the mean and the covariance that hearts of the same moment of the beat have ::

    d = sqrt((c - mu)' (S + s^2 1)^-1 (c - mu))

is its Mahalanobis distance (Mahalanobis 1936); ``s`` is the error of a coefficient that a fit to slices
leaves. What ``d`` means is told by hearts that were fitted in the same way: `Atlas.share_beyond`.

The atlas that comes with the package, ``models/heart_atlas.npz``, was made of virtual hearts only
(`carna.learn.shape_atlas`); "unusual" is unusual among these, and no statement on people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.shape.composition import Dictionary
from carna.shape.template import VERTICES

__all__ = ["FORMAT", "MOMENTS", "Atlas", "Moment", "load"]

Floats = npt.NDArray[np.float64]
Moment = Literal["ED", "ES"]

FORMAT: Final = "carna.heart-atlas/1"
MOMENTS: Final[tuple[Moment, ...]] = ("ED", "ES")
FIT_MM: Final = 0.5  # error of a fitted vertex that all vertices share, as a coefficient


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Mean and modes of shapes, with the training shapes in them.

    Parameters
    ----------
    mean : (n, 3) float
        mm.
    modes : (3n, m) float32
        Orthonormal columns, the largest variance first.
    coefficients : mapping of "ED" and "ES" to (m, s) float32
        Of the training shapes, mm times the square root of n.
    fitted : mapping of "ED" and "ES" to (f,) float
        Sorted distances of hearts that were not trained on, each fitted to slices; may be empty.
    """

    mean: Floats
    modes: npt.NDArray[np.float32]
    coefficients: dict[Moment, npt.NDArray[np.float32]]
    fitted: dict[Moment, Floats]

    @classmethod
    def of(cls, shapes: dict[Moment, Floats], *, rank: int) -> Atlas:
        """Return the atlas of aligned shapes (s, n, 3) of each moment, in common modes."""
        whole = Dictionary.of(np.concatenate([shapes[m] for m in MOMENTS]), rank=rank)
        ends = np.cumsum([len(shapes[m]) for m in MOMENTS])[:-1]
        parts = np.split(whole.coefficients, ends, axis=1)
        inside = dict(zip(MOMENTS, parts, strict=True))
        return cls(whole.mean, whole.modes, inside, dict.fromkeys(MOMENTS, np.empty(0)))

    @property
    def spread(self) -> Floats:
        """Standard deviation of each coefficient over all training shapes, (m,)."""
        return np.asarray(np.concatenate([self.coefficients[m] for m in MOMENTS], axis=1).std(axis=1))

    def dictionary(self) -> Dictionary:
        """Return the training shapes of all moments as a dictionary to compose shapes of."""
        inside = np.concatenate([self.coefficients[m] for m in MOMENTS], axis=1)
        return Dictionary(self.mean, self.modes, inside, inside.shape[1])

    def coefficients_of(self, shape: npt.ArrayLike) -> Floats:
        """Return the coefficients (m,) of a shape (n, 3) mm.

        Raises
        ------
        InputError
            Another number of vertices, or values that are not finite.
        """
        given = np.asarray(shape, float)
        if given.shape != self.mean.shape or not np.isfinite(given).all():
            raise InputError(f"a shape {given.shape}", needed=f"{self.mean.shape}, finite")
        return np.asarray(self.modes.T @ (given - self.mean).ravel())

    def shape(self, coefficients: npt.ArrayLike) -> Floats:
        """Return the shape (n, 3) mm of coefficients (m,)."""
        flat = self.modes @ np.asarray(coefficients, np.float32)
        return np.asarray(self.mean + flat.reshape(self.mean.shape))

    def distance(self, shape: npt.ArrayLike, moment: Moment) -> float:
        """Return the Mahalanobis distance of a shape (n, 3) from the training hearts of a moment, >= 0."""
        inside = self.coefficients[moment].astype(float)
        away = self.coefficients_of(shape) - inside.mean(1)
        noise = FIT_MM**2 * len(self.mean)
        spread = np.cov(inside) + noise * np.eye(len(inside))
        return float(np.sqrt(away @ np.linalg.solve(spread, away)))

    def share_beyond(self, distance: float, moment: Moment) -> float:
        """Return the share of fitted hearts with a distance at least as large, 0 to 1.

        Raises
        ------
        InputError
            The atlas holds no fitted hearts.
        """
        known = self.fitted[moment]
        if not len(known):
            raise InputError("an atlas without fitted hearts", needed="distances of hearts not trained on")
        return float(np.mean(known >= distance))


@cache
def load() -> Atlas:
    """Return the atlas that comes with the package."""
    from importlib.resources import as_file, files

    with (
        as_file(files("carna") / "models" / "heart_atlas.npz") as path,
        np.load(path, allow_pickle=False) as kept,
    ):
        arrays = {name: kept[name] for name in kept.files}
    if str(arrays["format"]) != FORMAT or arrays["mean"].shape != (VERTICES, 3):
        raise InputError(
            f"models/heart_atlas.npz is {arrays['format']} of {len(arrays['mean'])} vertices",
            needed=f"{FORMAT} of {VERTICES}",
            fix="make it again with carna.learn.shape_atlas",
        )
    modes = np.ascontiguousarray(arrays["modes"], np.float32)
    # Half precision keeps the columns orthogonal to a few parts in ten thousand; made exact again here.
    modes, triangle = np.linalg.qr(modes)
    modes = np.ascontiguousarray(modes * np.sign(np.diag(triangle)), np.float32)
    inside = {m: np.asarray(arrays[f"coefficients_{m}"], np.float32) for m in MOMENTS}
    fitted = {m: np.asarray(arrays[f"fitted_{m}"], float) for m in MOMENTS}
    return Atlas(np.asarray(arrays["mean"], float), modes, inside, fitted)
