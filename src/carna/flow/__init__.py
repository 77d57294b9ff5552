"""Blood flow in vessels: a ladder of solvers over one tree, one boundary, one result.

::

    network      a rooted tree of segments from centrelines
    boundary     what happens at the ends, from patient numbers
    geometry     cleaning, trees from labels and surfaces, lesions, names
    lesion       L0: laws of one narrowing
    steady       L1: mean pressures and flows of a whole tree, in microseconds
    zerod        L1b: flow in time by resistances, compliances and valves; runs svZeroD's cases
    oned         L2: pressure waves in compliant vessels
    lattice      L3: flow in three dimensions
    ffr          pressure ratios along a tree, values of record, pull-back, what-if
    uncertain    how sure a ratio is, and which input matters most
    assess       all of it for one tree: lesions, pull-backs and what-if, each number with its band
    sac          the sac of an aneurysm on its artery
    virtual      trees to learn and test with

All take millimetres, mmHg, mL/s and seconds, and know nothing of files, codes or diagnoses.
"""

from carna.flow.blood import Blood, Carreau
from carna.flow.boundary import Boundary, Outlet, Wave, coronary, renal
from carna.flow.network import Network, network
from carna.flow.result import FlowResult

__all__ = [
    "Blood",
    "Boundary",
    "Carreau",
    "FlowResult",
    "Network",
    "Outlet",
    "Wave",
    "coronary",
    "network",
    "renal",
]
