"""The screening's circuit again with cells coupled to each other: the whole heart, and the isthmus alone."""

from __future__ import annotations

from pathlib import Path

import infarct
import numpy as np

from carna import ep
from carna.ep.reentry import Circuit
from carna.ep.tissue.state import State, load, save
from carna.heart.scar import GREY, SCAR
from carna.heart.twin import site_voxels
from carna.heart.ventricles import Ventricles

DT_MS = 0.05
ELECTRODE_MM, PULSE_MS = 3.0, 3.0
FIRST_MS = 350.0  # the S1 beat is run up to here once for all couplings
STRETCH_MS, FOLLOWED_MS = 100.0, 1100.0
THRESHOLD_MV = -40.0
BEFORE_MM, BEHIND_MM, AROUND_MM = 14.0, 6.0, 4.0
LEAST_MS = 100.0
DEAD = 500  # a stretch with fewer excitations than this is the end of it


def heart_run(of: Ventricles, work: Path, site: str, coupling_ms: float) -> None:
    """Run S1 and S2 in stretches of 100 ms, keeping each, until nothing is excited or the time is over."""
    name = f"full-{of.spacing_mm[0]:g}mm"
    done = work / f"{name}-{coupling_ms:.0f}.npz"
    if done.exists():
        return
    tissue = infarct.tissue(of, DT_MS)
    at_mm = site_voxels(of)[site] * np.array(of.spacing_mm) + tissue.origin_mm()
    where = ep.entry_points(tissue, at_mm, ELECTRODE_MM)
    state, _, _ = _stretch(tissue, ep.Stimulus(where, (0.0,), PULSE_MS), None, FIRST_MS, work / f"{name}-s1")
    stimulus = ep.Stimulus(where, (0.0, coupling_ms), PULSE_MS)
    times, voxels = [], []
    until = coupling_ms + 60.0
    while True:
        part = work / f"{name}-{coupling_ms:.0f}-{until:.0f}"
        state, t, v = _stretch(tissue, stimulus, state, until, part)
        times.append(t)
        voxels.append(v)
        if len(t) < DEAD or until >= coupling_ms + FOLLOWED_MS:
            break
        until = min(until + STRETCH_MS, coupling_ms + FOLLOWED_MS)
    np.savez_compressed(done, t=np.concatenate(times), v=np.concatenate(voxels))


def _stretch(
    tissue: ep.Tissue, stimulus: ep.Stimulus, start: State | None, end_ms: float, file: Path
) -> tuple[State, np.ndarray, np.ndarray]:
    """Run up to a moment or read that run; return the state, times and voxels of the excitations."""
    held = file.with_name(file.name + ".npz")  # the name has a dot of its own
    if held.exists():
        state, (sink,) = load(held, file.name)
        return state, sink["t"], sink["v"]
    run = ep.simulate(
        tissue, stimulus, end_ms, dt_ms=DT_MS, record=(ep.Activation(THRESHOLD_MV),),
        multirate=ep.Multirate(), start=start,
    )  # fmt: skip
    assert run.activations is not None
    t, v = run.activations[0].astype(np.float32), run.activations[1].astype(np.int32)
    save(held, file.name, run.state, [{"t": t, "v": v, "cpu_s": np.array(run.cpu_seconds)}])
    return run.state, t, v


def laps(of: Ventricles, times: np.ndarray, voxels: np.ndarray, coupling_ms: float) -> dict[str, object]:
    """Return what a run shows: whether S2 travelled, how long it lasted, how often the channel fired."""
    after = times > coupling_ms + 10.0
    grey = of.spread((of.region == GREY).astype(np.uint8)).ravel().astype(bool)
    inside = after & grey[voxels]
    order = np.lexsort((times[inside], voxels[inside]))
    t, v = times[inside][order], voxels[inside][order]
    gap = np.diff(t, prepend=-np.inf)
    gap[np.diff(v, prepend=-1) != 0] = np.inf
    beat = gap > LEAST_MS  # a wave that stalls crosses the threshold several times
    intervals = gap[beat & np.isfinite(gap)]
    most = int(np.bincount(v[beat]).max(initial=0)) if len(v) else 0
    return {
        "coupling_ms": coupling_ms,
        "captured": bool(after.sum() > 0.05 * len(of.at.where)),
        "lasted_ms": round(float(times[after].max() - coupling_ms)) if after.any() else 0,
        "channel_beats": most,
        "cycle_ms": round(float(np.median(intervals)), 1) if len(intervals) > 100 else None,
    }


