"""A circuit's isthmus once more, by the monodomain equation on a fine grid: does it conduct at all?

The screening has no action potentials. Whether a narrow strip of slow muscle excites the wide one behind it
(a load that eikonal fronts do not feel) is asked here: the muscle around the path through the isthmus, its
labels upsampled, cells
of healthy and border-zone muscle, the diffusion that gives each the member's own velocity, two stimuli before
the isthmus a cycle apart, into cells that have beaten at that cycle. It **conducts** if the second beat
arrives behind it.

Known failures: nothing further away loads or feeds it; the circuit's other way round is missing, so that only
the isthmus is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.ensemble import Member
from carna.heart.recovery import Tissue as Border
from carna.heart.recovery import cell, paced
from carna.heart.scar import GREY, SCAR
from carna.heart.twin import moved
from carna.heart.ventricles import Ventricles
from carna.progress import SILENT, Progress

if TYPE_CHECKING:
    from carna.ep.reentry import Circuit
    from carna.ep.tissue.grid import Tissue

__all__ = ["Passage", "passage"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LEAD_MM = 5.0  # of the path before and behind the isthmus
AROUND_MM = 7.0  # of muscle around the path: no way round the isthmus, but muscle to be excited behind it
ELECTRODE_MM = 2.0
THRESHOLD_MV = -40.0
LOOK_MS = 40.0  # the run ends with the arrival, which is looked for this often
PATIENCE = 2.0  # times the screening's own crossing, and 50 ms: what has not passed by then is blocked
# Time steps [ms] by the coarsest spacing they suit: stable up to 1 m/s, whole parts of 0.2 ms.
STEPS = ((0.15, 0.02), (0.25, 0.04), (1.0, 0.05))


@dataclass(frozen=True, slots=True)
class Passage:
    """What the second beat did.

    Attributes
    ----------
    conducts : bool or None
        None where it could not be asked, and ``why`` says so.
    crossing_ms : float
        From the stimulus to the middle of the other end; 0 unless it conducts.
    expected_ms : float
        The same by the screening.
    nodes : int
        Voxels of muscle on the fine grid.
    why : str
    """

    conducts: bool | None
    crossing_ms: float = 0.0
    expected_ms: float = 0.0
    nodes: int = 0
    why: str = ""


def passage(
    heart: Ventricles,
    member: Member,
    circuit: Circuit,
    border: Border,
    spacing_mm: float = 0.2,
    progress: Progress = SILENT,
) -> Passage:
    """Return whether a circuit's isthmus conducts on a fine grid.

    Parameters
    ----------
    heart : Ventricles
        With its scar as labelled; the member's border is applied here.
    member : Member
    circuit : carna.ep.reentry.Circuit
        Found in that member.
    border : "healthy", "subacute" or "chronic"
        What cells the grey zone has.
    spacing_mm : float
        0.1 to 1 mm.
    progress : Progress

    Raises
    ------
    InputError
        A spacing outside its range.
    """
    if not 0.1 <= spacing_mm <= 1.0:
        raise InputError(f"spacing_mm = {spacing_mm}", needed="0.1 to 1 mm")
    of = replace(heart, region=moved(heart, member.border_mm))
    stretch, expected_ms = _stretch(circuit, np.array(heart.spacing_mm))
    tissue, low = _cut(of, member, stretch, border, spacing_mm, circuit.cycle_ms)
    ends = [_near(tissue, (end * heart.spacing_mm - low), spacing_mm) for end in (stretch[0], stretch[-1])]
    joined = _joined(tissue.mask)
    if not (joined & ends[0]).any() or not (joined & ends[1]).any() or (ends[0] & ends[1]).any():
        return Passage(
            None, nodes=tissue.nodes, why="no muscle leads from one end of the isthmus to the other"
        )
    tissue = replace(tissue, mask=joined)
    latest_ms = PATIENCE * expected_ms + 50.0
    arrived = _second_beat(
        tissue, (ends[0] & joined, ends[1] & joined), circuit.cycle_ms, latest_ms, _step(spacing_mm), progress
    )
    return Passage(arrived is not None, arrived or 0.0, expected_ms, tissue.nodes)


def _second_beat(
    tissue: Tissue, ends: tuple[Bools, Bools], cycle_ms: float, latest_ms: float, dt_ms: float,
    progress: Progress,
) -> float | None:  # fmt: skip
    """Return how long after the second stimulus at one end the other is excited [ms]; None if it isn't."""
    from carna.ep.tissue.reaction import Multirate
    from carna.ep.tissue.record import Activation
    from carna.ep.tissue.run import simulate
    from carna.ep.tissue.stimulus import Stimulus

    pulse = Stimulus(ends[0], (0.0, cycle_ms))
    target = np.flatnonzero(ends[1].ravel())
    looks = np.append(np.arange(0.0, latest_ms, LOOK_MS), latest_ms)
    state, whole_ms = None, cycle_ms + latest_ms
    first: dict[int, float] = {}
    for begun, until in zip((-cycle_ms, *looks[:-1]), looks, strict=True):
        part = progress.part((cycle_ms + begun) / whole_ms, (cycle_ms + until) / whole_ms)
        run = simulate(
            tissue, pulse, float(cycle_ms + until), dt_ms=dt_ms, record=(Activation(THRESHOLD_MV),),
            multirate=Multirate(), start=state, progress=part,
        )  # fmt: skip
        assert run.activations is not None
        state, (times, nodes) = run.state, run.activations
        late = np.isin(nodes, target) & (times > cycle_ms)
        # A front excites all of the far end. Single voxels cross the threshold again while they recover,
        # lifted by neighbours whose action potential is longer.
        first.update(zip(nodes[late][::-1].tolist(), times[late][::-1].tolist(), strict=True))
        if len(first) > len(target) / 2:
            return float(np.median(list(first.values())) - cycle_ms)
    return None


