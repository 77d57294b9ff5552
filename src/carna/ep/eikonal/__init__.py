"""Arrival times by the anisotropic eikonal equation: on voxel grids, surfaces and line networks.

::

    stencil   a velocity tensor as upwind neighbours        march          the ordered pass
    grid      medium(), arrival_times()                     surface        surface_times()
    network   Network, network_times(), attach()            surface_march  its kernel
"""

from carna.ep.eikonal.grid import Medium, arrival_times, arrival_with_network, medium
from carna.ep.eikonal.network import Network, attach, network_times
from carna.ep.eikonal.surface import surface_times

__all__ = [
    "Medium", "Network", "arrival_times", "arrival_with_network", "attach", "medium", "network_times",
    "surface_times",
]  # fmt: skip
