"""The electrophysiology engine beside finitewave, and what a whole heart costs.

The slab is that of Niederer 2011 at 0.2 mm and 0.02 ms, for both: ten Tusscher 2006, anisotropic, activation
recorded, one thread. Rates are node-steps per CPU-second of the time steps; when the far corner is activated
stands beside them (eleven codes at this spacing: 53.8, SD 8.2 ms). A peer that is not installed is named.
"""

from __future__ import annotations

import time
from importlib.util import find_spec

import numpy as np

from carna.bench import Row

SPACING_MM = 0.2
DT_MS = 0.02
END_MS = 60.0
MILLION = 1e6


def measure() -> tuple[Row, ...]:
    """Return the rows."""
    return (*_slab(), _processes(), *_cells(), *_eikonal(), *_heart())


def _slab() -> tuple[Row, ...]:
    from carna.ep.tissue.niederer import FAR_CORNER, niederer

    niederer(0.5, 0.05, end_ms=2.0)  # compiles
    ours = niederer(SPACING_MM, DT_MS, end_ms=END_MS)
    said = f"far corner at {ours.activation_ms[FAR_CORNER]:.1f} ms"
    rate = ours.million_node_steps_per_s
    unit = "10*6.{node-steps}/s"
    if find_spec("finitewave") is None:
        return (Row("slab 0.2 mm, TT2006, 7-point", "finitewave (not installed)", rate, None, unit, said),)
    theirs, corner = _finitewave()
    quality = f"{said} and {corner:.1f} ms (11 codes: 53.8, SD 8.2)"
    return (Row("slab 0.2 mm, TT2006, one thread", "finitewave", rate, theirs, unit, quality),)


def _finitewave() -> tuple[float, float]:
    """Return its million node-steps per CPU-second and the activation of the far corner, ms."""
    import finitewave
    import numba
    from finitewave.cpuwave.stencil.sten3D.asymmetric_stencil_3d import AsymmetricStencil3D

    numba.set_num_threads(1)

    def run(end_ms: float) -> tuple[float, float]:
        # A frame of one empty node on each side: its own convention.
        size = tuple(round(mm / SPACING_MM) + 1 for mm in (20.0, 7.0, 3.0))
        tissue = finitewave.CardiacTissue(tuple(n + 2 for n in size))
        tissue.mesh = np.ones(tissue.mesh.shape, np.int8)
        tissue.add_boundaries()
        tissue.fibers = np.zeros((*tissue.mesh.shape, 3))
        tissue.fibers[..., 0] = 1.0
        model = finitewave.TenTusscherPanfilov2006()
        model.dt, model.dr, model.t_max, model.prog_bar = DT_MS, SPACING_MM, end_ms, False
        along, across = 0.13341772 / 1.4, 0.017606178 / 1.4
        model.D_model = along
        model.stencil = AsymmetricStencil3D()
        model.stencil.D_al, model.stencil.D_ac = 1.0, across / along
        corner = round(1.5 / SPACING_MM) + 1
        stimuli = finitewave.StimSequence()
        stimuli.add_stim(
            finitewave.StimCurrentCoord(0, 50.0 / 1.4, 2.0, 1, corner + 1, 1, corner + 1, 1, corner + 1)
        )
        tracker = finitewave.ActivationTimeTracker()
        tracker.threshold, tracker.step = 0.0, 1
        trackers = finitewave.TrackerSequence()
        trackers.add_tracker(tracker)
        model.cardiac_tissue, model.stim_sequence, model.tracker_sequence = tissue, stimuli, trackers
        begun = time.process_time()
        model.run()
        spent = time.process_time() - begun
        return int(np.prod(size)) * end_ms / DT_MS / spent / MILLION, float(tracker.output[-2, -2, -2])

    run(0.2)  # compiles
    return run(END_MS)


