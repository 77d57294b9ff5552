"""How a cell model recovers: refractory time and conduction after every diastolic interval.

Cells paced to their rhythm make a cable; two beats S1 run along it, then S2, a little earlier on each of some
sixty cables that lie side by side in one run. Everything is read some 13 mm from the electrode, where the
front runs by itself: nearer, a stimulus that just captures makes it wait, and then whole stretches fire
almost at once as they recover.

    interval    from the passage of S1 to that of S2
    APD90       of the action potential of S2
    speed       of the front of S2, as a fraction of that of S1

The shortest interval at which a front passed is the **refractory time** of S1 (the functional one; an
electrode captures earlier, and its front is late by as much). It is longer than APD90 by an excess, 47 ms in
ten Tusscher-Panfilov and more where sodium channels recover late (high potassium, infarct border). The
table counts rest from the end of the refractory time, so that at rest 0 the slowest front runs that runs at
all, and takes for the refractory time after S2 its APD90 and the same excess; that the excess does not depend
on the interval is an assumption.

Lengths are counted in ``sqrt(diffusion x ms)``, the only length a cable without a grid has: the diffusion
changes no table, and the spacing changes it by the resolution of the front alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.cell import CellModel
    from carna.ep.cell.pace import Cells
    from carna.ep.reentry import Restitution
    from carna.ep.tissue.grid import Tissue
    from carna.ep.tissue.run import Run
    from carna.ep.tissue.state import State

Floats = npt.NDArray[np.float64]

__all__ = ["restitution"]

# In sqrt(diffusion x ms), 0.316 mm at 0.1 mm2/ms: electrode, the two places of passage, the cable's end.
_ELECTRODE, _FROM, _TO, _END = 5.0, 38.0, 48.0, 60.0
_SPACING = 0.65  # of the same length
_START_MS = 10.0
_THRESHOLD_MV = -40.0  # early upstrokes hardly reach 0 mV, and some cross it twice
_AFTER_MS = 120.0  # how much longer than that of a lone cell S2's action potential and its way may take


def restitution(
    cell: CellModel,
    *,
    s1_ms: float = 600.0,
    beats: int = 50,
    diffusion_mm2_per_ms: float = 0.1,
    spacing_mm: float | None = None,
    dt_ms: float = 0.05,
) -> Restitution:
    """Measure the table by which tissue of a cell model recovers in re-entry screening.

    Parameters
    ----------
    cell : CellModel
        With any condition and drug on it: ``border_zone_subacute().on(cell)``.
    s1_ms : float
        Cycle length of the train and latest S2, 100 to 2000 ms.
    beats : int
        Beats of the cell alone, before two on the cable.
    diffusion_mm2_per_ms : float
        Of the cable, > 0; it scales lengths and changes no table.
    spacing_mm : float, optional
        Of the grid; 0.65 sqrt(diffusion x ms) if left out, 0.2 mm at 0.1 mm2/ms.
    dt_ms : float

    Returns
    -------
    carna.ep.reentry.Restitution
        ``rest_ms`` from the end of the refractory time, ``apd_ms`` the refractory time, ``speed`` as a
        fraction of that of S1, 1 where S2 would be faster.

    Raises
    ------
    InputError
        The cell does not follow S1, or nothing travels along the cable.

    Notes
    -----
    The first beat after a train is measured, so memory over several beats is not in the table.
    """
    from carna.ep.cell.pace import pace
    from carna.ep.reentry import Restitution

    if not (100 <= s1_ms <= 2000 and diffusion_mm2_per_ms > 0 and beats >= 1):
        raise InputError(
            f"{beats} beats at {s1_ms:g} ms, diffusion {diffusion_mm2_per_ms:g} mm2/ms",
            needed="1 beat or more, a cycle of 100 to 2000 ms, a diffusion above 0",
        )
    train = pace(cell, s1_ms, beats, dt_ms=dt_ms)
    alone_ms = float(train.apd90_ms[-1, 0])
    if not alone_ms < s1_ms:
        raise InputError(
            f"no action potential that ends in beat {beats} at {s1_ms:g} ms",
            needed="an excitable cell that recovers within the cycle",
            fix="take a longer s1_ms",
        )
    couplings = _couplings(alone_ms, s1_ms)
    unit_mm = float(np.sqrt(diffusion_mm2_per_ms))
    h_mm = spacing_mm or _SPACING * unit_mm
    nodes = [round(x * unit_mm / h_mm) for x in (_ELECTRODE, _FROM, _TO, _END)]
    cables = _cables(cell, (len(couplings), nodes[-1]), diffusion_mm2_per_ms, h_mm)
    run = _run(cables, _everywhere(train.cells, cables), couplings, nodes[0], (s1_ms, alone_ms, dt_ms))
    assert run.apd_ms is not None
    s1, s2 = _passages(run, nodes[1:3], _START_MS + s1_ms)
    apd = np.asarray(run.apd_ms[0, :, sum(nodes[1:3]) // 2], float)
    travels = np.isfinite(s2[0]) & np.isfinite(s2[1])
    if travels[0] or not travels[-1]:
        raise InputError(
            f"S2 that {'always' if travels[0] else 'never'} travels from {couplings[0]:.0f} to "
            f"{couplings[-1]:.0f} ms after S1",
            needed="tissue that is refractory at first and conducts again within the cycle",
        )
    interval = (s2 - s1).mean(axis=0)
    # Couplings still shorter wait at the electrode and arrive no earlier.
    first = int(np.nanargmin(interval))
    interval = interval[first:]
    excess = interval[0] - apd[0]  # where S2 was blocked, the last action potential is that of S1
    speed = np.minimum((s1[1] - s1[0])[first:] / (s2[1] - s2[0])[first:], 1)
    return Restitution(interval - interval[0], apd[first:] + excess, speed)


def _couplings(apd_ms: float, s1_ms: float) -> Floats:
    """Return S2's intervals: every 2 ms about recovery, wider and wider after it."""
    near = apd_ms + np.concatenate([np.arange(-60.0, 40, 2), np.arange(40.0, 120, 5)])
    late = np.geomspace(apd_ms + 120, max(s1_ms, apd_ms + 130), 10)
    return np.asarray([*near, *late])


