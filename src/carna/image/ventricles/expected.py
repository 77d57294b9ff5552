"""What error of a volume and of an ejection fraction goes with a predicted Dice.

Straight lines fitted on virtual patients with and without faults (`carna.learn.cmr_trust`), level below the
Dice at which outlines are flagged: there they are not to be trusted, however wrong they are. How often the
intervals hold the truth on real patients stands in the docs.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from carna.image.ventricles.trust import POOR

__all__ = ["ef_sd", "volume_sd"]


def volume_sd(dice: float) -> float:
    """Return the standard deviation of a volume's error, as a share of the volume."""
    least, more = _lines()["volume"]
    return least + more * (1.0 - max(dice, POOR))


def ef_sd(side: str, dice: float) -> float:
    """Return the standard deviation of the error of an ejection fraction, in percentage points.

    Parameters
    ----------
    side : "lv" or "rv"
    dice : float
        Predicted, 0 to 1.
    """
    least, more = _lines()[f"{side}ef"]
    return least + more * (1.0 - max(dice, POOR))


@cache
def _lines() -> dict[str, list[float]]:
    text = (files("carna") / "models" / "cmr_trust.json").read_text(encoding="utf-8")
    found: dict[str, list[float]] = json.loads(text)["errors"]
    return found
