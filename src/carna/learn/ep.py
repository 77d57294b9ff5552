"""The electrophysiology engine against closed forms, eleven codes, another solver and a panel's ranking.

Nothing here is a patient: truth is ``P`` (a closed form, or a solution that is exact but for its stated
error) or ``O`` (other codes; APDs of CVODES were computed once with Myokit and stand here, as they do in the
tests, which compute them again). The 28 drugs take an hour and have a suite of their own, ``ep-safety``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.learn.evaluate import Row
from carna.progress import SILENT, Progress

if TYPE_CHECKING:
    from carna.ep.eikonal import Medium


def evaluate(data: Path, progress: Progress = SILENT) -> tuple[Row, ...]:
    """Return the rows; the slab at 0.1 mm takes half a minute."""
    rows: list[Row] = []
    parts = (_cells, _slab, _velocity, _eikonal, _electrograms, _fibres, _leads, _whole)
    for n, part in enumerate(parts):
        rows += part()
        progress((n + 1) / len(parts), part.__name__.strip("_"))
    return tuple(rows)


def _row(
    set_: str,
    truth: str,
    task: str,
    metric: str,
    value: float,
    n: int,
    unit: str = "1",
    group: str = "all",
    split: str = "development",
) -> Row:
    return Row(set_, truth, split, task, metric, float(value), None, n, 0, unit, group)  # type: ignore[arg-type]


# Beat 3 at 1 Hz from each model's own initial state: Myokit 1.39 with CVODES 6.4, tolerance 1e-8.
CVODES_APD90_MS = {
    ("tt2006", "epi"): 307.59,
    ("courtemanche1998", ""): 242.90,
    ("ohara2011", "endo"): 263.60,
    ("ohara_cipa", "endo"): 263.47,
    ("torord", "endo"): 272.41,
}


def _cells() -> Iterator[Row]:
    from carna.ep.cell import load
    from carna.ep.cell.pace import pace

    for (name, variant), reference in CVODES_APD90_MS.items():
        model = load(name, variant)
        for dt_ms, precision in ((0.0025, "float64"), (0.02, "float32")):
            apd = pace(model, 1000.0, 3, dt_ms=dt_ms, precision=precision).apd90_ms[-1, 0]  # type: ignore[arg-type]
            task = f"APD90 of beat 3, {precision}, dt {dt_ms:g} ms, against CVODES"
            yield _row("cells", "O", task, "bias", apd - reference, 1, "ms", name)


def _slab() -> Iterator[Row]:
    from carna.ep.tissue.niederer import ELEVEN_CODES, FAR_CORNER, SOLUTION_MS, limit, niederer

    for spacing, dt in ((0.5, 0.05), (0.2, 0.02), (0.1, 0.01)):
        found = niederer(spacing, dt)
        mean, sd = np.array(ELEVEN_CODES[spacing]).T
        inside = int((np.abs(found.times_ms - mean) <= sd).sum())
        group = f"{spacing:g} mm"
        yield _row(
            "Niederer 2011", "O", "points within the 11 codes' mean +- SD", "hits", inside, 9, "1", group
        )
        corner = found.activation_ms[FAR_CORNER]
        yield _row("Niederer 2011", "O", "far corner", "mean", corner, 1, "ms", group)
    steps = (0.2, 0.125, 0.1)
    tends, _ = limit(steps, tuple(niederer(h, 0.01, order=4).times_ms for h in steps))
    yield _row(
        "Niederer 2011",
        "P",
        "far corner, limit from order 4 at 0.2, 0.125, 0.1 mm",
        "mean",
        tends[7],
        1,
        "ms",
    )
    exact = np.array(SOLUTION_MS)
    for spacing, share, least in ((0.25, 0.05, 0.7), (0.5, 0.08, 1.5)):
        for order in (2, 4):
            off = np.abs(niederer(spacing, 0.02, calibrated=True, order=order).times_ms - exact)
            inside = int((off <= np.maximum(share * exact, least)).sum())
            task = f"calibrated, order {order}, points within max({share:.0%}, {least:g} ms) of the limit"
            yield _row("Niederer 2011", "P", task, "hits", inside, 9, "1", f"{spacing:g} mm")


def _velocity() -> Iterator[Row]:
    from carna.ep import conduction, load

    table = conduction(load("tt2006", "epi"), 0.02, 2)
    for diffusion, reference in ((0.0953, 0.614), (0.01258, 0.223)):
        velocity = table.c0 * np.sqrt(diffusion)
        task = f"velocity without a grid, D {diffusion:g} mm2/ms, against a fine cable"
        yield _row("cable", "O", task, "bias", velocity / reference - 1, 1)


def oblique(n: int) -> tuple[Medium, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return a cube of n x n x n voxels with oblique fibres, exact arrivals from its middle, and where.

    Arrivals [ms] are those of an ellipsoid; they count from 4 mm on, where the first voxels are forgotten.
    """
    from carna.ep.eikonal import medium

    fibre = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)
    everywhere = np.ones((n, n, n), bool)
    tissue = medium(everywhere, (0.4,) * 3, (0.6, 0.2), np.broadcast_to(fibre, (n, n, n, 3)))
    away = (np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1) - n // 2) * 0.4
    along = away @ fibre
    exact = np.sqrt(along**2 / 0.36 + np.maximum((away**2).sum(-1) - along**2, 0) / 0.04)
    return tissue, exact, np.linalg.norm(away, axis=-1) >= 4.0


