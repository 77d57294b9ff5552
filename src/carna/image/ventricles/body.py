"""From pictures read one by one to one beating body: continuous in space, closed, periodic in time.

- Belief is smoothed a little over the closed beat (frames at 40 ms can't differ by much).
- The left heart, cavity and muscle together, is one body through all slices; what else was called so is not.
- A slice in which it was missed, between two in which it was seen, is drawn half-way between them.
- The right ventricle touches the left muscle.
- The cavity lies within muscle: a hole in the muscle is cavity, and a ring that is nearly closed is closed.
  (One that is mostly open stays so: there the plane cuts the outflow tract.)
- Belief in the cavity counts a little less than the rest: lessons with grey rims teach a line that is wider
  than experts draw it.
- The wall keeps its volume. As the base comes down on a resting apex, a slice below the base holds more
  muscle in systole than at end-diastole, never less; a cavity that leaves less, as in a strong heart that has
  squeezed its blood out of sight, gives back what is least believed and nearest its rim.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["one_body"]

Labels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_RV, _MUSCLE, _CAVITY = 1, 2, 3
_OPEN = 0.5  # share of the cavity's rim that may lack muscle
_SMALL = 12  # pixels of a window below which a body is a speck
_FEW_FRAMES = 20  # of a beat: below this neighbours differ, and smoothing would fill the empty ventricle
_GAP = 4  # slices: no longer a gap is bridged
_DOUBT = 0.75  # by which belief in the cavity is multiplied; chosen on ACDC and Sunnybrook
_BASE = 0.2  # share of the slices, from the base, that may lose muscle: atrium descends into them


def one_body(shares: Floats) -> tuple[Labels, Floats, Floats]:
    """Return labels (t, k, r, c), their certainty (t, k) and the share of pixels changed (t, k).

    Parameters
    ----------
    shares : (t, k, 4, r, c) float32
        Belief in background, right ventricle, muscle, left cavity; smoothed over time and doubted in the
        cavity in place.
    """
    if len(shares) >= _FEW_FRAMES:
        _periodic(shares)
    shares[:, :, _CAVITY] *= _DOUBT
    shares /= shares.sum(2, keepdims=True)
    raw = shares.argmax(2).astype(np.uint8)
    labels = np.stack([_joined(frame) for frame in raw])
    _keep_muscle(labels, shares[:, :, _CAVITY])
    heart = labels > 0
    seen = heart | (raw > 0)
    count = np.maximum(seen.sum((2, 3)), 1)
    changed = ((labels != raw) & seen).sum((2, 3)) / count
    return labels, _certainty(shares, labels), changed.astype(np.float32)


def _periodic(shares: Floats) -> None:
    """Smooth belief over the closed beat by (1, 2, 1) / 4."""
    first, last = shares[0].copy(), shares[-1].copy()
    before = last
    for t in range(len(shares)):
        here = shares[t].copy()
        after = shares[t + 1] if t + 1 < len(shares) else first
        shares[t] = 0.25 * before + 0.5 * here + 0.25 * after
        before = here


def _joined(raw: Labels) -> Labels:
    """Return one frame's labels (k, r, c) as one body."""
    left = _largest(raw >= _MUSCLE)
    out = np.where(left, raw, 0).astype(np.uint8)
    for picture in out:
        _close(picture)
    _bridge(out)
    left = _largest(out >= _MUSCLE)
    out[~left] = 0
    right = (raw == _RV) & ~left
    out[_touching(right, left)] = _RV
    return out


def _largest(flags: Flags) -> Flags:
    """Return the largest body (slices hang together where they overlap) and what lies on the same axis.

    A slice in which nothing was seen must not cut the heart in two: a body whose middle is no further from
    the largest one's than that is wide belongs to it.
    """
    names, sizes = _bodies(flags)
    if len(sizes) < 2:
        return flags
    from scipy.ndimage import center_of_mass

    middles = np.array(center_of_mass(flags, names, range(1, len(sizes) + 1)))[:, 1:]
    main = int(np.argmax(sizes))
    _, rows, columns = np.nonzero(names == main + 1)
    wide = np.hypot(rows - middles[main, 0], columns - middles[main, 1]).mean()
    away = np.hypot(*(middles - middles[main]).T)
    kept: Flags = np.concatenate([[False], (away <= wide) & (sizes >= _SMALL)])[names]
    return kept


def _touching(right: Flags, left: Flags) -> Flags:
    """Return the bodies of the right ventricle that touch the left heart somewhere, without specks."""
    from scipy.ndimage import binary_dilation

    names, sizes = _bodies(right)
    if not len(sizes):
        return right
    near = binary_dilation(left, np.ones((1, 3, 3), bool), iterations=2)
    touch = np.bincount(names[near & right], minlength=len(sizes) + 1)[1:] > 0
    big = sizes >= max(_SMALL, 0.1 * sizes.max())
    kept: Flags = np.concatenate([[False], touch & big])[names]
    return kept


