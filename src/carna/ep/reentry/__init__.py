"""Re-entry screening: programmed stimulation on eikonal tissue that recovers.

::

    substrate  Restitution, Substrate        automaton  the kernels, on a `State`
    protocol   Protocol, screen(), pace(), excitations()    circuit    Circuit: path, isthmus, exit
"""

from carna.ep.reentry.circuit import Circuit
from carna.ep.reentry.protocol import Outcome, Protocol, excitations, pace, screen
from carna.ep.reentry.substrate import Restitution, Substrate

__all__ = ["Circuit", "Outcome", "Protocol", "Restitution", "Substrate", "excitations", "pace", "screen"]
