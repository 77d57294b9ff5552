"""The ventricles of a short-axis cine: outlines at every phase, volumes, and how far to trust them."""

from carna.image.ventricles.segment import LV, MYOCARDIUM, NETWORK, RV, Ventricles, segment
from carna.image.ventricles.trust import POOR, Trust, trust
from carna.image.ventricles.volumes import MUSCLE_G_PER_ML, Volumes, cut_at_both_ends, volumes

__all__ = [
    "LV",
    "MUSCLE_G_PER_ML",
    "MYOCARDIUM",
    "NETWORK",
    "POOR",
    "RV",
    "Trust",
    "Ventricles",
    "Volumes",
    "cut_at_both_ends",
    "segment",
    "trust",
    "volumes",
]
