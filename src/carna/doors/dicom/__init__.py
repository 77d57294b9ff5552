"""DICOM: images, waveforms, segmentations and reports out of files of any syntax and in any state.

The door itself is light: pydicom is imported when the first DICOM file is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from carna.doors.arrive import Delivery, Door
from carna.doors.files import Blob
from carna.progress import Progress

__all__ = ["DOOR", "claims", "read"]


def claims(blob: Blob) -> bool:
    """Whether the file looks like DICOM."""
    from carna.doors.dicom.sniff import looks_like_dicom

    return looks_like_dicom(blob.head)


def read(blobs: Sequence[Blob], progress: Progress) -> Delivery:
    """Return all that is readable as parts and findings, and a problem for each other file."""
    from carna.doors.dicom.dispatch import deliver

    return deliver(blobs, progress)


DOOR = Door("dicom", claims, read)
