"""Electrophysiology engine: cells, tissue, propagation; arrays in, arrays out.

>>> from carna import ep
>>> ep.Tissue.__module__
'carna.ep.tissue.grid'

Names are fetched when they are first asked for, so that ``import carna.ep`` compiles nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carna.ep.cell import CellModel, load
    from carna.ep.rotor import follow, phase, singularities, wave_count
    from carna.ep.tissue.conduction import Conduction, calibrated, conduction, tune_conduction
    from carna.ep.tissue.grid import Tissue, cable, diffusion, organ, sheet, slab
    from carna.ep.tissue.niederer import niederer
    from carna.ep.tissue.reaction import Multirate
    from carna.ep.tissue.record import Activation, Durations, Frames, Leads, Probes, Upstroke
    from carna.ep.tissue.run import Run, simulate
    from carna.ep.tissue.state import Checkpoint, State
    from carna.ep.tissue.stimulus import Stimulus, burst, cross_field, entry_points, programmed

__all__ = [
    "Activation",
    "CellModel",
    "Checkpoint",
    "Conduction",
    "Durations",
    "Frames",
    "Leads",
    "Multirate",
    "Probes",
    "Run",
    "State",
    "Stimulus",
    "Tissue",
    "Upstroke",
    "burst",
    "cable",
    "calibrated",
    "conduction",
    "cross_field",
    "diffusion",
    "entry_points",
    "follow",
    "load",
    "niederer",
    "organ",
    "phase",
    "programmed",
    "sheet",
    "simulate",
    "singularities",
    "slab",
    "tune_conduction",
    "wave_count",
]

_HOMES = {
    "cell": ("CellModel", "load"),
    "rotor": ("follow", "phase", "singularities", "wave_count"),
    "tissue.conduction": ("Conduction", "calibrated", "conduction", "tune_conduction"),
    "tissue.grid": ("Tissue", "cable", "diffusion", "organ", "sheet", "slab"),
    "tissue.niederer": ("niederer",),
    "tissue.reaction": ("Multirate",),
    "tissue.record": ("Activation", "Durations", "Frames", "Leads", "Probes", "Upstroke"),
    "tissue.run": ("Run", "simulate"),
    "tissue.state": ("Checkpoint", "State"),
    "tissue.stimulus": ("Stimulus", "burst", "cross_field", "entry_points", "programmed"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"carna.ep.{home}"), name)
    raise AttributeError(f"module 'carna.ep' has no attribute {name!r}")
