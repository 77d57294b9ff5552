"""The screening's circuit again with cells coupled to each other: the whole heart, and the isthmus alone."""

from __future__ import annotations

import time
from pathlib import Path

import infarct
import numpy as np

from carna import ep
from carna.ep.reentry import Circuit
from carna.ep.tissue.state import State, load, save
from carna.heart.ensemble import Member
from carna.heart.isthmus import passage
from carna.heart.scar import GREY
from carna.heart.twin import site_voxels
from carna.heart.ventricles import Ventricles

DT_MS = 0.05
ELECTRODE_MM, PULSE_MS = 3.0, 3.0
FIRST_MS = 350.0  # the S1 beat is run up to here once for all couplings
STRETCH_MS, FOLLOWED_MS = 100.0, 1100.0
THRESHOLD_MV = -40.0
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
    """Send two beats, a cycle apart, through the isthmus cut out on a fine grid."""
    speed = infarct.VELOCITY
    member = Member(border_mm=0.0, along=speed.along, across=speed.across, grey=speed.grey)
    begun = time.process_time()
    found = passage(of, member, circuit, "subacute", spacing_mm)
    return {
        "spacing_mm": spacing_mm, "nodes": found.nodes, "conducts": found.conducts,
        "crossing_ms": round(found.crossing_ms, 1) if found.conducts else None,
        "expected_ms": round(found.expected_ms, 1), "cycle_ms": round(circuit.cycle_ms, 1),
        "cpu_s": round(time.process_time() - begun),
    }  # fmt: skip
