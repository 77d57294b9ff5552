"""A lesion measured by the lattice, in the form the steady solver understands: R q + S q|q|."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.lattice.domain import Opening, domain
from carna.flow.lattice.shape import revolved
from carna.flow.lattice.simulate import Flow, Held, simulate
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Loss of a lesion between two stations, R q + S q|q|.

    Attributes
    ----------
    friction : float
        R, mmHg s/mL: what `carna.flow.steady.Losses` calls friction.
    jet : float
        S, mmHg s2/mL2.
    flow_ml_s, drop_mmHg : (n,) float
        The runs: total pressure lost, as a mean over the flow.
    residual : float
        Largest departure of the fit, of the largest drop.
    """

    friction: float
    jet: float
    flow_ml_s: Floats
    drop_mmHg: Floats
    residual: float


def fit(
    along_mm: npt.ArrayLike,
    radius_mm: npt.ArrayLike,
    flows_ml_s: tuple[float, ...],
    blood: Blood | None = None,
    *,
    cells: int = 8,
    progress: Progress = SILENT,
) -> Fit:
    """Run a round lesion at two flows or more and fit its law.

    Parameters
    ----------
    along_mm, radius_mm : (n,) float
        Profile; the first and the last station are where the loss is taken. A parabolic flow enters.
    flows_ml_s : tuple of float
        Two or more, > 0.
    blood : Blood, optional
    cells : int
        Per throat radius, at least 4.
    progress : Progress
    """
    z, r = np.asarray(along_mm, float), np.asarray(radius_mm, float)
    flows = np.asarray(flows_ml_s, float)
    if len(flows) < 2 or (flows <= 0).any() or cells < 4:
        raise InputError(
            f"flows {flows_ml_s} at {cells} cells", needed="two positive flows, 4 cells per throat radius"
        )
    blood = blood or Blood()
    dx = r.min() / cells
    ends = (
        Opening((0, 0, float(z[0])), (0, 0, -1), float(r[0])),
        Opening((0, 0, float(z[-1])), (0, 0, 1), float(r[-1])),
    )
    side = float(r.max()) + 2 * dx
    lumen = domain(
        revolved(z, r),
        dx,
        (0, 0, z[0] - 2 * dx),
        (side, side, z[-1] + 2 * dx),
        ends,
        mirror=(True, True, False),
    )
    drops = []
    for n, q in enumerate(flows):
        mean = q * 1e-6 / (np.pi * (r.min() * 1e-3) ** 2)
        run = simulate(
            lumen,
            blood,
            {0: Flow(q / 4), 1: Held(0.0)},
            top_m_s=2.1 * mean,
            end_s=20 * float(z[-1] - z[0]) * 1e-3 * np.pi * (r.max() * 1e-3) ** 2 / (q * 1e-6),
            settle=1e-3,
            lattice_speed=0.12,
            progress=progress.part(n / len(flows), (n + 1) / len(flows)),
        )
        heads = []
        for end in ends:
            near = np.abs(lumen.points_mm[:, 2] - end.centre_mm[2]) < 1.2 * dx
            u = run.velocity_m_s[near]
            head = run.pressure_mmHg[near] + 0.5 * blood.density_kg_m3 * (u**2).sum(1) / MMHG
            heads.append(np.average(head, weights=np.maximum(u[:, 2], 0) + 1e-12))
        drops.append(heads[0] - heads[1])
    drop = np.array(drops)
    # Relative errors: a small flow must not be drowned by a large one.
    basis = np.stack([flows, flows**2], axis=1) / drop[:, None]
    friction, jet = np.linalg.lstsq(basis, np.ones(len(drop)), rcond=None)[0]
    off = np.abs(friction * flows + jet * flows**2 - drop).max() / drop.max()
    return Fit(float(friction), float(jet), flows, drop, float(off))
