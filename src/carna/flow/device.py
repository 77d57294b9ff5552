"""Devices in an aneurysm as a resistance of the blood's own space: flow diverters and coils.

A flow diverter is a sheet a few cells thick, a coil a volume; both slow the blood by

    pressure gradient = mu / k u + C2 rho / 2 |u| u.

The sheet's k and C2 are settings: no measured pair is public. Its screen form is dp = (mu / k) t v +
1/2 rho C2 t v^2 over the thickness t, which is how the sheet is made here: the drop is kept, the thickness is
as many cells as it needs. A coil of wire D at packing density P has k = e^3 D^2 / (32 (1 - e)^2), e = 1 - P
(a Kozeny law). Neither knows the single wire, so wall stress at a strut is not to be had. Research use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import Blood
from carna.flow.lattice.domain import Domain, Opening, domain
from carna.flow.lattice.shape import Shape, ball, pipe
from carna.flow.lattice.simulate import Drag, Flow, Held, Lattice, simulate
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PACKING: Final = (0.05, 0.5)


@final
@dataclass(frozen=True, slots=True)
class Diverter:
    """A flow diverter's sheet.

    Attributes
    ----------
    permeability_m2 : float
        k.
    inertia_1_m : float
        C2.
    thickness_mm : float
        Of the sheet whose k and C2 they are.
    """

    permeability_m2: float = 4e-10
    inertia_1_m: float = 2e4
    thickness_mm: float = 0.06


@final
@dataclass(frozen=True, slots=True)
class Coil:
    """Coils at a packing density: 0.20 to 0.32 is usual.

    Attributes
    ----------
    packing : float, 0.05 to 0.5
    wire_mm : float
        Diameter of the wire, about 0.254 mm.
    """

    packing: float = 0.25
    wire_mm: float = 0.254

    @property
    def permeability_m2(self) -> float:
        """Kozeny permeability, m2."""
        if not PACKING[0] <= self.packing <= PACKING[1]:
            raise InputError(f"a packing density of {self.packing:g}", needed="0.05 to 0.5, a fraction")
        return (1 - self.packing) ** 3 * (self.wire_mm * 1e-3) ** 2 / (32 * self.packing**2)


def resist(
    lumen: Domain, device: Diverter | Coil, where: Mask, blood: Blood, *, across_mm: float = 0.0
) -> Drag:
    """Return the drag of a device on the nodes (n,) it fills.

    `across_mm` is the thickness of those nodes along the flow, for a diverter: its drop is spread over it.
    """
    spread = 1.0
    if isinstance(device, Diverter):
        if across_mm <= 0:
            raise InputError("a diverter without thickness on the lattice", needed="across_mm > 0")
        spread = device.thickness_mm / across_mm
    quadratic = 0.5 * blood.density_kg_m3 * device.inertia_1_m if isinstance(device, Diverter) else 0.0
    on = np.where(where, spread, 0.0)
    if on.shape != (len(lumen),):
        raise InputError(f"a mask of {on.shape}", needed=f"{(len(lumen),)}")
    return Drag(on * blood.viscosity_mPas * 1e-3 / device.permeability_m2, on * quadratic)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sidewall:
    """A round aneurysm on the side of a straight artery along z: half of it, x = 0 is a plane of symmetry.

    Attributes
    ----------
    lumen : Domain
    sac : (n,) bool
        Nodes beyond the artery's own wall.
    sheet : (n,) bool
        Two cells across the neck, just outside the artery's wall: where a diverter lies.
    across_mm : float
        Thickness of that sheet.
    artery_mm : float
    """

    lumen: Domain
    sac: Mask
    sheet: Mask
    across_mm: float
    artery_mm: float


def sidewall(
    *,
    artery_mm: float = 2.0,
    sac_mm: float = 3.0,
    neck_depth_mm: float = 0.5,
    length_mm: float = 16.0,
    dx_mm: float = 0.2,
) -> Sidewall:
    """Return a parametric aneurysm: a sphere of radius `sac_mm` `neck_depth_mm` deep in the wall."""
    if not 0 < neck_depth_mm < sac_mm or 2 * sac_mm >= length_mm:
        raise InputError(
            f"a sac of {sac_mm:g} mm sunk {neck_depth_mm:g} mm on an artery {length_mm:g} mm long",
            needed="a depth below the radius, an artery longer than the sac",
        )
    centre = artery_mm + sac_mm - neck_depth_mm
    shape: Shape = pipe(artery_mm) | ball((0.0, centre, 0.0), sac_mm)
    half = length_mm / 2
    ends = (Opening((0, 0, -half), (0, 0, -1), artery_mm), Opening((0, 0, half), (0, 0, 1), artery_mm))
    side = max(artery_mm, sac_mm) + 2 * dx_mm
    lumen = domain(
        shape,
        dx_mm,
        (0, -artery_mm - 2 * dx_mm, -half - 2 * dx_mm),
        (side, centre + sac_mm + 2 * dx_mm, half + 2 * dx_mm),
        ends,
        mirror=(True, False, False),
    )
    x, y, _ = lumen.points_mm.T
    out = np.hypot(x, y)
    across = 2 * dx_mm
    return Sidewall(
        lumen,
        (out >= artery_mm) & (y > 0),
        (out >= artery_mm) & (out < artery_mm + across) & (y > 0),
        across,
        artery_mm,
    )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """What happens in the sac.

    Attributes
    ----------
    mean_m_s : float
        Mean speed in the sac beyond the sheet.
    inflow_ml_s : float
        Through the neck into the sac, the whole of it.
    turnover_s : float
        Volume of the sac over its inflow.
    run : Lattice
    """

    mean_m_s: float
    inflow_ml_s: float
    turnover_s: float
    run: Lattice


def effect(
    model: Sidewall,
    device: Diverter | Coil | None,
    *,
    flow_ml_s: float = 2.0,
    blood: Blood | None = None,
    settle: float = 2e-3,
    progress: Progress = SILENT,
) -> Effect:
    """Return the flow in a sac with a device, or with none.

    Parameters
    ----------
    model : Sidewall
    device : Diverter, Coil or None
    flow_ml_s : float
        Of the whole artery, steady.
    """
    blood, lumen = blood or Blood(), model.lumen
    drag = None
    if isinstance(device, Diverter):
        drag = resist(lumen, device, model.sheet, blood, across_mm=model.across_mm)
    elif device is not None:
        drag = resist(lumen, device, model.sac, blood)
    mean = flow_ml_s * 1e-6 / (np.pi * (model.artery_mm * 1e-3) ** 2)
    run = simulate(
        lumen,
        blood,
        {0: Flow(flow_ml_s / 2), 1: Held(0.0)},
        top_m_s=2.2 * mean,
        end_s=1.0,
        settle=settle,
        drag=drag,
        progress=progress,
    )
    dome = model.sac & ~model.sheet
    x, y, _ = lumen.points_mm.T
    out = np.hypot(x, y)
    ring = dome & (out < model.artery_mm + model.across_mm + lumen.dx_mm)
    radial = (run.velocity_m_s[ring, 0] * x[ring] + run.velocity_m_s[ring, 1] * y[ring]) / out[ring]
    # One shell of cells of thickness dx holds dx times its area: half the sac, hence 2.
    inflow = 2 * float(np.maximum(radial, 0).sum()) * (lumen.dx_mm * 1e-3) ** 2 * 1e6
    speed = float(np.linalg.norm(run.velocity_m_s[dome], axis=1).mean())
    volume = 2 * dome.sum() * lumen.dx_mm**3 * 1e-3
    return Effect(speed, inflow, volume / max(inflow, 1e-12), run)
