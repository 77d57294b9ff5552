"""Motion of the left ventricular muscle in short-axis cine, and its strain."""

from carna.image.motion.strain import ENDO, EPI, MID, Strain, longitudinal, strain
from carna.image.motion.track import LAYERS, SPOKES, Motion, dense, track

__all__ = [
    "ENDO",
    "EPI",
    "LAYERS",
    "MID",
    "SPOKES",
    "Motion",
    "Strain",
    "dense",
    "longitudinal",
    "strain",
    "track",
]