def _cells() -> tuple[Row, ...]:
    from carna.ep.cell import load
    from carna.ep.cell.pace import pace

    model = load("tt2006", "epi")
    cells, beats, dt_ms = 10_000, 10, 0.05
    conductance = np.linspace(0.8, 1.2, cells) * model["GKr"].value
    pace(model, 1000.0, 1, parameters={"GKr": conductance[:512]}, dt_ms=dt_ms)
    begun = time.process_time()
    paced = pace(model, 1000.0, beats, parameters={"GKr": conductance}, dt_ms=dt_ms)
    spent = time.process_time() - begun
    longest, shortest = float(paced.apd90_ms[-1].max()), float(paced.apd90_ms[-1].min())
    rate = cells * beats * 1000.0 / dt_ms / spent / MILLION
    said = f"APD90 {shortest:.0f} to {longest:.0f} ms over IKr 1.2 to 0.8"
    return (
        Row("10,000 TT2006 cells x 10 beats, dt 0.05 ms", "none", spent, None, "s", said),
        Row("the same, reaction only", "none", rate, None, "10*6.{node-steps}/s", said),
    )


def _eikonal() -> tuple[Row, ...]:
    from carna.ep.eikonal import arrival_times
    from carna.learn.ep import oblique

    n = 145
    tissue, exact, far = oblique(n)
    arrival_times(tissue, [(n // 2,) * 3])
    begun = time.process_time()
    found = arrival_times(tissue, [(n // 2,) * 3])
    spent = time.process_time() - begun
    error = float((np.abs(found - exact)[far] / exact[far]).mean())
    said = f"mean error {100 * error:.2f} % of the ellipsoid's time"
    return (Row(f"eikonal, one site, {n**3:,} voxels", "none", spent, None, "s", said),)


def _rate(end_ms: float) -> tuple[float, float]:
    """Return million node-steps per CPU-second and per second of a process's own slab."""
    from carna.ep.tissue.niederer import niederer

    niederer(SPACING_MM, DT_MS, end_ms=1.0)
    begun = time.perf_counter()
    found = niederer(SPACING_MM, DT_MS, end_ms=end_ms)
    # Node-steps of the run, over the wall clock of all of it.
    done = 36 * 16 * 101 * end_ms / DT_MS / MILLION
    return found.million_node_steps_per_s, done / (time.perf_counter() - begun)


def _processes() -> Row:
    """Two processes at once, each with a slab, beside one alone."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_rate, (1.0, 1.0)))  # starts both and loads what is compiled
        alone = pool.submit(_rate, END_MS).result()
        pair = list(pool.map(_rate, (END_MS, END_MS)))
    said = (
        f"peer is one process alone; by the wall clock {sum(p[1] for p in pair):.0f} to {alone[1]:.0f}, "
        "which other work on the machine changes"
    )
    both = sum(p[0] for p in pair)
    return Row(
        "slab 0.2 mm, two processes at once", "one process", both, alone[0], "10*6.{node-steps}/s", said
    )


def _heart() -> tuple[Row, ...]:
    """A biventricular heart, one site paced: what 20 ms of it cost, with and without multirate."""
    from carna import ep
    from carna.ep.cell import load
    from carna.heart.activation import stimuli
    from carna.heart.sites import pacing_sites
    from carna.heart.ventricles import ventricles

    heart = ventricles(spacing_mm=0.4)
    bulk = ep.diffusion((0.17, 0.019, 0.019), (0.62, 0.24, 0.24))
    tissue = ep.organ(heart.mask, heart.spacing_mm, load("tt2006", "epi"), bulk, heart.fibres)
    tissue = ep.calibrated(tissue, dt_ms=0.05)
    site = stimuli(heart, pacing_sites(heart)[11])
    del heart
    ep.simulate(tissue, site, 0.2, dt_ms=0.05)
    rows = []
    for rates, words in ((None, "every cell in every step"), (ep.Multirate(), "multirate")):
        run = ep.simulate(tissue, site, 20.0, dt_ms=0.05, multirate=rates)
        rate = run.nodes * run.steps / run.cpu_seconds / MILLION
        said = f"{rate:.0f} million node-steps a CPU-second"
        if rates is None:
            beat = run.cpu_seconds / 20.0 * 600.0 / 60.0
            said += f"; 600 ms would take {beat:.0f} CPU-min"
        else:
            said += "; a whole beat, with far more of the heart in front, is in docs/heart.md"
        case = f"biventricular heart, 0.4 mm, {run.nodes:,} nodes, 20 ms, {words}"
        rows.append(Row(case, "none", run.cpu_seconds, None, "s", said))
    return tuple(rows)
