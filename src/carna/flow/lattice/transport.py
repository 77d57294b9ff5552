"""A scalar carried by a steady flow: age, residence time, dye.

What streams between two nodes is known exactly: the population one way less the population back. In a steady
flow these fluxes add up to nothing at each node, so the upwind balance over 18 links

    dc_i/dt = sum over inflow of flux (c_j - c_i) + source

keeps constants exactly, makes no new extremes, and conserves the scalar as the flow conserves mass. It
smears along the flow like a diffusion of about u dx / 2: residence times of a sac are estimates from below.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.lattice.simulate import Lattice
from carna.flow.lattice.stencil import OPPOSITE
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]


def fluxes(run: Lattice) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return for each node and velocity 1 to 18 where blood comes from (padded: an opening) and how much.

    Returns
    -------
    source : (18, n) int32
    rate : (18, n) float
        Inflow along the link, 1/s of the node's volume, >= 0.
    """
    domain = run.domain
    n, padded = len(domain), domain.table.shape[1]
    f = run.populations
    source, rate, total = np.full((18, n), padded, np.int32), np.zeros((18, n)), np.zeros(n)
    for q in range(1, 19):
        # In a steady flow what arrives at the far end of a link is what left here.
        to = domain.table[OPPOSITE[q], :n]
        inner = to != q * padded + np.arange(n)
        net = np.where(inner, f[q, :n].astype(float) - f.ravel()[to], 0.0)
        source[q - 1][inner] = to[inner] % padded
        rate[q - 1] = np.maximum(net, 0) / run.scale.dt_s
        total += net / run.scale.dt_s
    # What a node at an opening gives to the others beyond what it gets has come from outside.
    _, first = np.unique(domain.link[:, 4], return_index=True)
    rate[domain.link[first, 1] - 1, domain.edge] = np.maximum(-total[domain.edge], 0)
    return source, rate


def wash(
    run: Lattice,
    start: Floats,
    every_s: float,
    frames: int,
    *,
    entering: float = 0.0,
    source: float = 0.0,
    progress: Progress = SILENT,
) -> Iterator[Floats]:
    """Yield a scalar (n,) after every so many seconds of a frozen flow.

    Parameters
    ----------
    run : Lattice
        Steady.
    start : (n,) float
    every_s : float
    frames : int
    entering : float
        Value of the blood that enters.
    source : float
        Grows everywhere, per second: 1 with an age that enters at 0.
    """
    from carna.flow.lattice.transport_kernel import carry

    came, rate = fluxes(run)
    if start.shape != (len(run.domain),):
        raise InputError(f"a scalar of shape {start.shape}", needed=f"{(len(run.domain),)}")
    top = float(rate.sum(axis=0).max())
    steps = max(1, int(np.ceil(every_s * top / 0.9)))
    padded = run.domain.table.shape[1]
    value = np.concatenate([start, np.full(padded - len(start) + 1, entering)])
    for n in range(frames):
        carry(value, came, rate, every_s / steps, source, steps)
        progress((n + 1) / frames, "transport")
        yield value[: len(start)].copy()


def age(
    run: Lattice, *, longest_s: float = 60.0, tolerance: float = 1e-4, progress: Progress = SILENT
) -> Floats:
    """Return how long ago the blood at each node (n,) came in, s: the mean over its paths.

    Sweeps up and down the nodes (Gauss-Seidel) until nothing changes by more than the tolerance; nodes that
    no flow reaches are cut at `longest_s`.
    """
    from carna.flow.lattice.transport_kernel import settle

    came, rate = fluxes(run)
    padded = run.domain.table.shape[1]
    value = np.zeros(padded + 1)
    for n in range(500):
        change = settle(value, came, rate, longest_s, 4)
        progress(min(1.0, n / 500), "age")
        if change < tolerance * max(float(np.median(value[: len(run.domain)])), 1e-9):
            break
    return value[: len(run.domain)].copy()
