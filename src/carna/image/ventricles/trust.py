"""How far to trust the outlines of a cine: asked of the network itself, turned and mirrored, and of the
anatomy.

A network that sees a heart sees the same heart in a turned picture. How much its readings of one picture in
four forms agree, how sure it is, how much had to be mended, how the areas run from base to apex, and how
much brighter blood is than muscle predict the Dice that a reader would find. The prediction is a linear one
of its logit; the coefficients were fitted on virtual patients with faults put in (`carna.phantom.faults`),
never on real ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from carna.image.network import Network
from carna.image.ventricles.segment import LV, MYOCARDIUM, RV, Ventricles
from carna.image.ventricles.volumes import volumes

__all__ = ["FEATURES", "POOR", "Trust", "features", "predicted", "trust"]

Floats = npt.NDArray[np.float64]

POOR = 0.75  # predicted Dice of the left cavity below which the outlines are flagged
FEATURES = (
    "agreement",
    "worst agreement",
    "certainty",
    "worst certainty",
    "mended",
    "jump",
    "slices",
    "contrast",
    "closed",
)
_FORMS = ((1, False), (2, True), (0, True))  # quarter turns, mirrored


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """What to expect of outlines.

    Parameters
    ----------
    dice : dict
        Label to predicted Dice of one volume (the worse of end-diastole and end-systole), 0 to 1.
    slices : (k,) float64
        Agreement of the four readings in each slice, 0 to 1; NaN where no heart is seen.
    """

    dice: dict[int, float]
    slices: Floats

    @property
    def poor(self) -> bool:
        """Whether the outlines are flagged: the left cavity's predicted Dice is below `POOR`."""
        return self.dice[LV] < POOR


def trust(frames: npt.NDArray[np.floating | np.integer], seen: Ventricles, network: Network) -> Trust:
    """Return what to expect of the outlines of a cine.

    Parameters
    ----------
    frames : (t, k, r, c) real
    seen : Ventricles
        As `segment` found them in the frames.
    network : Network
        The one that read them.
    """
    beat = volumes(seen.labels, None) if (seen.labels == LV).any() else None
    if beat is None:
        nothing = np.full(seen.labels.shape[1], np.nan)
        return Trust(dict.fromkeys((RV, MYOCARDIUM, LV), 0.0), nothing)
    each = {f: features(frames, seen, network, f) for f in {beat.ed, beat.es}}
    dice = {
        label: min(predicted(label, found[label]) for found, _ in each.values())
        for label in (RV, MYOCARDIUM, LV)
    }
    return Trust(dice, np.mean([agreed for _, agreed in each.values()], axis=0))


def features(
    frames: npt.NDArray[np.floating | np.integer], seen: Ventricles, network: Network, frame: int
) -> tuple[dict[int, Floats], Floats]:
    """Return a frame's features by label, each ``(len(FEATURES),)``, and the agreement of each slice."""
    cut = seen.window.cut(np.asarray(frames[frame], np.float32))
    readings = [network.shares(cut).argmax(1)]
    for turns, mirrored in _FORMS:
        turned = np.rot90(cut, turns, (1, 2))
        turned = turned[:, :, ::-1] if mirrored else turned
        back = network.shares(np.ascontiguousarray(turned)).argmax(1)
        back = back[:, :, ::-1] if mirrored else back
        readings.append(np.rot90(back, -turns, (1, 2)))
    labels = seen.labels[frame]
    slices = np.array([_agreement([r[k] > 0 for r in readings]) for k in range(len(cut))])
    certainty, mended = seen.certainty[frame], seen.changed[frame]
    left = (labels == LV).sum((1, 2)).astype(float)
    whole = left[left > 0] if (left > 0).any() else np.zeros(1)
    blood, muscle = labels == LV, labels == MYOCARDIUM
    picture = np.asarray(frames[frame], float)
    contrast = (
        float(np.log((picture[blood].mean() + 1e-6) / (picture[muscle].mean() + 1e-6)))
        if blood.any() and muscle.any()
        else 0.0
    )
    common = [
        float(np.nanmin(slices)) if np.isfinite(slices).any() else 0.0,
        float(np.nanmean(certainty)) if np.isfinite(certainty).any() else 0.0,
        float(np.nanmin(certainty)) if np.isfinite(certainty).any() else 0.0,
        float(mended.mean()),
        float(np.abs(np.diff(whole)).max() / whole.max()) if len(whole) > 1 else 1.0,
        float(len(whole) / len(labels)),
        float(np.clip(contrast, -2.0, 3.0)),
        float((muscle.sum() + 1.0) / (blood.sum() + 1.0) > 0.4),
    ]
    found = {
        label: np.array([_agreement([r == label for r in readings], empty=0.0), *common])
        for label in (RV, MYOCARDIUM, LV)
    }
    return found, slices


def _agreement(masks: list[npt.NDArray[np.bool_]], empty: float = float("nan")) -> float:
    """Return the mean Dice of the first mask with each other; ``empty`` where none holds anything."""
    if not any(m.any() for m in masks):
        return empty
    first, *others = masks
    return float(np.mean([2 * (first & o).sum() / max(int(first.sum() + o.sum()), 1) for o in others]))


def predicted(label: int, found: Floats) -> float:
    """Return the Dice predicted from the features of a label in one frame, 0 to 1."""
    model = _model()
    weights, mean, scale = (np.array(model[name]) for name in (f"weights_{label}", "mean", "scale"))
    score = float(weights[0] + weights[1:] @ ((found - mean) / scale))
    return 1.0 / (1.0 + float(np.exp(-np.clip(score, -20, 20))))


@cache
def _model() -> dict[str, list[float]]:
    text = (files("carna") / "models" / "cmr_trust.json").read_text(encoding="utf-8")
    found: dict[str, list[float]] = json.loads(text)["model"]
    return found
