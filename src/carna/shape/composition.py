"""Sparse shape composition: what a damaged outline must have been, judged by whole shapes seen before.

An observed shape ``y`` (3n numbers) is taken as ::

    y = mean + D x + e,      minimise  1/2 |y - mean - D x - e|^2 + lambda sum_v kappa_v |e_v| + nu |x|_1

few training shapes (sparse ``x``) and a gross error that is zero at most vertices: the groups of ``e`` are
vertices, not coordinates (Zhang et al. 2012, doi:10.1016/j.media.2011.08.004). A single l1 norm finds
scattered outliers, but shrinks the error of a contiguous patch, and what it shrinks is left in the shape. So
the weights ``kappa_v`` are set anew ``ROUNDS`` times, small where the error was large (Candes et al. 2008,
doi:10.1007/s00041-008-9045-x).

Three things make it fast. ``D = Q R`` is kept as few orthonormal modes ``Q`` with the coefficients ``R`` of
the training shapes. ``e`` is eliminated: its minimum is a Huber function of each vertex' residual, solved by
reweighted least squares (Holland and Welsch 1977, doi:10.1080/03610927708827533). And as ``Q`` is
orthonormal, only the vertices that are doubted change the normal equations. Known failure: a patch of a fifth
of all vertices that moves as one is taken for anatomy.

``lambda`` and ``nu`` have no unit here: the first counts the residual's own noise, the second the largest
correlation with a training shape of unit size. A shape in metres is repaired like one in millimetres; with a
fixed ``lambda`` it would be called all gross error, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

__all__ = ["Composition", "Dictionary", "compose"]

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

RANK = 25
ROUNDS = 3
_STEPS = 4  # reweighted least squares within a round
_DESCENTS = 12  # of the coefficients within a step; they start where the last step ended
_MEDIAN_OF_CHI3 = 1.5382  # median length of a 3-D vector of independent normal numbers of sd 1
_RHO = 0.3  # of the alternating directions, for shapes of unit size
_FLOOR = 1e-6  # of the shape's size: below it, noise is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """Training shapes in a few orthonormal modes.

    Parameters
    ----------
    mean : (n, 3) float
    modes : (3n, m) float32
        Orthonormal columns.
    coefficients : (m, s) float32
        Of the training shapes, less the mean, in the modes.
    capacity : int
        Most shapes it holds; the most redundant leave.
    """

    mean: npt.NDArray[np.float64]
    modes: npt.NDArray[np.float32]
    coefficients: npt.NDArray[np.float32]
    capacity: int = 200

    @classmethod
    def of(cls, shapes: npt.ArrayLike, *, rank: int = RANK, capacity: int | None = None) -> Self:
        """Return the dictionary of aligned shapes.

        Parameters
        ----------
        shapes : (s, n, 3) float
            At least two, in one frame; vertex v of each is the same place.
        rank : int
            Modes kept, at least 1 (fewer where the shapes span fewer).
        capacity : int, optional
            Most shapes it will hold; as many as given when absent.

        Raises
        ------
        InputError
            Fewer than two shapes, another number of axes, or values that are not finite.
        """
        given = np.asarray(shapes, float)
        if given.ndim != 3 or given.shape[2] != 3 or len(given) < 2 or not np.isfinite(given).all():
            raise InputError(
                f"shapes of shape {given.shape}", needed="(s, n, 3) finite numbers, two shapes at least"
            )
        mean = given.mean(0)
        flat = (given - mean).reshape(len(given), -1)
        # The small Gram matrix of the shapes has the same singular values as the tall matrix.
        power, turn = np.linalg.eigh(flat @ flat.T)
        keep = np.argsort(power)[::-1][: min(rank, len(given) - 1)]
        keep = keep[power[keep] > 1e-10 * power.max()]
        if not len(keep):
            raise InputError("training shapes that are all the same", needed="shapes that differ")
        size = np.sqrt(power[keep])
        modes = flat.T @ turn[:, keep] / size
        coefficients = (turn[:, keep] * size).T
        return cls(mean, _f32(modes), _f32(coefficients), capacity or len(given))

    def with_shapes(self, shapes: npt.ArrayLike, *, rank: int | None = None) -> Self:
        """Return the dictionary with more shapes (s, n, 3), the mean left as it is.

        The modes turn towards what they could not say (Brand 2002, doi:10.1007/3-540-47969-4_47); beyond
        the capacity the shape with the nearest neighbour leaves, the older of the two.

        Parameters
        ----------
        rank : int, optional
            Modes kept; as many as before when absent.
        """
        rank = rank or self.modes.shape[1]
        modes, inside = self.modes.astype(float), self.coefficients.astype(float)
        for shape in np.asarray(shapes, float):
            flat = self._flat(shape)
            known = modes.T @ flat
            rest = flat - modes @ known
            beyond = float(np.linalg.norm(rest))
            inside = np.column_stack([inside, known])
            if beyond > 1e-6 * float(np.linalg.norm(flat)):
                inside = np.vstack([inside, np.zeros(inside.shape[1])])
                inside[-1, -1] = beyond
                modes = np.column_stack([modes, rest / beyond])
            if inside.shape[1] > self.capacity:
                inside = np.delete(inside, _most_redundant(inside), axis=1)
            turn, size, right = np.linalg.svd(inside, full_matrices=False)
            modes, inside = modes @ turn[:, :rank], size[:rank, None] * right[:rank]
        return type(self)(self.mean, _f32(modes), _f32(inside), self.capacity)

    def project(self, shape: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the least-squares shape (n, 3) in the modes: what a plain atlas would say."""
        flat = self._flat(shape)
        return self._shape(self.modes @ (self.modes.T @ flat.astype(np.float32)))

    def _flat(self, shape: npt.ArrayLike) -> Floats:
        given = np.asarray(shape, float)
        if given.shape != self.mean.shape or not np.isfinite(given).all():
            raise InputError(f"a shape {given.shape}", needed=f"{self.mean.shape}, finite")
        return np.asarray((given - self.mean).ravel())

    def _shape(self, flat: Floats) -> npt.NDArray[np.float64]:
        return np.asarray(self.mean + flat.reshape(self.mean.shape), float)


