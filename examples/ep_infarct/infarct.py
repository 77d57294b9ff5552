"""The heart of the study: an infarct with a channel through it, its cells, and what is done with it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from carna import ep
from carna.ep import conditions
from carna.ep.reentry import Outcome, Protocol, Restitution, Substrate, screen
from carna.ep.restitution import restitution
from carna.heart.recovery import paced
from carna.heart.scar import GREY, SCAR, Infarct
from carna.heart.twin import Velocity, site_voxels, substrate
from carna.heart.ventricles import Ventricles, ventricles

INFARCT = Infarct(segment=7, around_mm=60.0, along_mm=50.0, rim_mm=0.0, channel_mm=7.0, channel_deg=70.0)
CLOSED = replace(INFARCT, channel_mm=0.0)
# In the grey zone: what `border_zone_subacute` itself does to velocity, sqrt(0.5) by its coupling times the
# loss by its sodium current.
VELOCITY = Velocity(along=0.60, across=0.25, grey=0.49)
S1_MS = 600.0
PROTOCOL = Protocol(s1_ms=S1_MS, s1_beats=6, extras=3, step_ms=10.0, sustained_ms=2000.0)
LESION_MM = 5.0


def heart(spacing_mm: float, infarct: Infarct | None = INFARCT) -> Ventricles:
    """Return the mean heart of a man with the infarct, or without one."""
    return ventricles(spacing_mm=spacing_mm, infarcts=() if infarct is None else (infarct,))


def cells() -> tuple[ep.CellModel, ep.CellModel]:
    """Return the cells of healthy muscle and of the grey zone."""
    healthy = ep.load("tt2006", "epi")
    return healthy, conditions.border_zone_subacute().on(healthy)


def tables(work: Path) -> tuple[Restitution, Restitution]:
    """Measure how both recover on a cable, or read what was measured."""
    file = work / "restitution.json"
    if not file.exists():
        found = [restitution(cell, s1_ms=S1_MS) for cell in cells()]
        file.write_text(
            json.dumps([{k: np.asarray(v).tolist() for k, v in asdict(t).items()} for t in found])
        )
    healthy, grey = (
        Restitution(*(np.array(t[name]) for name in ("rest_ms", "apd_ms", "speed")))
        for t in json.loads(file.read_text())
    )
    return healthy, grey


def burnt(of: Ventricles, lesion: np.ndarray) -> Ventricles:
    """Return the heart with muscle made scar."""
    return replace(of, region=np.where(lesion, SCAR, of.region).astype(np.uint8))


def made(of: Ventricles, work: Path, *, even: bool = False) -> Substrate:
    """Return the heart as the screening sees it; ``even``: the grey zone recovers like healthy muscle."""
    healthy, grey = tables(work)
    return substrate(of, VELOCITY, healthy, healthy if even else grey)


def tried(of: Ventricles, work: Path, site: str, protocol: Protocol = PROTOCOL) -> tuple[Outcome, ...]:
    """Run programmed stimulation from one site."""
    return screen(made(of, work), {site: site_voxels(of)[site]}, protocol)


def coupled(
    muscle: np.ndarray,
    grey: np.ndarray,
    fibres: np.ndarray,
    spacing_mm: tuple[float, float, float],
    dt_ms: float,
    cycle_ms: float = S1_MS,
) -> ep.Tissue:
    """Return muscle as cells, paced to a cycle and coupled, that conduct on its grid as in `VELOCITY`."""
    models = {number: paced(cell, cycle_ms) for number, cell in enumerate(cells())}
    diffusion = np.zeros((*muscle.shape, 3), np.float32)
    for number, cell in enumerate(cells()):
        factor = VELOCITY.grey if number else 1.0
        law = ep.conduction(cell, dt_ms)
        along, across = law.diffusion((factor * VELOCITY.along, factor * VELOCITY.across))
        diffusion[grey == bool(number)] = (along, across, across)
    bare = ep.organ(muscle, spacing_mm, models, diffusion, fibres, region=grey.astype(np.int64))
    return ep.calibrated(bare, dt_ms)


def tissue(of: Ventricles, dt_ms: float) -> ep.Tissue:
    """Return the whole heart but its scar as cells coupled to each other."""
    region = of.spread(of.region)
    return coupled(of.mask & (region != SCAR), region == GREY, of.fibres, of.spacing_mm, dt_ms)
