"""Electrocardiograms: arrays in, arrays out.

::

    quality      how well each lead was recorded; do the limb leads obey Einthoven
    beats        where the heart beat, in 1 to 12 leads, 50 to 1000 Hz, seconds to days
    kinds        normal, supraventricular, ventricular, paced or unknown
    delineate    where P, QRS and T begin, peak and end, in every lead and beat
    median       the median beat and its global boundaries
    measure      intervals, axes, and what each lead shows
    rhythm       rate and regularity from beat times
    atrial       fibrillation around every beat; strips: a short lead as a whole
    arrhythmia   runs, bigeminy, pauses, episodes
    hrv          heart rate variability, each index only at the length it needs
    holter       long recordings in constant memory
    integrity    exchanged cables and electrodes; derivable leads
    criteria     named rules with their sources: met, not met, not assessable

All take (leads, samples) in millivolts, NaN where nothing was recorded, and know nothing of files, codes or
diagnoses. What is named like its module is imported from it: ``from carna.ecg.delineate import delineate``.
What a module learned from stands in its ``_weights`` neighbour.
"""

from carna.ecg.beats import Beats, find_beats
from carna.ecg.kinds import Kinds, beat_kinds
from carna.ecg.median import Fiducials, MedianBeat, global_fiducials, median_beat
from carna.ecg.quality import Einthoven, LeadQuality, einthoven_residual, lead_quality
from carna.ecg.rhythm import Rhythm, between_gaps, rhythm
from carna.ecg.strips import Strip, read_strip

__all__ = [
    "Beats",
    "Einthoven",
    "Fiducials",
    "Kinds",
    "LeadQuality",
    "MedianBeat",
    "Rhythm",
    "Strip",
    "beat_kinds",
    "between_gaps",
    "einthoven_residual",
    "find_beats",
    "global_fiducials",
    "lead_quality",
    "median_beat",
    "read_strip",
    "rhythm",
]