def isthmus_run(of: Ventricles, circuit: Circuit, spacing_mm: float) -> dict[str, object]:
    """Cut out the way through the isthmus and out of it, on a fine grid, and send two beats along it.

    The cells are paced to the circuit's cycle, and the second beat comes a cycle after the first. Labels are
    upsampled by lines between voxels.
    """
    from scipy.ndimage import label, map_coordinates

    way, expected_ms = _way(of, circuit)
    coarse = np.array(of.spacing_mm)
    low, high = way.min(0) - AROUND_MM, way.max(0) + AROUND_MM
    axes = [np.arange(a, b, spacing_mm) / h for a, b, h in zip(low, high, coarse, strict=True)]
    at = np.array(np.meshgrid(*axes, indexing="ij"))
    region = of.spread(of.region)

    def share(part: np.ndarray) -> np.ndarray:
        return np.asarray(map_coordinates(part.astype(np.float32), at, order=1, mode="nearest"))

    muscle = of.mask & (region != SCAR)
    grey = share(muscle & (region == GREY)) > share(muscle & (region != GREY))
    pieces, _ = label(share(muscle) > 0.5)
    ends = [_ball(pieces.shape, (end - low) / spacing_mm, 2.0 / spacing_mm) for end in (way[0], way[-1])]
    mask = pieces == np.bincount(pieces[ends[0] & (pieces > 0)]).argmax()
    near = np.rint(at).astype(int)
    for axis, n in enumerate(muscle.shape):
        near[axis] = np.clip(near[axis], 0, n - 1)
    fibres = of.fibres[tuple(near)].astype(float)
    fibres[np.linalg.norm(fibres, axis=-1) < 0.5] = (1.0, 0.0, 0.0)
    tissue = infarct.coupled(mask, grey, fibres, (spacing_mm,) * 3, DT_MS, circuit.cycle_ms)
    target = np.flatnonzero((ends[1] & mask).ravel())
    second = circuit.cycle_ms
    pulse = ep.Stimulus(ends[0] & mask, (0.0, second), PULSE_MS)
    state, arrived, cpu_s = None, None, 0.0
    for until in (second, *(second + 40.0 * np.arange(1, 8))):
        run = ep.simulate(
            tissue, pulse, float(until), dt_ms=DT_MS, record=(ep.Activation(THRESHOLD_MV),),
            multirate=ep.Multirate(), start=state,
        )  # fmt: skip
        assert run.activations is not None
        state, cpu_s = run.state, cpu_s + run.cpu_seconds
        here = run.activations[0][np.isin(run.activations[1], target)]
        if until > second and len(here):
            arrived = round(float(here.min() - second), 1)
            break
    return {
        "spacing_mm": spacing_mm, "nodes": tissue.nodes,
        "conducts": arrived is not None, "crossing_ms": arrived,
        "expected_ms": round(expected_ms, 1), "cycle_ms": round(second, 1), "cpu_s": round(cpu_s),
        "length_mm": round(float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum()), 1),
    }  # fmt: skip


def _way(of: Ventricles, circuit: Circuit) -> tuple[np.ndarray, float]:
    """Return the path, mm along the grid, from some way before the exit to some way behind, and its time."""
    path = circuit.path * np.array(of.spacing_mm)
    step = np.linalg.norm(np.roll(path, -1, axis=0) - path, axis=1)
    exit_at = int(np.flatnonzero((circuit.path == circuit.exit_site).all(axis=1))[0])
    turned = np.roll(np.arange(len(path)), len(path) // 2 - exit_at)  # the exit in the middle
    along = np.cumsum(step[turned])
    along -= along[len(path) // 2]
    chosen = turned[(along >= -BEFORE_MM) & (along <= BEHIND_MM)]
    lap_ms = circuit.cycle_ms * circuit.laps
    return path[chosen], float((circuit.times_ms[chosen[-1]] - circuit.times_ms[chosen[0]]) % lap_ms)


def _ball(shape: tuple[int, ...], centre: np.ndarray, radius: float) -> np.ndarray:
    """Return the voxels within a radius of a point, both in voxels."""
    away = np.meshgrid(*(np.arange(n) - c for n, c in zip(shape, centre, strict=True)), indexing="ij")
    return np.asarray(sum(a**2 for a in away) <= radius**2)
