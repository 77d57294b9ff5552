"""L3: blood flow in three dimensions by a sparse lattice Boltzmann method (D3Q19, two relaxation times).

::

    shape        where the blood is: a distance to the wall
    domain       nodes, neighbours, cut links, openings
    simulate     run it, in millimetres, mmHg, mL/s and seconds
    wall         stress on the wall and its oscillation
    transport    age and dye carried by a steady flow
    lesion       fit R q + S q|q| for the steady solver
    speed        updates per second beside what memory allows
"""

from carna.flow.lattice.domain import Domain, Opening, domain
from carna.flow.lattice.shape import Shape, ball, pipe, revolved, tube, voxels
from carna.flow.lattice.simulate import Drag, Flow, Held, Lattice, Scale, scale, simulate

__all__ = [
    "Domain",
    "Drag",
    "Flow",
    "Held",
    "Lattice",
    "Opening",
    "Scale",
    "Shape",
    "ball",
    "domain",
    "pipe",
    "revolved",
    "scale",
    "simulate",
    "tube",
    "voxels",
]
