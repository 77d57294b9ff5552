"""Image engine: arrays of cardiac pictures in, arrays out; no DICOM, no codes."""

from carna.image.locate import HeartRegion, locate_heart

__all__ = ["HeartRegion", "locate_heart"]