def _stretch(circuit: Circuit, spacing: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the path (m, 3) from before the isthmus to behind it, voxels of the model, and its time [ms]."""
    path = circuit.path
    near = np.array(
        [
            np.linalg.norm((circuit.isthmus - voxel) * spacing, axis=1).min() < 1.1 * spacing.max()
            for voxel in path
        ]
    )
    last = int(np.flatnonzero((path == circuit.exit_site).all(axis=1))[0])
    turned, narrow = np.roll(path, -last, axis=0), np.roll(near, -last)  # begins at the exit, ends before it
    before = len(turned) - 1
    while before > len(turned) // 2 and (narrow[before] or not narrow[before:].any()):
        before -= 1
    behind = 0
    while behind < len(turned) // 2 and narrow[behind]:
        behind += 1
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(turned, axis=0) * spacing, axis=1))])
    stop = int(np.searchsorted(along, along[behind] + LEAD_MM))
    start = int(np.searchsorted(along, along[before] - LEAD_MM))
    start = max(start, min(stop + 2, before))
    times = np.roll(circuit.times_ms, -last)
    whole_ms = circuit.cycle_ms * circuit.laps
    expected_ms = float((times[min(stop, len(times) - 1)] - times[start]) % whole_ms)
    return np.concatenate([turned[start:], turned[: stop + 1]]).astype(float), expected_ms


def _cut(
    heart: Ventricles, member: Member, stretch: npt.NDArray[np.float64], border: Border, spacing_mm: float,
    cycle_ms: float,
) -> tuple[Tissue, npt.NDArray[np.float64]]:  # fmt: skip
    """Return the muscle around a stretch of the path on a fine grid, and its corner [mm, along the grid]."""
    from scipy.ndimage import distance_transform_edt, map_coordinates

    from carna.ep.tissue.conduction import calibrated, conduction
    from carna.ep.tissue.grid import Tissue

    spacing = np.array(heart.spacing_mm)
    low = (stretch * spacing).min(axis=0) - AROUND_MM
    high = (stretch * spacing).max(axis=0) + AROUND_MM
    axes = [np.arange(a, b, spacing_mm) / s for a, b, s in zip(low, high, spacing, strict=True)]
    at = np.array(np.meshgrid(*axes, indexing="ij"))
    region = heart.spread(heart.region)

    def share(part: Bools) -> npt.NDArray[np.float32]:
        return np.asarray(map_coordinates(part.astype(np.float32), at, order=1, mode="nearest"))

    muscle = heart.mask & (region != SCAR)
    away = np.ones(at.shape[1:], np.bool_)
    away[tuple(np.rint((stretch * spacing - low) / spacing_mm).astype(int).T)] = False
    mask = (share(muscle) > 0.5) & (distance_transform_edt(away, sampling=spacing_mm) <= AROUND_MM)
    grey = share(muscle & (region == GREY)) > share(muscle & (region != GREY))
    nearest = tuple(np.clip(np.rint(a), 0, n - 1).astype(int) for a, n in zip(at, muscle.shape, strict=True))
    fibres = heart.fibres[nearest].astype(float)
    fibres[np.linalg.norm(fibres, axis=-1) < 0.5] = (1.0, 0.0, 0.0)
    cells = (cell("healthy"), cell(border))
    models = {number: paced(one, cycle_ms) for number, one in enumerate(cells)}
    dt_ms = _step(spacing_mm)
    speeds = np.array([member.along, member.across, member.across])
    diffusion = np.empty((*mask.shape, 3))
    for number, factor in ((0, 1.0), (1, member.grey)):
        law = conduction(cells[number], dt_ms)
        diffusion[grey == bool(number)] = law.diffusion(speeds * factor)
    tissue = Tissue(
        mask, (spacing_mm,) * 3, models, diffusion, fibres, region=grey.astype(np.int64), walls="voxel"
    )
    return calibrated(tissue, dt_ms), low


def _step(spacing_mm: float) -> float:
    return next(dt_ms for coarsest, dt_ms in STEPS if spacing_mm <= coarsest)


def _near(tissue: Tissue, point_mm: npt.NDArray[np.float64], spacing_mm: float) -> Bools:
    """Muscle within the electrode's radius of a point."""
    k, r, c = ((np.arange(n) * spacing_mm - p) ** 2 for n, p in zip(tissue.mask.shape, point_mm, strict=True))
    ball = k[:, None, None] + r[None, :, None] + c <= ELECTRODE_MM**2
    return np.asarray(tissue.mask & ball)


def _joined(mask: Bools) -> Bools:
    """The largest connected piece."""
    from scipy.ndimage import label

    pieces, _ = label(mask)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))