def _bodies(flags: Flags) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    from scipy.ndimage import label

    across: Any = np.zeros((3, 3, 3), bool)
    across[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    across[[0, 2], 1, 1] = True
    names, count = label(flags, across)
    return names, np.bincount(names.ravel(), minlength=count + 1)[1:]


def _close(picture: Labels) -> None:
    """Make one slice's left heart a cavity within muscle, in place."""
    from scipy.ndimage import binary_dilation, binary_fill_holes

    cavity = picture == _CAVITY
    if not cavity.any():
        return
    names, sizes = _bodies(cavity[None])
    if len(sizes) > 1:
        # A second cavity is muscle that looked bright.
        picture[(names[0] > 0) & (names[0] != 1 + int(np.argmax(sizes)))] = _MUSCLE
        cavity = picture == _CAVITY
    rim = binary_dilation(cavity, np.ones((3, 3), bool)) & ~cavity
    bare = rim & (picture != _MUSCLE)
    if bare.sum() < _OPEN * rim.sum():
        picture[bare & (picture == 0)] = _MUSCLE
    picture[binary_fill_holes(picture == _MUSCLE) & (picture != _MUSCLE)] = _CAVITY


def _bridge(labels: Labels) -> None:
    """Fill slices in which the left heart was missed, between two in which it was seen, in place.

    A heart does not end and begin again: where a slice holds less than half of what both sides hold, cavity
    and wall are drawn half-way between theirs (by their signed distances).
    """
    from scipy.ndimage import distance_transform_edt

    def depth(flags: Flags) -> Any:
        return distance_transform_edt(flags) - distance_transform_edt(~flags)

    heart = labels >= _MUSCLE
    area = heart.sum((1, 2))
    seen = np.flatnonzero(area)
    for k in range(seen[0] + 1, seen[-1]) if len(seen) else ():
        above = next((j for j in range(k - 1, -1, -1) if area[j] > 2 * area[k]), None)
        below = next((j for j in range(k + 1, min(k + _GAP, len(area))) if area[j] > 2 * area[k]), None)
        if above is None or below is None or k - above > 1:
            continue
        share = (k - above) / (below - above)
        here = np.zeros_like(labels[k])
        for label, inside in ((_MUSCLE, heart), (_CAVITY, labels == _CAVITY)):
            if inside[above].any() and inside[below].any():
                here[(1 - share) * depth(inside[above]) + share * depth(inside[below]) > 0] = label
        labels[k][heart[k] | (here > 0)] = here[heart[k] | (here > 0)]
        heart[k], area[k] = here >= _MUSCLE, int((here >= _MUSCLE).sum())


def _keep_muscle(labels: Labels, belief: Floats) -> None:
    """Give cavity back to the wall in slices that hold less muscle than at end-diastole, in place.

    Parameters
    ----------
    labels : (t, k, r, c) uint8
    belief : (t, k, r, c) float32
        In the cavity.
    """
    import cv2

    cavity = labels == _CAVITY
    full = int(cavity.sum((1, 2, 3)).argmax())
    muscle = (labels == _MUSCLE).sum((2, 3))
    for k in _below_the_base(labels[full]):
        for t in range(len(labels)):
            lack = int(muscle[full, k]) - int(muscle[t, k])
            here = cavity[t, k]
            if t == full or lack <= 0 or not here.any():
                continue
            deep = cv2.distanceTransform(here.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            order = belief[t, k] + deep / deep.max()
            least = np.sort(order[here])[min(lack, int(here.sum()) - 1)]
            labels[t, k][here & (order < least)] = _MUSCLE


def _below_the_base(labels: Labels) -> npt.NDArray[np.int64]:
    """Return the slices of the left heart (k, r, c) but those next to the base: the end with more cavity."""
    held = np.flatnonzero((labels >= _MUSCLE).any((1, 2)))
    if len(held) < 3:
        return held[:0]
    half = len(held) // 2
    area = (labels == _CAVITY).sum((1, 2))[held]
    down = np.arange(len(held)) / (len(held) - 1)
    if area[:half].sum() < area[-half:].sum():
        down = 1.0 - down
    return np.asarray(held[down >= _BASE])


def _certainty(shares: Floats, labels: Labels) -> Floats:
    """Return the mean belief in the labels over the heart and two pixels around it."""
    from scipy.ndimage import binary_dilation

    out = np.full(labels.shape[:2], np.nan, np.float32)
    for t, k in np.argwhere((labels > 0).any((2, 3))):
        near = binary_dilation(labels[t, k] > 0, np.ones((3, 3), bool), iterations=2)
        belief = np.take_along_axis(shares[t, k], labels[t, k][None].astype(np.int64), 0)[0]
        out[t, k] = belief[near].mean()
    return out
