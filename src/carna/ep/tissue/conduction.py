"""Conduction velocity of a cell model on a grid, and the diffusion that makes it right.

Without a grid a front runs at ``c = c0 sqrt(D)``, ``c0`` a constant of the cell model (1.99 for ten
Tusscher-Panfilov, mm/ms and mm2/ms). On a grid of spacing h it is slower, and at 0.4 mm by a quarter along
the fibre and two thirds across it: the front is hardly wider than a voxel. By dimension the loss depends on
one number only,

    c = sqrt(D) F(y),   y = h / sqrt(D),   F(0) = c0

so one table of F serves every spacing, direction and conductivity of a model, and the multiplier m that makes
``sqrt(m D) F(y / sqrt(m)) = c0 sqrt(D)`` follows without another simulation. The table is measured once on
cables that lie side by side in a single block (a second of work) and kept in the user's cache folder.

Oblique fibres make a front meet other distances than h, and a little conduction along the fibre leaks across
it. Both are in the symbol S(kappa) of the assembled stencil, the factor by which it damps a wave of that
number. On an axis a front behaves as if all of it were one wave: ``(F / c0)^2 = S(kappa) / (D kappa^2)``
defines its ``kappa sqrt(D)`` as a function of the loss F / c0 (about 2.3, falling to 1.6 where half is lost),
and the same relation read backwards predicts the loss in any direction of any tensor, to a few per cent
(`symbol`). `calibrated` solves it for the multipliers of all principal directions at once.

Multiplying D also lengthens the electrotonic space constant: where that decides (a narrow isthmus), compare
with a run at 0.2 mm.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carna.ep.cache import cache_folder
from carna.ep.tissue.grid import Tissue
from carna.ep.tissue.record import Activation
from carna.ep.tissue.run import simulate
from carna.ep.tissue.stimulus import Stimulus
from carna.errors import InputError

Floats = NDArray[np.float64]
ACROSS = (5.0, 5.0, 1.0, 1.0)  # two directions across a fibre, and those midway, which lose less
COARSEST = 3.2  # of y: beyond it ventricular models block


@dataclass(frozen=True, slots=True)
class Conduction:
    """How fast a cell model conducts on a grid.

    Parameters
    ----------
    name : str
        Of the model.
    dt_ms : float
        Time step of the table.
    order : int
        Of diffusion, 2 or 4.
    c0 : float
        Velocity over sqrt(diffusion) without a grid: (mm/ms) / sqrt(mm2/ms).
    y : tuple of float
        Spacing over sqrt(diffusion), sqrt(ms), ascending.
    f : tuple of float
        Velocity over sqrt(diffusion) there.
    """

    name: str
    dt_ms: float
    order: int
    c0: float
    y: tuple[float, ...]
    f: tuple[float, ...]

    def velocity(self, diffusion_mm2_per_ms: ArrayLike, spacing_mm: ArrayLike = 0.0) -> Floats:
        """Return the conduction velocity, m/s, on a grid (0: without one); NaN where it blocks."""
        root = np.sqrt(np.asarray(diffusion_mm2_per_ms, np.float64))
        y = np.asarray(spacing_mm) / root
        f = np.interp(y, (0.0, *self.y), (self.c0, *self.f), right=np.nan)
        return np.asarray(root * f)

    def diffusion(self, velocity_m_per_s: ArrayLike) -> Floats:
        """Return the diffusion, mm2/ms, that conducts at a velocity without a grid."""
        return np.asarray((np.asarray(velocity_m_per_s, np.float64) / self.c0) ** 2)

    def wave(self, loss: Floats) -> Floats:
        """Return ``kappa sqrt(D)``, sqrt(1/ms), of the wave that stands for a front of this F / c0."""
        ratio = np.asarray(self.f) / self.c0
        # (F / c0)^2 = S / (D kappa^2) with S = (2 / h sin x)^2 D, x = kappa h / 2: so F / c0 = sin(x) / x.
        x = np.linspace(1e-3, np.pi, 4000)
        half = np.interp(ratio, (np.sin(x) / x)[::-1], x[::-1])
        good = ratio < 0.985  # nearer to 1, what is lost to the time step would decide
        wave = (2 * half / np.asarray(self.y))[good]
        return np.asarray(np.interp(loss, ratio[good][::-1], wave[::-1]))

    def multiplier(self, diffusion_mm2_per_ms: ArrayLike, spacing_mm: ArrayLike) -> Floats:
        """Return by what to multiply the diffusion so that the grid conducts as it should.

        Raises
        ------
        InputError
            No multiplier does: the grid is too coarse.
        """
        d = np.asarray(diffusion_mm2_per_ms, np.float64)
        x = np.asarray(spacing_mm, np.float64) / np.sqrt(np.maximum(d, 1e-12))
        ratio = self.c0 / np.asarray(self.f)
        at = np.asarray(self.y) * ratio
        m = ratio**2
        # Toward no grid the loss is quadratic in h; what is left at h = 0 is the loss by the time step.
        slope = (m[1] - m[0]) / (at[1] ** 2 - at[0] ** 2)
        near = m[0] + slope * (x**2 - at[0] ** 2)
        out = np.where(x < at[0], near, np.exp(np.interp(x, at, np.log(m))))
        worst = float(np.max(np.where(d > 0, x, 0), initial=0))
        if worst > at[-1]:
            raise InputError(
                f"a spacing of {worst:.2f} times sqrt(diffusion)",
                needed=f"at most {at[-1]:.2f}, where {self.name} still conducts",
                fix="use a finer grid or a larger diffusion",
            )
        return np.asarray(np.where(d > 0, out, 1.0))


def _measure(model: object, y: Floats, dt_ms: float, order: Literal[2, 4]) -> Floats:
    """Return F at each y (NaN where it blocks), on cables of unit spacing."""
    d = 1 / y**2
    start = np.ceil(5 / y).astype(int)
    first = start + np.maximum(np.ceil(15 / y), 6).astype(int)  # by then the front has its shape
    last = first + np.maximum(np.ceil(12 / y), 10).astype(int)
    n = int(last.max()) + 20
    # An active node goes on when it reaches its neighbour; the slowest cables need no more than this.
    end_ms = float((last / np.maximum(0.08, 0.9 / y - 0.1)).max()) + 10
    groups = [np.arange(len(y))] if order == 2 else [np.array([i]) for i in range(len(y))]
    found = np.full(len(y), np.nan)
    for rows in groups:
        m = len(rows)
        # Every second row is empty: neighbours would share their diffusion.
        field = np.zeros((1, 2 * m - 1, n, 3))
        field[0, ::2, :, 0] = d[rows][:, None]
        cables = Tissue(
            np.broadcast_to((np.arange(2 * m - 1) % 2 == 0)[None, :, None], field.shape[:3]).copy(),
            (1.0, 1.0, 1.0),
            {0: model},
            np.array([d[rows[0]], 0.0, 0.0]) if m == 1 else field,
            np.array([0.0, 0.0, 1.0]),
            walls="node" if m == 1 else "voxel",
        )
        where = np.zeros(cables.mask.shape, bool)
        where[0, ::2] = np.arange(n) < start[rows][:, None]
        run = simulate(cables, Stimulus(where), end_ms, dt_ms=dt_ms, order=order, record=(Activation(),))
        assert run.activation_ms is not None
        for line, i in enumerate(rows):
            a, b = run.activation_ms[0, 2 * line, [first[i], last[i]]]
            found[i] = (last[i] - first[i]) / (b - a) * y[i] if b > a else np.nan
    return found


def conduction(
    model: object, dt_ms: float = 0.02, order: Literal[2, 4] = 2, *, cache: Path | None = None
) -> Conduction:
    """Measure how a cell model conducts, or read it from the cache.

    Parameters
    ----------
    model : CellModel or Kernel
        A kernel given compiled is measured anew each time: it has no text to know it by.
    dt_ms : float
        Time step that the tissue will run with.
    order : 2 or 4
    cache : Path, optional
        Folder; the user's cache folder if left out.
    """
    file = None
    key = _key(model)
    if key:
        what = hashlib.sha256(repr((key, round(dt_ms, 6), order)).encode() + _numerics()).hexdigest()[:24]
        file = (cache or cache_folder("conduction")) / f"{what}.json"
        if file.exists():
            held = json.loads(file.read_text())
            return Conduction(**{**held, "y": tuple(held["y"]), "f": tuple(held["f"])})
    fine = _measure(model, np.array([0.16, 0.32]), 0.005, 2)
    c0 = float((4 * fine[0] - fine[1]) / 3)
    lowest = np.sqrt((2.5 if order == 2 else 10 / 3) * dt_ms) * 1.02
    y = np.geomspace(max(0.16, lowest), COARSEST, 22)
    f = _measure(model, y, dt_ms, order)
    good = int(np.argmax(~np.isfinite(f))) if not np.isfinite(f).all() else len(f)
    if good < 4 or not np.isfinite(c0):
        raise InputError("the model does not conduct along a cable", needed="an excitable cell model")
    law = Conduction(
        str(getattr(model, "name", type(model).__name__)),
        dt_ms,
        order,
        c0,
        tuple(y[:good].tolist()),
        tuple(f[:good].tolist()),
    )
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(asdict(law)))
        os.replace(part, file)
    return law


def _numerics() -> bytes:
    """Return the text of what a velocity depends on besides the model, so that no old table outlives it."""
    parts = ("cell/lowering.py", "cell/emit.py", "tissue/run.py", "tissue/stencil.py", "tissue/conduction.py")
    return b"".join((Path(__file__).parents[1] / part).read_bytes() for part in parts)


def _key(model: object) -> str:
    """Return a text that changes whenever the model does, empty for a bare kernel."""
    return "" if hasattr(model, "advance") else repr(model)


def symbol(
    spacing_mm: Floats,
    axes: NDArray[np.bool_],
    least: NDArray[np.floating],
    rest: NDArray[np.floating],
    direction: Floats,
    kappa: Floats,
) -> Floats:
    """Return by how much the stencil damps a plane wave, 1/ms, ``(n,)``; without a grid ``D kappa^2``.

    Parameters
    ----------
    spacing_mm : (3,)
    axes : (3,) bool
        Axes longer than one node.
    least : (n,), rest : (n, 6)
        The tensors, mm2/ms, as `operator.tensors` splits them.
    direction : (n, 3)
        Unit vectors.
    kappa : (n,)
        Wave numbers, rad/mm.
    """
    from carna.ep.tissue.assemble import PAIRS

    half = kappa[:, None] * direction * np.where(axes, spacing_mm, 0) / 2
    sin, cos = 2 / spacing_mm * np.sin(half), np.cos(half)
    trace = rest[:, :3].sum(1)
    share = np.minimum(1, 40 * (rest[:, 3:] ** 2).sum(1) / np.maximum(trace, 1e-12) ** 2)
    mean = sin * np.stack([cos[:, 1] * cos[:, 2], cos[:, 0] * cos[:, 2], cos[:, 0] * cos[:, 1]], -1)
    out = least * (sin**2).sum(1)
    for p, (a, b) in enumerate(PAIRS):
        whole = mean[:, a] * mean[:, b]
        corner = sin[:, a] ** 2 if a == b else sin[:, a] * cos[:, b] * sin[:, b] * cos[:, a]
        out += (1 if a == b else 2) * rest[:, p] * (share * whole + (1 - share) * corner)
    return np.asarray(out)


def _across(f: Floats, axes: NDArray[np.bool_]) -> list[Floats]:
    """Return directions (n, 3) at a right angle to the fibres; in the plane of a sheet there is one."""
    if axes.sum() < 3:
        flat = np.where(axes, 0.0, 1.0)
        side = np.cross(f, flat / np.linalg.norm(flat))
        length = np.linalg.norm(side, axis=1, keepdims=True)
        return [np.asarray(side / np.maximum(length, 1e-9))]
    pole = np.eye(3)[np.argmin(np.abs(f), axis=1)]
    p = np.cross(f, pole)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    q = np.cross(f, p)
    return [p, q, (p + q) / np.sqrt(2), (p - q) / np.sqrt(2)]


def calibrated(tissue: Tissue, dt_ms: float = 0.02, order: Literal[2, 4] = 2) -> Tissue:
    """Return the tissue with its diffusion changed so that fronts run as they would without a grid.

    Along, across and normal to the fibres are treated together, each voxel with its own model, fibre angle,
    diffusion and coupling (rounded to about 2 degrees and 2 %). Directions in between follow to a few per
    cent.
    """
    n = tissue.nodes
    d = np.array(np.broadcast_to(tissue.of_nodes(tissue.diffusion_mm2_per_ms), (n, 3)), np.float64)
    columns = [np.broadcast_to(tissue.of_nodes(tissue.fibres), (n, 3))]
    if tissue.normals is not None:
        columns.append(np.broadcast_to(tissue.of_nodes(tissue.normals), (n, 3)))
    coupling = np.ones(n) if tissue.coupling is None else np.asarray(tissue.coupling[tissue.mask], float)
    region = np.zeros(n, int) if tissue.region is None else tissue.region[tissue.mask]
    # Where all is uniform this is a single case; in a heart, some thousands.
    effective = np.where(d > 0, np.log(np.maximum(d * np.maximum(coupling, 0.02)[:, None], 1e-9)), -99)
    key = np.concatenate([*(v * 30 for v in columns), effective * 50, region[:, None]], 1)
    _, chosen, case = np.unique(np.rint(key).astype(np.int32), axis=0, return_index=True, return_inverse=True)
    normals = None if len(columns) == 1 else np.asarray(columns[1][chosen], np.float64)
    reduced = d[chosen] * np.maximum(coupling[chosen], 0.02)[:, None]
    factor = np.ones((len(chosen), 3))
    for which in np.unique(region):
        law = conduction(tissue.models[int(which)], dt_ms, order)
        mine = region[chosen] == which
        fibres = np.asarray(columns[0][chosen][mine], np.float64)
        sheets = None if normals is None else normals[mine]
        factor[mine] = _factors(law, tissue, reduced[mine], fibres, sheets)
    factor = factor[case.reshape(-1)]
    if tissue.diffusion_mm2_per_ms.ndim == 1 and len(chosen) == 1:
        return replace(tissue, diffusion_mm2_per_ms=(d * factor)[0])
    field = np.zeros((*tissue.mask.shape, 3), np.float32)
    field[tissue.mask] = d * factor
    return replace(tissue, diffusion_mm2_per_ms=field)


def _factors(law: Conduction, tissue: Tissue, d: Floats, fibres: Floats, normals: Floats | None) -> Floats:
    """Return the multipliers (n, 3) that make every principal direction conduct as without a grid."""
    from carna.ep.tissue.operator import tensors

    spacing = np.asarray(tissue.spacing_mm, np.float64)
    axes = np.array([m > 1 for m in tissue.mask.shape])
    law.multiplier(d[:, axes.nonzero()[0]] if normals is not None else d[:, :1], float(spacing[axes].min()))
    sides = [_across(fibres, axes)] * 2 if normals is None else [[np.cross(fibres, normals)], [normals]]
    directions = [[fibres], *sides]
    factor = np.ones_like(d)
    loss = np.full_like(d, 0.8)
    for _ in range(80):
        now = d * factor
        least, rest = tensors(now[:, 0], now[:, 1], now[:, 2], fibres, normals)
        for column, those in enumerate(directions):
            if normals is None and column == 2:
                factor[:, 2], loss[:, 2] = factor[:, 1], loss[:, 1]
                continue
            own = np.maximum(now[:, column], 1e-9)
            kappa = law.wave(loss[:, column]) / np.sqrt(own)
            seen = [symbol(spacing, axes, least, rest, u, kappa) for u in those]
            damped = np.average(seen, axis=0, weights=ACROSS[: len(seen)] if len(seen) > 1 else None)
            lost = np.sqrt(np.maximum(damped, 1e-12) / (own * kappa**2))
            loss[:, column] = np.clip(0.5 * loss[:, column] + 0.5 * lost, 0.05, 2.0)
            factor[:, column] = np.where(d[:, column] > 0, np.clip(1 / loss[:, column] ** 2, 0.1, 20), 1)
    return factor


def tune_conduction(
    model: object,
    spacing_mm: float,
    velocity_m_per_s: tuple[float, float, float],
    *,
    dt_ms: float = 0.02,
    order: Literal[2, 4] = 2,
) -> tuple[float, float, float]:
    """Return the diffusion (along, across, normal), mm2/ms, that conducts at these velocities on this grid.

    For fibres on the grid's axes; for a fibre field, give `Tissue` the diffusion of
    ``conduction(model).diffusion`` and let `calibrated` do the rest.
    """
    law = conduction(model, dt_ms, order)
    bare = law.diffusion(velocity_m_per_s)
    along, across, normal = (bare * law.multiplier(bare, spacing_mm)).tolist()
    return along, across, normal