def _cables(cell: CellModel, shape: tuple[int, int], diffusion: float, h_mm: float) -> Tissue:
    """Return cables along axis c, side by side; nothing flows from one to the next."""
    from carna.ep.tissue.grid import Tissue

    return Tissue(
        np.ones((1, *shape), bool),
        (h_mm,) * 3,
        {0: cell},
        np.array([diffusion, 0.0, 0.0]),
        np.array([0.0, 0.0, 1.0]),
    )


def _everywhere(cells: Cells, tissue: Tissue) -> State:
    """Return the state in which every node of the tissue is as this one cell."""
    from carna.ep.tissue.layout import LANES, lay_out
    from carna.ep.tissue.state import State

    blocks = lay_out(tissue).lanes // LANES
    v = np.full((blocks, LANES), cells.v[0])
    s = np.broadcast_to(cells.s[:, :1], (blocks, len(cells.s), LANES)).copy()
    quiet = np.zeros(blocks, np.int32)
    return State(0, 0.0, v, (s,), quiet.astype(np.int8), quiet, v[:0])


def _run(
    cables: Tissue, start: State, couplings: Floats, electrode: int, timing: tuple[float, float, float]
) -> Run:
    """Run S1 twice on every cable, then S2 on each after its own coupling."""
    from carna.ep.tissue.record import Activation, Durations
    from carna.ep.tissue.run import simulate
    from carna.ep.tissue.stimulus import Stimulus

    s1_ms, apd_ms, dt_ms = timing
    last_ms = _START_MS + s1_ms
    where = np.zeros(cables.mask.shape, bool)
    where[:, :, :electrode] = True
    stimuli = [Stimulus(where, (_START_MS, last_ms))]
    for line, coupling in enumerate(couplings.tolist()):
        own = np.zeros_like(where)
        own[:, line, :electrode] = True
        stimuli.append(Stimulus(own, (last_ms + coupling,)))
    end_ms = last_ms + float(couplings[-1]) + apd_ms + _AFTER_MS
    watch = (Activation(_THRESHOLD_MV), Durations(every_ms=10 * dt_ms))
    return simulate(cables, stimuli, end_ms, dt_ms=dt_ms, record=watch, start=start)


def _passages(run: Run, places: list[int], after_ms: float) -> tuple[Floats, Floats]:
    """Return when the last S1 and S2 passed two places of every cable, (places, lines); NaN if never."""
    assert run.activations is not None and run.activation_ms is not None
    times, voxels = run.activations
    _, lines, nodes = run.activation_ms.shape
    found = np.full((2, 2, lines), np.nan)
    for i, place in enumerate(places):
        for line in range(lines):
            here = times[(voxels == line * nodes + place) & (times > after_ms)][:2]
            found[: len(here), i, line] = here
    if not np.isfinite(found[0]).all():
        raise InputError("an S1 that does not travel along the cable", needed="tissue that conducts")
    return found[0], found[1]
