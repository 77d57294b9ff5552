"""Electroanatomical maps: electrograms to times, times to maps, maps to velocities.

::

    annotate     annotate(), reference_time(), bipoles()     catheter   Catheter, linear(), grid(), vote()
    surface_map  interpolate(), isochrones(),                velocity   conduction_velocity()
                 early_meets_late(), voltage_zones()

Everything lies in the surface's own frame, LPS millimetres; lines come back as `carna.space.VesselTree`,
values as arrays over the surface's points, so that any writer of surfaces with fields exports them.
"""

from carna.ep.mapping.annotate import REASONS, Annotation, annotate, bipoles, reference_time
from carna.ep.mapping.catheter import Catheter, grid, linear, synthetic_unipolar, vote, with_noise
from carna.ep.mapping.surface_map import (
    early_meets_late,
    interpolate,
    isochrones,
    voltage_zones,
    zone_areas_mm2,
)
from carna.ep.mapping.velocity import Velocity, conduction_velocity

__all__ = [
    "REASONS", "Annotation", "Catheter", "Velocity", "annotate", "bipoles", "conduction_velocity",
    "early_meets_late", "grid", "interpolate", "isochrones", "linear", "reference_time", "synthetic_unipolar",
    "voltage_zones", "vote", "with_noise", "zone_areas_mm2",
]  # fmt: skip
