"""What a page shows of the heart: its outer surface with the scar, and activation round each circuit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from carna import codes
from carna.apps.ep_twin.said import MOST, Sweep
from carna.findings import Field, Item, Shape
from carna.heart.anatomy import BACKGROUND, OPENING
from carna.heart.ensemble import TwinCircuit
from carna.heart.scar import SCAR
from carna.heart.skin import skin

__all__ = ["pictures"]

LAPS = 4.0  # followed after the last stimulus, of which the last whole one is drawn


def pictures(sweep: Sweep) -> Iterator[Item]:
    """Yield the surface, the scar on it, and a map of activation for each circuit."""
    from scipy.spatial import cKDTree

    heart = sweep.model.heart
    solid = (heart.labels != BACKGROUND) & (heart.labels != OPENING)
    # Made upright and turned afterwards, so that a turned patient has the same triangles.
    upright = skin(solid, heart.grid)
    _, nearest = cKDTree(heart.points_lps).query(upright.points)
    surface = replace(upright.moved(sweep.model.motion), frame=sweep.model.frame)
    yield Shape(id="heart", code=codes.VENTRICLES, site=codes.VENTRICLES, shape=surface, evidence=sweep.seen)
    yield Field(
        id="heart.scar",
        code=codes.SCAR,
        site=codes.VENTRICLES,
        values=heart.region[nearest].astype(float) / SCAR,
        unit="1",
        on="heart",
        of=("heart",),
        evidence=sweep.seen,
    )
    for n, circuit in enumerate(sweep.circuits[:MOST], 1):
        yield Field(
            id=f"circuit{n}.activation",
            code=codes.ACTIVATION_TIME,
            site=sweep.model.segment_of(circuit.isthmus),
            values=_activation(circuit, sweep)[nearest],
            unit="ms",
            on="heart",
            of=(f"circuit{n}.share", "heart"),
            evidence=sweep.seen,
        )


def _activation(circuit: TwinCircuit, sweep: Sweep) -> npt.NDArray[np.float64]:
    """Return when the example's member excites each voxel (n,) in one lap, ms from the isthmus's exit.

    The lap begins with the last excitation of the exit that leaves time for a whole one. Scar, and what is
    not excited in it, has the time of the nearest muscle that is.
    """
    from scipy.spatial import cKDTree

    from carna.ep.reentry import excitations
    from carna.heart.twin import moved, site_voxels, substrate

    screening, one = sweep.screening, circuit.example
    member = sweep.members[one.member]
    heart = replace(screening.heart, region=moved(screening.heart, member.border_mm))
    healthy, grey = (
        replace(table, apd_ms=np.asarray(table.apd_ms, float) * member.apd_scale)
        for table in (screening.healthy, screening.grey)
    )
    tissue = substrate(heart, member.velocity, healthy, grey)
    until_ms = LAPS * one.cycle_ms
    times, voxels = excitations(
        tissue, site_voxels(heart)[one.site], one.couplings_ms, until_ms, screening.protocol
    )
    leaving = times[(voxels == circuit.exit_site).all(axis=1) & (times <= until_ms - one.cycle_ms)]
    start = float(leaving[-1]) if leaving.size else until_ms - one.cycle_ms
    lap = (times >= start) & (times < start + one.cycle_ms)
    flat = np.ravel_multi_index(tuple(voxels[lap].T), heart.grid.shape)
    when = np.full(len(heart.at.where), np.inf)
    np.minimum.at(when, np.searchsorted(heart.at.where, flat), times[lap] - start)
    missed = ~np.isfinite(when)
    points = heart.points_lps
    _, stand_in = cKDTree(points[~missed]).query(points[missed])
    when[missed] = when[~missed][stand_in]
    return np.asarray(np.round(when, 3), float)
