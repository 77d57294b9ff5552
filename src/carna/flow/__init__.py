"""Blood flow in vessels: a ladder of solvers over one tree, one boundary, one result.

::

    network      a rooted tree of segments from centrelines
    boundary     what happens at the ends, from patient numbers
    steady       L1: mean pressures and flows of a whole tree, in microseconds

All take millimetres, mmHg, mL/s and seconds, and know nothing of files, codes or diagnoses.
"""

from carna.flow.blood import Blood, Carreau
from carna.flow.boundary import Boundary, Outlet, Wave, coronary
from carna.flow.network import Network, network
from carna.flow.result import FlowResult

__all__ = ["Blood", "Boundary", "Carreau", "FlowResult", "Network", "Outlet", "Wave", "coronary", "network"]
