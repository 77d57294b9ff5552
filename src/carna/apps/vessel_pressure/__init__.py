"""What a narrowing costs in pressure, computed from the shape of the vessels: coronary and renal arteries."""

from carna.apps.vessel_pressure.coronary import coronary_ffr
from carna.apps.vessel_pressure.renal import renal_ffr

__all__ = ["coronary_ffr", "renal_ffr"]
