"""From the tree and boundary of the steady solver to arteries with walls."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from carna.errors import InputError
from carna.flow.blood import Blood
from carna.flow.boundary import Boundary, Wave
from carna.flow.network import Network
from carna.flow.oned.arteries import Arteries, Inlet, Vessel, Wall
from carna.flow.oned.pulse import Pulse
from carna.flow.result import FlowResult
from carna.flow.steady import losses


def from_network(
    vessels: Network, boundary: Boundary, blood: Blood | None = None, wall: Wall | None = None
) -> Arteries:
    """Return a tree as arteries, with the steady solver's own friction and jets.

    Radii are taken to hold at the boundary's mean pressure, as an image shows them. Node 0 is the inlet, node
    n + 1 the tail of segment n. Where the boundary has no wave, a half-sine of flow or a pulse of 40 mmHg
    around its mean, 0.8 s long, is assumed and noted.

    Raises
    ------
    InputError
        If an outlet has no condition.
    """
    blood, wall = blood or Blood(), wall or Wall()
    missing = [vessels.names[n] for n in vessels.outlets if int(n) not in boundary.outlets]
    if missing:
        raise InputError(
            f"no outlet condition for {', '.join(missing)}", needed="one for each segment that ends the tree"
        )
    lost = losses(vessels, blood)
    held = 90.0 if boundary.pressure_mmHg is None else boundary.pressure_mmHg
    parts = []
    for n, at in enumerate(vessels.segments):
        jet = lost.jet[at].copy()
        jet[0] = 0.0  # a shared point carries its parent's loss
        along = vessels.along_mm(n)
        keep = np.append(True, np.diff(along) > 1e-9)
        parts.append(
            Vessel(
                vessels.names[n],
                int(vessels.parent[n]) + 1,
                n + 1,
                along[keep],
                vessels.radius_mm[at][keep],
                wall,
                held,
                2.0,
                jet[keep],
            )
        )
    notes: tuple[str, ...] = (f"radii hold at {held:g} mmHg",)
    wave = boundary.wave
    if wave is None:
        wave = _assumed(boundary)
        notes = (*notes, "the shape of the inlet's wave is assumed: no measurement was given")
    outlets = {int(n) + 1: boundary.outlets[int(n)] for n in vessels.outlets}
    if wall.rigid:
        notes = (*notes, "walls are rigid: their waves are made to run at 25 m/s")
    return Arteries(
        tuple(parts),
        MappingProxyType({0: Inlet(wave, "flow" if boundary.pressure_mmHg is None else "pressure")}),
        MappingProxyType(outlets),
        notes,
    )


def mean_result(vessels: Network, pulse: Pulse) -> FlowResult:
    """Return a pulse's means at the points of the network that it was made from."""
    means = pulse.mean(pulse.pressure_mmHg)
    along = np.empty(len(vessels.points))
    for n, at in reversed(list(enumerate(vessels.segments))):
        mine = np.flatnonzero(pulse.vessel == n)
        here = vessels.along_mm(n)
        x, y = pulse.along_mm[mine], means[mine]
        if len(mine) > 1:
            # Half a cell beyond the middles of the first and the last.
            low, high = y[0] - (y[1] - y[0]) / 2, y[-1] + (y[-1] - y[-2]) / 2
            x, y = np.r_[0, x, here[-1]], np.r_[low, y, high]
        along[at] = np.interp(here, x, y)
    flow = pulse.mean(pulse.node_flow_ml_s).mean(axis=1)
    return FlowResult(along, flow, "oned", pulse.beats, pulse.change, pulse.notes)


def _assumed(boundary: Boundary) -> Wave:
    time = np.linspace(0, 0.8, 81)
    systole = np.where(time < 0.3, np.sin(np.pi * time / 0.3), 0.0)
    rest = systole - np.trapezoid(systole, time) / 0.8
    if boundary.pressure_mmHg is not None:
        return Wave(time, boundary.pressure_mmHg + 40.0 * rest)
    flow = boundary.flow_ml_s or 0.0
    return Wave(time, flow + flow * rest)
