"""How far to trust the outlines of a cine: asked of the network itself, turned and mirrored, of a second
network, of the anatomy and of the picture.

A network that sees a heart sees the same heart in a turned picture. How much its readings of one picture in
four forms agree, the Dice that their mean belief expects, how far an estimate without outlines
(`carna.image.ventricles.direct`) differs, how evenly areas run from base to apex, how large the chamber is,
and whether what is called wall is dark predict the Dice that a reader would find. The prediction is a linear
one of its logit; the coefficients were fitted on virtual patients of many looks (`carna.phantom.looks`) with
faults put in (`carna.phantom.faults`), never on real ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from carna.image.network import Network, turned
from carna.image.ventricles.direct import DIRECT, estimate
from carna.image.ventricles.segment import LV, MYOCARDIUM, RV, Ventricles
from carna.image.ventricles.volumes import volumes

__all__ = ["FEATURES", "POOR", "Reading", "Trust", "predicted", "read", "trust"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

POOR = 0.75  # Dice of the left cavity below which outlines are not to be trusted
FEATURES = (
    "agreement",
    "expected",
    "spread",
    "size",
    "uneven",
    "bright wall",
    "second opinion",
)
_LABELS = (RV, MYOCARDIUM, LV)
_AREA_OF = {LV: 0, MYOCARDIUM: 1, RV: 2}  # order of `carna.image.ventricles.direct.Direct.areas`
_FORMS = ((1, False), (2, True), (0, True))  # quarter turns, mirrored
_FARTHEST = 3.0  # standard deviations: a feature beyond what was taught counts as that


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One frame, asked again.

    Parameters
    ----------
    features : dict
        Label to the features ``(len(FEATURES),)``.
    agreed : (k,) float64
        Agreement of the four readings in each slice, 0 to 1; NaN where no heart is seen.
    outlined, direct : (k,) float64
        Area of the left cavity in pixels of the frames, by the outlines and without them.
    """

    features: dict[int, Floats]
    agreed: Floats
    outlined: Floats
    direct: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """What to expect of outlines.

    Parameters
    ----------
    dice : dict
        Label to predicted Dice of one volume (the worse of end-diastole and end-systole), 0 to 1.
    slices : (k,) float64
        Agreement of the four readings in each slice, 0 to 1; NaN where no heart is seen.
    apart : (k,) float64
        How far the left cavity's area without outlines lies from the outlined one at end-diastole and
        end-systole, as a share of the largest slice's; positive where it is larger.
    lvef : float
        Left ejection fraction by areas without outlines, slices alike, a share; NaN without a left ventricle.
    """

    dice: dict[int, float]
    slices: Floats
    apart: Floats
    lvef: float

    @property
    def poor(self) -> bool:
        """Whether the outlines are flagged: the left cavity's predicted Dice is below `POOR`."""
        return self.dice[LV] < POOR


def trust(
    frames: npt.NDArray[np.floating | np.integer],
    seen: Ventricles,
    network: Network,
    second: Network | None = None,
) -> Trust:
    """Return what to expect of the outlines of a cine.

    Parameters
    ----------
    frames : (t, k, r, c) real
    seen : Ventricles
        As `segment` found them in the frames.
    network : Network
        The one that read them.
    second : Network, optional
        The one that measures without outlines; `carna.image.ventricles.direct.DIRECT` if absent.
    """
    if not (seen.labels == LV).any():
        nothing = np.full(seen.labels.shape[1], np.nan)
        return Trust(dict.fromkeys(_LABELS, 0.0), nothing, nothing, float("nan"))
    second = second or Network(DIRECT)
    beat = volumes(seen.labels, None)
    full, left = (read(frames, seen, network, second, f) for f in (beat.ed, beat.es))
    dice = {
        label: min(predicted(label, found.features[label]) for found in (full, left)) for label in _LABELS
    }
    apart = (full.direct - full.outlined + left.direct - left.outlined) / 2.0
    largest = max(float(full.outlined.max()), 1.0)
    whole = float(full.direct.sum())
    return Trust(
        dice,
        np.mean([full.agreed, left.agreed], axis=0),
        apart / largest,
        1.0 - float(left.direct.sum()) / whole if whole > 0 else float("nan"),
    )


