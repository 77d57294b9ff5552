"""What makes a real cine hard though nothing went wrong: looks, put over the phantom's clean pictures.

`carna.phantom.faults` spoil a picture; a look is how hearts and scanners differ. Muscle nearly as bright as
blood, trabeculae that fill much of a small cavity, bands across the right ventricle, blood that lost its
brightness, coarse pixels, a heart of another form, a stack that begins below the valves or ends above the
apex. A reader draws the same outlines.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from carna.phantom.labels import EPICARDIAL_FAT, LV, LV_CAVITY, MYOCARDIUM, PAPILLARY, RV, RV_WALL

__all__ = ["in_disguise"]

Frames = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


def in_disguise(
    frames: Frames, labels: Labels, strength: float, random: np.random.Generator
) -> tuple[Frames, Labels]:
    """Return frames and labels with another look.

    Parameters
    ----------
    frames : (t, k, r, c) float32
    labels : (t, k, r, c) uint8
        The phantom's own (`carna.phantom.labels`).
    strength : float
        0 (none) to 1 (as hard as any that is read).
    random : numpy.random.Generator

    Returns
    -------
    frames, labels
        Fewer slices where the stack is cut short.
    """
    from scipy.ndimage import gaussian_filter

    cavity = np.isin(labels, LV_CAVITY)
    if not cavity.any() or not (labels == MYOCARDIUM).any():
        return frames, labels
    blood, muscle = (float(np.median(frames[labels == c])) for c in (LV, MYOCARDIUM))
    out = gaussian_filter(_tissues(labels, strength, random), (0, 0, 0.7, 0.7)) * frames
    lift = strength * random.uniform(0.0, 0.75) * np.isin(labels, (MYOCARDIUM, PAPILLARY, RV_WALL))
    out += gaussian_filter(lift.astype(np.float32), (0, 0, 0.7, 0.7)) * (blood - muscle)
    muscle += float(lift.max()) * (blood - muscle)
    for t, k in np.argwhere(cavity.any((2, 3))):
        out[t, k] = _filled(out[t, k], cavity[t, k], muscle, strength, random)
    right = labels == RV
    bands = _smooth(random, frames.shape[1:], float(random.uniform(1.5, 3.5)))
    share = strength * random.uniform() * np.clip(4.0 * (bands - random.uniform(0.5, 1.6)), 0.0, 1.0)
    out = np.where(right, (1.0 - share) * out + share * muscle, out)
    out = gaussian_filter(out, (0, 0, *(strength * random.uniform(0.0, 1.6, 2))))
    out, labels = _deformed(out.astype(np.float32), labels, strength, random)
    first = int(random.integers(0, 3)) if random.random() < 0.5 * strength else 0
    last = int(random.integers(0, 3)) if random.random() < 0.5 * strength else 0
    kept = slice(first, max(out.shape[1] - last, first + 3))
    return out[:, kept], labels[:, kept]


def _tissues(labels: Labels, strength: float, random: np.random.Generator) -> Frames:
    """How much brighter each pixel's tissue is than the phantom's."""
    gain = np.ones(256, np.float32)
    for label, sd in ((RV, 0.3), (EPICARDIAL_FAT, 0.7), (RV_WALL, 0.4), (MYOCARDIUM, 0.2), (PAPILLARY, 0.3)):
        gain[label] = np.exp(random.normal(0.0, sd * strength))
    swirl = _smooth(random, labels.shape[1:], 4.0)
    dark = 1.0 - strength * random.uniform(0.0, 0.6) * np.clip(swirl - 0.3, 0.0, 1.5) / 1.5
    blood = np.isin(labels, (LV, RV))
    return np.where(blood, gain[labels] * dark, gain[labels]).astype(np.float32)


def _filled(
    picture: npt.NDArray[np.float32],
    cavity: npt.NDArray[np.bool_],
    muscle: float,
    strength: float,
    random: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Line one cavity with trabeculae: loose where it is wide, pressed together where it is narrow."""
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(cavity)
    uneven = np.clip(1.0 + 0.6 * _smooth(random, picture.shape, float(random.uniform(2.0, 6.0))), 0.0, 2.0)
    narrow = 6.0 / (6.0 + away.max())
    reach = strength * random.uniform(0.0, 2.5) * narrow * away.max() * uneven
    share = random.uniform(0.4, 1.0) * np.clip(reach - away + 0.5, 0.0, 1.0)
    return np.where(cavity, (1.0 - share) * picture + share * muscle, picture).astype(np.float32)


def _deformed(
    frames: Frames, labels: Labels, strength: float, random: np.random.Generator
) -> tuple[Frames, Labels]:
    """Stretch and bend all pictures and labels alike."""
    import cv2

    shape = frames.shape[2:]
    stretch = np.eye(2) + strength * random.normal(0.0, 0.08, (2, 2))
    middle = (np.array(shape) - 1.0)[:, None, None] / 2.0
    at = np.einsum("ij,jrc->irc", stretch, np.indices(shape, float) - middle) + middle
    at += strength * random.uniform(0.0, 6.0) * np.stack([_smooth(random, shape, 14.0) for _ in range(2)])
    rows, columns = at.astype(np.float32)
    moved, outlines = np.empty_like(frames), np.empty_like(labels)
    for n in np.ndindex(frames.shape[:2]):
        moved[n] = cv2.remap(frames[n], columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        outlines[n] = cv2.remap(labels[n], columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return moved, outlines


def _smooth(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> npt.NDArray[np.floating]:
    """A random field of standard deviation 1, smooth over ``sigma`` pixels of its last two axes."""
    from scipy.ndimage import gaussian_filter

    along = (0.6,) * (len(shape) - 2) + (sigma, sigma)
    field = gaussian_filter(random.standard_normal(shape, dtype=np.float32), along, mode="wrap")
    return np.asarray(field / max(float(field.std()), 1e-9))
