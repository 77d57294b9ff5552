"""A run of frames: which one shows most vessels, and how fast contrast ran down a vessel.

What darkens against the frames before contrast is contrast: the catheter and the bones are there from the
start. The key frame is the one with the most dark, thin structure, smoothed over three frames.

Frame count (Gibson et al. 1996, doi:10.1161/01.CIR.93.5.879): contrast reaches the inlet in one frame and a
distal landmark in another; the frames between them, at 30 a second, are the corrected count. Here darkness is
followed at 40 places along the vessel, and one front that runs down it at constant speed is fitted to all of
them at once. Velocity times area is flow, if both have a scale.

Known failures: injections that only just keep up with flow; a heart that moves by more than a vessel's width
beyond what is searched; on a projection the way is too short, so that speed and flow are lower bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.angiography.vessels import checked, find_vessels

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SIZE: Final = 160  # px; runs are compared at this size
LEAST_FRAMES: Final = 4
GAIN: Final = 0.01  # share of the picture that contrast must fill
DARKER: Final = 0.03  # of the grey value, than around
FRONT_S: Final = 0.15  # over which a front rises
LEAST_EXPLAINED: Final = 0.9
MOST_CV: Final = 0.15  # of the transit time, by bootstrap over places
DRAWS: Final = 200
PLACES: Final = 40
SEARCH: Final = 0.02  # of the picture's longer side, on either side of the course


@final
@dataclass(frozen=True, slots=True, eq=False)
class KeyFrame:
    """The frame to measure in.

    Attributes
    ----------
    index : int
    filled : (t,) float
        Share of the picture that contrast fills in each frame.
    """

    index: int
    filled: Floats


@final
@dataclass(frozen=True, slots=True, eq=False)
class Transit:
    """How contrast ran down a vessel.

    Attributes
    ----------
    frames : float
        From the inlet to the end of the course, at the run's own rate.
    count_30 : float
        The same at 30 frames a second: the corrected frame count.
    seconds : float
    velocity_mm_s : float or None
    velocity_sd_mm_s : float or None
        From the scatter of the times about their line.
    flow_ml_s : float or None
    why : str
        Why velocity or flow is missing; empty if neither is.
    explained : float
        Share of the change over time that one front explains, 0 to 1.
    """

    frames: float
    count_30: float
    seconds: float
    velocity_mm_s: float | None
    velocity_sd_mm_s: float | None
    flow_ml_s: float | None
    why: str
    explained: float


def key_frame(frames: npt.NDArray[Any]) -> KeyFrame:
    """Return the frame in which contrast fills most vessels.

    Parameters
    ----------
    frames : (t, rows, columns)
        At least four; contrast comes after the first.

    Raises
    ------
    InputError
        If there are too few frames, or nothing fills: no contrast, or only the catheter.
    """
    from scipy.ndimage import maximum_filter

    small = _small(frames)
    dark = np.array([_dark(frame, 1.0) for frame in small])
    first = max(1, min(4, len(small) // 6))
    # What was dark within a few pixels before contrast is no contrast: the catheter moves, and bones.
    before = maximum_filter(dark[:first].max(axis=0), 5)
    filled = np.array([np.mean(frame > before + DARKER) for frame in dark])
    filled = np.maximum(filled - filled[: max(1, len(filled) // 8)].mean(), 0)
    even = np.convolve(np.pad(filled, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    best = int(np.argmax(even))
    if even[best] < GAIN:
        raise InputError(
            f"a run in which contrast fills {even[best]:.1%} of the picture at most",
            needed=f"{GAIN:.0%}",
            fix="give a run that begins before contrast, in which more than the catheter fills",
        )
    if not find_vessels(np.asarray(frames[best])).mask.any():
        raise InputError("a run whose fullest frame shows no vessel", needed="vessels filled with contrast")
    return KeyFrame(best, filled)


def transit(
    frames: npt.NDArray[Any],
    course: npt.ArrayLike,
    *,
    fps: float,
    length_mm: float | None = None,
    radius_mm: npt.ArrayLike | None = None,
) -> Transit:
    """Return how contrast ran along a course.

    Parameters
    ----------
    frames : (t, rows, columns)
        From before contrast until the course is full.
    course : (n, 2) float
        Row and column from the inlet to the distal landmark, in any one frame.
    fps : float, 5 to 120
        Frames a second.
    length_mm : float, optional
        Of the course; in space if there are two views, else projected. Without it there is no velocity.
    radius_mm : (k,) float, optional
        Along the course. Without it there is no flow.

    Raises
    ------
    InputError
        If there are too few frames, the rate is none, the course leaves the picture, or no front runs
        down it.
    """
    if not 5 <= fps <= 120:
        raise InputError(f"{fps:g} frames a second", needed="5 to 120", fix="give the cine rate")
    line = np.asarray(course, float)
    if line.ndim != 2 or line.shape[1:] != (2,) or len(line) < 4:
        raise InputError(f"a course of shape {line.shape}", needed="(n, 2), n at least 4")
    _count(frames)
    if (line < 0).any() or (line > np.array(frames.shape[1:]) - 1).any():
        raise InputError("a course that leaves the picture", fix="row comes first, then column")
    steps = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))))
    along = np.linspace(0.03, 0.97, PLACES) * steps[-1]
    places = np.stack([np.interp(along, steps, column) for column in line.T], axis=1)
    _, seconds, deviation_s, explained = _front(_darkness(frames, places), along / steps[-1], fps)
    if explained < LEAST_EXPLAINED or deviation_s > MOST_CV * seconds:
        raise InputError(
            f"darkness along the course of which one front explains {explained:.0%}, "
            f"in {seconds:.2f} s with an SD of {deviation_s:.2f}",
            needed=f"{LEAST_EXPLAINED:.0%}, and an SD below {MOST_CV:.0%}",
            fix="give a run from before contrast until the vessel is full, and the course from its inlet",
        )
    velocity = deviation = flow = None
    why = "no length of the course in mm: neither velocity nor flow"
    if length_mm is not None:
        velocity = length_mm / seconds
        deviation = velocity * deviation_s / seconds
        why = "no radius along the course: no flow"
        if radius_mm is not None:
            why = ""
            flow = float(velocity * np.pi * np.mean(np.asarray(radius_mm, float) ** 2) / 1000)
    return Transit(seconds * fps, seconds * 30, seconds, velocity, deviation, flow, why, explained)


def _count(frames: npt.NDArray[Any]) -> None:
    if frames.ndim != 3:
        raise InputError(f"frames of shape {frames.shape}", needed="(frames, rows, columns)")
    if len(frames) < LEAST_FRAMES:
        raise InputError(f"{len(frames)} frames", needed=f"{LEAST_FRAMES} at least", fix="give the whole run")


def _small(frames: npt.NDArray[Any]) -> Floats:
    """Return the run at a fraction of its size, grey values above 0."""
    _count(frames)
    checked(frames[0])
    step = max(1, round(max(frames.shape[1:]) / SIZE))
    rows, columns = (n // step for n in frames.shape[1:])
    cut = np.asarray(frames)[:, : rows * step, : columns * step]
    return np.asarray(cut.reshape(len(frames), rows, step, columns, step).mean(axis=(2, 4)), float)


def _dark(picture: Floats, scale: float) -> Floats:
    """Return by what share each pixel is darker than its surroundings, where structures are thin."""
    from scipy.ndimage import gaussian_filter

    even = np.log(np.maximum(picture, 0) + 16)
    return np.asarray(gaussian_filter(even, 6 * scale) - gaussian_filter(even, scale))


def _darkness(frames: npt.NDArray[Any], places: Floats) -> Floats:
    """Return how dark it is at each place in each frame: (t, k)."""
    small = _small(frames)
    step = max(1, round(max(frames.shape[1:]) / SIZE))
    reach = max(2, round(SEARCH * max(small.shape[1:])))
    found = np.empty((len(frames), len(places)))
    middle = np.round((places + 0.5) / step - 0.5).astype(int)
    low, high = np.clip(middle - reach, 0, None), middle + reach + 1
    for n, frame in enumerate(small):
        dark = _dark(frame, 1.0)
        for k, (a, b) in enumerate(zip(low, high, strict=True)):
            # The vessel may move within the patch.
            found[n, k] = np.sort(dark[a[0] : b[0], a[1] : b[1]].ravel())[-4:].mean()
    return found


def _front(dark: Floats, share: Floats, fps: float) -> tuple[float, float, float, float]:
    """Return when a front starts, how long it takes, the SD of that, and what it explains.

    Each place's curve is regressed on a step at the front's time; candidates are all starts in half frames
    and transits from two frames to the whole run. Places are drawn again for the SD.
    """
    times = np.arange(len(dark)) / fps
    # Contrast that leaves again is another story.
    even = np.convolve(dark.mean(axis=1), np.full(3, 1 / 3), mode="same")
    last = min(len(dark), int(np.argmax(even[:-1])) + 3)
    dark, times = dark[:last], times[:last]
    off = dark - dark.mean(axis=0)
    noise = np.median(np.abs(np.diff(dark, axis=0)), axis=0) + 1e-9
    off = off / (noise + np.median(noise))
    takes = np.geomspace(2 / fps, max(times[-1], 4 / fps), 80)
    starts = np.arange(0, times[-1], 0.5 / fps)
    gained = np.empty((len(takes), len(starts), len(share)))
    for n, take in enumerate(takes):
        step = times[:, None, None] - starts[:, None] - take * share
        step = np.clip(step / FRONT_S + 0.5, 0, 1)
        step = step - step.mean(axis=0)
        both = (step * off[:, None]).sum(axis=0)
        gained[n] = np.maximum(both, 0) ** 2 / ((step**2).sum(axis=0) + 1e-3)
    total = (off**2).sum(axis=0)
    flat = gained.reshape(-1, len(share))
    best = int(np.argmax(flat.sum(axis=1)))
    draws = np.random.default_rng(0).integers(0, len(share), (DRAWS, len(share)))
    counts = np.stack([np.bincount(d, minlength=len(share)) for d in draws]).astype(float)
    again = takes[np.argmax(counts @ flat.T, axis=1) // len(starts)]
    take, start = takes[best // len(starts)], starts[best % len(starts)]
    return float(start), float(take), float(again.std()), float(flat[best].sum() / total.sum())
