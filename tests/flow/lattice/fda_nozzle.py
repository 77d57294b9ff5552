"""Make fda_nozzle.json: the FDA nozzle at throat Reynolds 500, 8 cells per throat radius, a quarter of it.

Run as ``python tests/flow/lattice/fda_nozzle.py [seconds]``; half a second of flow takes a few minutes.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from carna.flow.blood import MMHG, Blood
from carna.flow.lattice.domain import Opening, domain
from carna.flow.lattice.shape import revolved
from carna.flow.lattice.simulate import Flow, Held, simulate

HERE = Path(__file__).with_suffix(".json")
FLOW_ML_S = 5.20624
IN_MM, OUT_MM, DX_MM = -86.0, 84.0, 0.25


def main(end_s: float) -> None:
    blood = Blood(1056.0, 3.5)
    nozzle = revolved([-90, -62.685, -40, -1e-6, 1e-6, 90], [6, 6, 2, 2, 6, 6])
    ends = (Opening((0, 0, IN_MM), (0, 0, -1), 6.0), Opening((0, 0, OUT_MM), (0, 0, 1), 6.0))
    lumen = domain(nozzle, DX_MM, (0, 0, IN_MM - 1), (6.5, 6.5, OUT_MM + 1), ends, mirror=(True, True, False))
    began, found, done = time.process_time(), None, 0.0
    rounds = max(1, round(end_s / 0.1))
    for _ in range(rounds):
        found = simulate(
            lumen,
            blood,
            {0: Flow(FLOW_ML_S / 4), 1: Held(0.0)},
            top_m_s=0.8,
            end_s=0.1,
            lattice_speed=0.15,
            start=found,
        )
        done += found.steps * found.scale.dt_s
        x, y, z = lumen.points_mm.T
        axis = np.flatnonzero((x < DX_MM) & (y < DX_MM))
        # u = u0 - a r^2 through the two innermost rings gives the value on the axis itself.
        next_ = np.flatnonzero((x > DX_MM) & (x < 2 * DX_MM) & (y < DX_MM))
        u0, u1 = found.velocity_m_s[axis, 2], found.velocity_m_s[next_, 2]
        rim = np.array([r for r in np.unique(np.round(z, 4))])
        rings = np.searchsorted(rim, np.round(z, 4))
        far = np.zeros(len(rim))
        np.maximum.at(far, rings, np.hypot(x, y))
        edge = np.hypot(x, y) > far[rings] - 0.5 * DX_MM
        wall = np.bincount(rings[edge], found.pressure_mmHg[edge] * MMHG) / np.bincount(rings[edge])
        HERE.write_text(
            json.dumps(
                {
                    "cells_per_throat_radius": 8,
                    "nodes": len(lumen),
                    "seconds_of_flow": round(done, 3),
                    "cpu_s": round(time.process_time() - began, 1),
                    "flow_ml_s": [round(float(4 * q), 4) for q in found.flow_ml_s],
                    "z_m": [round(float(v) * 1e-3, 6) for v in rim[::2]],
                    "axis_m_s": [round(float(v), 4) for v in (u0 + 0.25 * (u0 - u1))[::2]],
                    "wall_Pa": [round(float(v), 2) for v in wall[::2]],
                },
            )
            + "\n"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.8)
