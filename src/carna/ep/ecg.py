"""Electrocardiograms and electrograms of simulated tissue, by lead fields.

In an infinite homogeneous volume the potential at an electrode e of the sources in tissue is

    phi(e) = 1 / (4 pi sigma) * integral of  -sigma_i grad V . grad(1 / r)  dx,     r = |x - e|

By reciprocity the function ``Z = 1 / (4 pi sigma r)`` is the electrode's lead field: the potential that a
unit current injected at e would make in the tissue. With the operator A of the monodomain equation (the
discrete ``integral grad V' D grad V = V' A V``) the integral becomes a dot product with fixed weights,

    phi = - beta Cm * V' A Z

so a lead costs one multiplication a node and sample, and sources at the wall need no extra care: what the
operator lets through is exactly what the lead sees.

The volume conductor is infinite, without torso, blood or lungs, and the tissue does not disturb it: shapes
and polarity are meaningful, amplitudes are not those of a body surface.

Source: Plonsey and Barr, Bioelectricity; the reciprocal form is that of Geselowitz,
doi:10.1109/TBME.1971.4502787.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.tissue.grid import Tissue
    from carna.ep.tissue.layout import Layout

__all__ = ["CAPACITANCE_SURFACE", "lead_field", "lead_weights"]

CAPACITANCE_SURFACE = 1.4
"""``beta Cm``, uF/mm3: 140 /mm x 0.01 uF/mm2. Diffusion times this is conductivity: mm2/ms x uF/mm3 = S/m."""

Floats = NDArray[np.floating]
AT_ONCE = 3  # leads: their fields in double precision are larger than the cells' V


def lead_field(
    points_mm: Floats, electrode_mm: tuple[float, float, float], conductivity_S_per_m: float
) -> NDArray[np.float64]:
    """Return the potential, mV per uA, that a current at an electrode makes at points ``(n, 3)`` mm.

    ``1 / (4 pi sigma r)`` with sigma in mS/mm (= S/m) and r in mm.

    >>> float(lead_field(np.array([[0.0, 0.0, 1.0]]), (0, 0, 0), 1.0)[0] * 4 * np.pi)
    1.0
    """
    if not conductivity_S_per_m > 0:
        raise InputError(f"a conductivity of {conductivity_S_per_m} S/m", needed="a value above 0")
    r = np.linalg.norm(np.asarray(points_mm, np.float64) - electrode_mm, axis=-1)
    if r.min() == 0:
        raise InputError(f"an electrode at {tuple(electrode_mm)} mm, on a node", fix="move it off the node")
    return np.asarray(1 / (4 * np.pi * conductivity_S_per_m * r))


def lead_weights(
    tissue: Tissue,
    layout: Layout,
    electrodes_mm: Sequence[Sequence[tuple[float, float, float]]],
    conductivity_S_per_m: float,
) -> NDArray[np.float32]:
    """Return the weights ``(leads, lanes)`` whose product with V, mV, is each lead's potential, mV.

    Parameters
    ----------
    tissue : Tissue
        Its diffusion is what counts. A tissue that was `calibrated` to its grid conducts as it should, but
        its diffusion is too large, unevenly so: give the one before calibration.
    layout : Layout
        Of the run.
    electrodes_mm : sequence of one or two points
        k, r, c in mm from the first wall; two make a bipolar lead, the first less the second.
    conductivity_S_per_m : float
        Of the volume around.
    """
    from carna.ep.tissue.operator import flow_into

    voxels = np.stack(np.unravel_index(layout.voxel[layout.used], layout.shape), -1)
    nodes_mm = voxels * np.asarray(tissue.spacing_mm) + tissue.origin_mm()
    # mm2/ms x uF/mm3 = mS/mm; a sheet or cable counts with one spacing of thickness.
    size = CAPACITANCE_SURFACE * float(np.prod(tissue.spacing_mm))
    out = np.zeros((len(electrodes_mm), layout.lanes), np.float32)
    for first in range(0, len(electrodes_mm), AT_ONCE):
        some = electrodes_mm[first : first + AT_ONCE]
        z = np.zeros((layout.lanes, len(some)))
        for n, points in enumerate(some):
            if len(points) not in {1, 2}:
                raise InputError(
                    f"a lead of {len(points)} electrodes", needed="one, or two for a bipolar lead"
                )
            for point, sign in zip(points, (1.0, -1.0), strict=False):
                z[layout.used, n] += sign * lead_field(nodes_mm, point, conductivity_S_per_m)
        out[first : first + len(some)] = size * flow_into(tissue, layout, z).T
    return out
