"""Circuits of blood flow (zero-dimensional): vessels, beds, valves and chambers over time.

::

    circuit      blocks joined at nodes, and the equations that they make
    vessels      vessels, junctions, ends        heart   valves, chambers, heart and lungs
    simulate     generalised-alpha in time, Newton inside
    case         svZeroDSolver files, as they are
    calibrate    resistances, compliances and inertances from observed waves
    tree         a `carna.flow.Network` as a circuit

A circuit has no unit of its own; only `tree` knows millimetres, mmHg, mL and seconds.
"""

from carna.flow.zerod.calibrate import Calibration, calibrate
from carna.flow.zerod.case import Case, read
from carna.flow.zerod.circuit import Circuit
from carna.flow.zerod.simulate import Settings, Simulation, State, simulate
from carna.flow.zerod.tree import Pulsatile, Wall, from_network, pulsatile

__all__ = [
    "Calibration",
    "Case",
    "Circuit",
    "Pulsatile",
    "Settings",
    "Simulation",
    "State",
    "Wall",
    "calibrate",
    "from_network",
    "pulsatile",
    "read",
    "simulate",
]