def read(
    frames: npt.NDArray[np.floating | np.integer],
    seen: Ventricles,
    network: Network,
    second: Network,
    frame: int,
) -> Reading:
    """Return what one frame says when it is asked again; the parameters are those of `trust`."""
    picture = np.asarray(frames[frame], np.float32)
    cut = seen.window.cut(picture)
    labels = np.stack([seen.window.cut((seen.labels[frame] == c).astype(np.float32)) > 0.5 for c in _LABELS])
    beliefs = np.stack([network.shares(cut), *(turned(network, cut, *form) for form in _FORMS)])
    readings = beliefs.argmax(2)
    mean = beliefs.mean(0)
    other = estimate(picture[None], seen.window, pixel_mm=None, network=second).areas[0]
    pixel = seen.window.step**2
    own = labels.sum((2, 3)) * pixel  # (3, k), in pixels of the frames
    agreed = np.array([_agreement([r[k] > 0 for r in readings], float("nan")) for k in range(len(cut))])
    common = [
        _unevenness(labels[2].sum((1, 2)).astype(float)),
        _bright(cut, labels[2], labels[1]),
        _apart(own[2], other[:, _AREA_OF[LV]], pixel),
    ]
    found = {}
    for n, c in enumerate(_LABELS):
        masks = [r == c for r in readings]
        sizes = np.log([m.sum() + 20.0 for m in masks])
        expected = 2 * mean[:, c][labels[n]].sum() / (labels[n].sum() + mean[:, c].sum() + 1e-6)
        slices = max(int(labels[n].any((1, 2)).sum()), 1)
        found[c] = np.array(
            [
                _logit(_agreement(masks, 0.0)),
                _logit(float(expected)),
                float(np.log(sizes.std() + 0.01)),
                float(np.log(labels[n].sum() / slices + 10.0)),
                *common,
            ]
        )
    return Reading(found, agreed, own[2], other[:, _AREA_OF[LV]])


def _agreement(masks: list[Flags], empty: float) -> float:
    """Return the mean Dice of the first mask with each other; ``empty`` where none holds anything."""
    if not any(m.any() for m in masks):
        return empty
    first, *others = masks
    return float(np.mean([2 * (first & o).sum() / max(int(first.sum() + o.sum()), 1) for o in others]))


def _logit(share: float) -> float:
    share = min(max(share, 0.005), 0.995)
    return float(np.log(share / (1.0 - share)))


def _unevenness(area: Floats) -> float:
    """Return the logarithm of how much the cavity's radius bends from slice to slice, by its largest."""
    radius = np.sqrt(area[area > 0])
    bend = float(np.abs(np.diff(radius, 2)).mean() / radius.max()) if len(radius) > 2 else 0.3
    return float(np.log(bend + 0.02))


def _bright(cut: npt.NDArray[np.float32], cavity: Flags, wall: Flags) -> float:
    """Return the logarithm of how much of the wall is as bright as blood, slice by slice, by the cavity."""
    bright = 0
    for picture, blood, muscle in zip(cut, cavity, wall, strict=True):
        if blood.sum() > 20 and muscle.sum() > 20:
            middle = (np.median(picture[blood]) + np.median(picture[muscle])) / 2.0
            bright += int((picture[muscle] > middle).sum())
    return float(np.log(bright / max(int(cavity.sum()), 1) + 0.02))


def _apart(own: Floats, other: Floats, pixel: float) -> float:
    """Return the logarithm of how far two estimates of areas are apart, slice by slice."""
    return float(np.log(np.abs(own - other).sum() / (own.sum() + other.sum() + 50.0 * pixel) + 0.01))


def predicted(label: int, found: Floats) -> float:
    """Return the Dice predicted from the features of a label in one frame, 0 to 1."""
    model = _card()["model"]
    weights, mean, scale = (np.array(model[f"{name}_{label}"]) for name in ("weights", "mean", "scale"))
    score = float(weights[0] + weights[1:] @ np.clip((found - mean) / scale, -_FARTHEST, _FARTHEST))
    return 1.0 / (1.0 + float(np.exp(-np.clip(score, -20, 20))))


@cache
def _card() -> dict[str, Any]:
    text = (files("carna") / "models" / "cmr_trust.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