@dataclass(frozen=True, slots=True, eq=False)
class Composition:
    """A shape composed of training shapes, and what of the observed one was gross error.

    Attributes
    ----------
    shape : (n, 3) float
        ``mean + D x``.
    gross : (n, 3) float
        The gross error ``e``, zero at most vertices.
    coefficients : (s,) float
        ``x``, of the training shapes scaled to unit size.
    noise : float
        Standard deviation of a coordinate where nothing is gross, in the unit of the shape.
    """

    shape: npt.NDArray[np.float64]
    gross: npt.NDArray[np.float64]
    coefficients: Floats
    noise: float

    @property
    def is_gross(self) -> Bools:
        """Vertices (n,) with a gross error."""
        return np.asarray(np.linalg.norm(self.gross, axis=1) > 0.0)


def compose(
    dictionary: Dictionary,
    shape: npt.ArrayLike,
    *,
    start: npt.ArrayLike | None = None,
    gross: float = 4.0,
    sparse: float = 1.0,
    rounds: int = ROUNDS,
) -> Composition:
    """Return an observed shape as a composition of training shapes and a gross error.

    Parameters
    ----------
    dictionary : Dictionary
    shape : (n, 3) float
        Aligned with the dictionary.
    start : (s,) float, optional
        Coefficients to start from, such as those of the phase before.
    gross : float
        ``lambda``: residuals longer than this many times the noise are gross in the first round, 1 to 20.
    sparse : float
        ``nu``: share of the largest correlation with a training shape, 0 to 1; more gives fewer shapes.
    rounds : int
        1 is the plain group l1 norm; at least 1.

    Raises
    ------
    InputError
        A shape of another size, values that are not finite, a value outside its range.
    """
    if not (1.0 <= gross <= 20.0 and 0.0 <= sparse <= 20.0 and rounds >= 1):
        raise InputError(
            f"gross {gross}, sparse {sparse}, rounds {rounds}", needed="1 to 20, 0 to 20, at least 1"
        )
    flat = dictionary._flat(shape).astype(np.float32)
    modes = dictionary.modes.reshape(-1, 3, dictionary.modes.shape[1])
    length = np.linalg.norm(dictionary.coefficients, axis=0)
    unit = dictionary.coefficients / np.maximum(length, _FLOOR * float(length.max()))
    seen = dictionary.modes.T @ flat
    least = _FLOOR * max(float(length.max()), float(np.linalg.norm(flat))) / np.sqrt(len(flat))
    x = np.zeros(unit.shape[1], np.float32) if start is None else np.asarray(start, np.float32)
    if x.shape != unit.shape[1:]:
        raise InputError(
            f"a start of {x.shape}", needed=f"one coefficient for each of {unit.shape[1]} shapes"
        )
    # Without a start the least-squares shape is where the first residuals are taken.
    z = seen if start is None else unit @ x
    kappa, trust = np.ones(len(modes), np.float32), np.ones(len(modes), np.float32)
    dual = np.zeros_like(x)
    noise, normal, seen_now = 0.0, np.eye(len(seen), dtype=np.float32), seen
    for _ in range(rounds):
        for _ in range(_STEPS):
            residual = flat.reshape(-1, 3) - (dictionary.modes @ z).reshape(-1, 3)
            away = np.sqrt(np.einsum("vi,vi->v", residual, residual))
            noise = max(float(np.median(away[trust == 1.0])) / _MEDIAN_OF_CHI3, least)
            trust = np.minimum(1.0, gross * noise * kappa / np.maximum(away, 1e-30))
            normal, seen_now = _doubted(modes, flat.reshape(-1, 3), seen, trust)
            x, dual = _coefficients(normal, seen_now, unit, x, dual, sparse * noise)
            z = unit @ x
        kappa = (gross * noise / (gross * noise + 10.0 * (1.0 - trust) * away)).astype(np.float32)
    x = _unshrunk(normal, seen_now, unit, x)
    composed = dictionary._shape(dictionary.modes @ (unit @ x))
    error = np.asarray((1.0 - trust)[:, None] * (np.asarray(shape, float) - composed))
    return Composition(composed, error, x, noise)


