"""Echo: apical clips to outlines, beats, volumes and ejection fraction. Untried on patients."""

from carna.image.echo.beats import Beat, beats
from carna.image.echo.discs import DISCS, Outline, biplane, outline, single_plane
from carna.image.echo.read import (
    ATRIUM,
    CAVITY,
    MUSCLE,
    NETWORK,
    Quality,
    Reading,
    biplane_volumes,
    ejection_fraction,
    read,
)
from carna.image.echo.sector import Sector, find_sector

__all__ = [
    "ATRIUM",
    "CAVITY",
    "DISCS",
    "MUSCLE",
    "NETWORK",
    "Beat",
    "Outline",
    "Quality",
    "Reading",
    "Sector",
    "beats",
    "biplane",
    "biplane_volumes",
    "ejection_fraction",
    "find_sector",
    "outline",
    "read",
    "single_plane",
]
