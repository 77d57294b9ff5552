"""The chambers in long-axis cines: outlines at every phase, volumes of two planes, longitudinal strain."""

from carna.image.long_axis.measure import Measured, measure
from carna.image.long_axis.segment import (
    LA,
    LV,
    MYOCARDIUM,
    NETWORK,
    RA,
    RV,
    LongAxis,
    agreement,
    one_heart,
    segment,
)
from carna.image.long_axis.strain import Longitudinal, of_planes
from carna.image.long_axis.volumes import (
    Biplane,
    area_length_ml,
    at_phases,
    biplane,
    biplane_discs_ml,
    fractions_of_beat,
)

__all__ = [
    "LA",
    "LV",
    "MYOCARDIUM",
    "NETWORK",
    "RA",
    "RV",
    "Biplane",
    "LongAxis",
    "Longitudinal",
    "Measured",
    "agreement",
    "area_length_ml",
    "at_phases",
    "biplane",
    "biplane_discs_ml",
    "fractions_of_beat",
    "measure",
    "of_planes",
    "one_heart",
    "segment",
]