def _doubted(modes: Floats, observed: Floats, seen: Floats, trust: Floats) -> tuple[Floats, Floats]:
    """Return ``Q' W Q`` and ``Q' W y``: of orthonormal modes only the doubted vertices change them."""
    at = trust < 1.0
    few = modes[at].reshape(-1, modes.shape[2])
    lost = np.repeat(1.0 - trust[at], 3)[:, None] * few
    normal = np.eye(few.shape[1], dtype=np.float32) - few.T @ lost
    return normal, seen - lost.T @ observed[at].ravel()


def _coefficients(
    normal: Floats, pull: Floats, unit: Floats, x: Floats, dual: Floats, nu: float
) -> tuple[Floats, Floats]:
    """Return ``x`` nearer to the least of ``1/2 x'R'NRx - b'Rx + nu |x|_1``, and its scaled dual.

    Alternating directions (Boyd et al. 2011, doi:10.1561/2200000016); the inverse of ``R'NR + rho`` (s, s) is
    that of a matrix of the rank (Woodbury).
    """
    inner = np.linalg.inv(_RHO * np.linalg.inv(normal) + unit @ unit.T)
    toward = unit.T @ pull
    for _ in range(_DESCENTS):
        given = toward + _RHO * (x - dual)
        free = (given - unit.T @ (inner @ (unit @ given))) / _RHO
        moved = free + dual
        x = np.sign(moved) * np.maximum(np.abs(moved) - nu / _RHO, 0.0)
        dual = moved - x
    return np.asarray(x), np.asarray(dual)


def _unshrunk(normal: Floats, pull: Floats, unit: Floats, x: Floats) -> Floats:
    """Return ``x`` of the same few shapes without the shrinking by the l1 norm.

    The relaxed lasso (Meinshausen 2007, doi:10.1016/j.csda.2006.12.019).
    """
    few = np.flatnonzero(x)
    if not len(few):
        return x
    root = np.linalg.cholesky(normal)
    left = np.linalg.solve(root, pull - normal @ (unit @ x))
    more = np.zeros_like(x)
    more[few] = np.linalg.lstsq(root.T @ unit[:, few], left, rcond=1e-6)[0]
    return np.asarray(x + more)


def _most_redundant(coefficients: Floats) -> int:
    """Return the shape (a column) that is nearest to another one; of the two, the older."""
    power = (coefficients**2).sum(0)
    apart = power[:, None] + power[None, :] - 2.0 * coefficients.T @ coefficients
    np.fill_diagonal(apart, np.inf)
    return int(min(np.unravel_index(int(apart.argmin()), apart.shape)))


def _f32(values: Floats) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)
