"""Pulse waves: blood as a one-dimensional flow in elastic vessels.

``solve`` takes ``Arteries`` (vessels between numbered nodes, loops welcome, what drives them and what drains
them) and returns a ``Pulse``; ``from_network`` makes arteries of the tree that the steady solver takes, and
``benchmarks`` reads the published test networks.
"""

from carna.flow.oned.arteries import Arteries, Drain, Inlet, Reflection, Vessel, Wall
from carna.flow.oned.pulse import Pulse
from carna.flow.oned.solve import solve
from carna.flow.oned.trees import from_network

__all__ = [
    "Arteries",
    "Drain",
    "Inlet",
    "Pulse",
    "Reflection",
    "Vessel",
    "Wall",
    "from_network",
    "solve",
]