def _eikonal() -> Iterator[Row]:
    from carna.ep.eikonal import arrival_times

    n = 81
    tissue, exact, far = oblique(n)
    error = np.abs(arrival_times(tissue, [(n // 2,) * 3]) - exact)[far] / exact[far]
    for metric, value in (("mae", error.mean()), ("max_distance", error.max())):
        yield _row(
            "ellipsoid", "P", "eikonal arrival, share of the exact time", metric, value, int(far.sum())
        )


def _electrograms() -> Iterator[Row]:
    from carna.ep.mapping import annotate, synthetic_unipolar, with_noise

    truth = np.random.default_rng(0).uniform(-60, 110, 400)
    clean = synthetic_unipolar(200 + truth, 1000.0, 500)
    for snr_db in (26, 20, 14):
        signals = with_noise(clean, snr_db, 1)
        found = annotate(
            signals, 1000.0, reference_ms=200, window_ms=(-100.0, 150.0), rule="steepest_descent"
        )
        off = float(np.sqrt(np.nanmean((found.lat_ms - truth) ** 2)))
        task = "local activation time by steepest descent, rms error"
        yield _row("virtual electrograms", "P", task, "sd", off, 400, "ms", f"{snr_db} dB")


def _fibres() -> Iterator[Row]:
    from carna.heart.anatomy import Anatomy
    from carna.heart.ventricles import ventricles

    anatomy = Anatomy()
    for spacing in (1.0, 0.4):
        made = ventricles(anatomy, spacing_mm=spacing)
        off = made.tissue_ml / anatomy.tissue_ml - 1
        yield _row(
            "virtual heart", "P", "muscle against the closed form", "bias", off, 1, "1", f"{spacing:g} mm"
        )


def _leads() -> Iterator[Row]:
    """QRS of the virtual heart at 1 mm, from arrival times; there is no truth for it, only what it is."""
    from carna.ep.cell import load
    from carna.heart.activation import Entries, arrival, muscle, sinus_entries
    from carna.heart.leads import axis_deg, ecg_of_arrival, fields, qrs, templates
    from carna.heart.sites import Site, pacing_sites
    from carna.heart.ventricles import ventricles

    heart = ventricles(spacing_mm=1.0)
    seen, shape, tissue = fields(heart), templates([load("tt2006", "epi")]), muscle(heart)
    widths = []
    sources: tuple[Site | Entries, ...] = (sinus_entries(heart), *pacing_sites(heart))
    for source in sources:
        reached = arrival(tissue, source).ravel()[heart.at.where]
        beat, last = ecg_of_arrival(seen, reached, shape), float(reached.max())
        begin, end = qrs(beat, last)
        widths.append(end - begin)
        if len(widths) == 1:
            yield _row(
                "virtual heart", "P", "frontal axis, sinus-like", "mean", axis_deg(beat, last), 1, "deg"
            )
    yield _row("virtual heart", "P", "QRS, sinus-like", "mean", widths[0], 1, "ms")
    yield _row("virtual heart", "P", "QRS, paced from 19 sites", "mean", float(np.mean(widths[1:])), 19, "ms")
    wider = int((np.array(widths[1:]) > widths[0]).sum())
    yield _row("virtual heart", "P", "paced QRS wider than sinus-like", "hits", wider, 19)


def _whole() -> Iterator[Row]:
    """Activation of a small heart, monodomain beside eikonal; a full-sized one is in docs/heart.md."""
    from carna import ep
    from carna.ep.eikonal import arrival_times
    from carna.heart.activation import muscle, stimuli
    from carna.heart.anatomy import Anatomy
    from carna.heart.sites import pacing_sites
    from carna.heart.ventricles import ventricles

    heart = ventricles(Anatomy(lv_ml=60, rv_ml=70, lv_wall_mm=6), spacing_mm=0.5)
    bulk = ep.diffusion((0.17, 0.019, 0.019), (0.62, 0.24, 0.24))
    tissue = ep.organ(heart.mask, heart.spacing_mm, ep.load("tt2006", "epi"), bulk, heart.fibres)
    site = pacing_sites(heart)[11]
    pulse = stimuli(heart, site)
    run = ep.simulate(ep.calibrated(tissue, 0.05), pulse, 200.0, dt_ms=0.05, multirate=ep.Multirate())
    assert run.activation_ms is not None
    begin = np.argwhere(pulse[0].where)
    found = arrival_times(muscle(heart), begin, run.activation_ms[tuple(begin.T)])
    both = np.isfinite(run.activation_ms) & np.isfinite(found)
    off = found[both] - run.activation_ms[both]
    task = "eikonal less monodomain, a small heart at 0.5 mm"
    n = int(both.sum())
    yield _row("virtual heart", "O", task, "bias", off.mean(), n, "ms", site.name)
    yield _row("virtual heart", "O", task, "sd", np.sqrt((off**2).mean()), n, "ms", site.name)
    related = np.corrcoef(found[both], run.activation_ms[both])[0, 1]
    yield _row("virtual heart", "O", task, "correlation", related, n, "1", site.name)
