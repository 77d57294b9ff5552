"""Electrocardiograms: arrays in, arrays out.

::

    beats      where the heart beat, in 1 to 12 leads, 50 to 1000 Hz, seconds to days
    quality    how well each lead was recorded; do the limb leads obey Einthoven
    rhythm     rate and regularity from beat times

`traces`, `candidates` and `beat_weights` are the steps of `beats`. All take (leads, samples) in millivolts,
NaN where nothing was recorded, and know nothing of files, codes or diagnoses.
"""

from carna.ecg.beats import Beats, find_beats
from carna.ecg.quality import Einthoven, LeadQuality, einthoven_residual, lead_quality
from carna.ecg.rhythm import Rhythm, between_gaps, rhythm

__all__ = [
    "Beats",
    "Einthoven",
    "LeadQuality",
    "Rhythm",
    "between_gaps",
    "einthoven_residual",
    "find_beats",
    "lead_quality",
    "rhythm",
]
