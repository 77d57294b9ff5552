"""Apical clips read: every frame outlined, beats, volumes and ejection fraction, and when not to say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.image.echo.beats import Beat, beats, smoothed
from carna.image.echo.discs import Outline, biplane, outline, single_plane
from carna.image.echo.sector import Sector, find_sector
from carna.image.network import Network
from carna.progress import SILENT, Progress

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

NETWORK = "echo_apical"
BACKGROUND, CAVITY, MUSCLE, ATRIUM = 0, 1, 2, 3

# Below these a clip is not measured; found on virtual clips, untried on patients.
LEAST_BELIEF = 0.80
LEAST_SWING = 0.06
LEAST_SOLID = 0.88
MOST_JITTER = 0.35
LEAST_OUTLINED = 0.85
RAGGED = 0.05  # a frame so much less solid than the clip's median is bridged


@dataclass(frozen=True, slots=True)
class Quality:
    """What tells a poor reading, without truth.

    Parameters
    ----------
    belief : float
        Mean share of belief of the network within the cavity it outlines, 0 to 1.
    swing : float
        (largest - smallest area) / largest, smoothed.
    jitter : float
        Standard deviation of the area about its smoothed curve over the swing.
    solid : float
        Area of the cavity over that of its convex hull, median over the frames.
    cut : float
        Share of the cavity's rim that lies on the rim of the sector, median.
    outlined : float
        Share of the frames with a cavity that is not ragged.
    """

    belief: float
    swing: float
    jitter: float
    solid: float
    cut: float
    outlined: float

    @property
    def why_not(self) -> str:
        """Why nothing is measured, "" if it is."""
        reasons = (
            (
                self.outlined < LEAST_OUTLINED,
                f"a left ventricle is outlined in {100 * self.outlined:.0f} % of the frames",
            ),
            (self.belief < LEAST_BELIEF, f"the outlines are believed by {self.belief:.2f} only"),
            (self.swing < LEAST_SWING, f"the cavity's area changes by {100 * self.swing:.0f} % only"),
            (self.jitter > MOST_JITTER, "the cavity's area jumps from frame to frame"),
            (self.solid < LEAST_SOLID, "what is outlined has not the form of a ventricle"),
            (self.cut > 0.25, f"{100 * self.cut:.0f} % of the cavity's rim lie on the rim of the sector"),
        )
        return "; ".join(text for bad, text in reasons if bad)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One clip read.

    Parameters
    ----------
    sector : Sector
    labels : (t, r, c) uint8
        In the pixels of the clip: 0 anything else, 1 cavity, 2 muscle, 3 left atrium.
    area : (t,) float
        Of the cavity, in square units of the spacing (pixels where none was given).
    outlines : tuple of Outline or None
        One a frame; None where there is no cavity or a ragged one: numbers bridge it.
    beats : tuple of Beat
    quality : Quality
    """

    sector: Sector
    labels: Labels
    area: Array
    outlines: tuple[Outline | None, ...]
    beats: tuple[Beat, ...]
    quality: Quality

    @property
    def volumes(self) -> Array:
        """Single-plane volume of every frame (t,), cube of the spacing's unit; gaps are bridged."""
        return _bridged(np.array([np.nan if o is None else single_plane(o) for o in self.outlines]))


def read(
    frames: npt.NDArray[np.generic],
    *,
    network: Network,
    times_ms: Array,
    spacing: tuple[float, float] | None = None,
    progress: Progress = SILENT,
) -> Reading:
    """Read an apical clip.

    Parameters
    ----------
    frames : (t, r, c) or (t, r, c, 3)
        Grey or colour, 0 to 255; apex on top, the left ventricle on the right of a four-chamber view.
    network : Network
        `NETWORK`.
    times_ms : (t,) float
        Growing.
    spacing : 2 floats, optional
        Distance of rows and of columns.
    progress : Progress

    Raises
    ------
    InputError
        No sector is found (`find_sector`).
    """
    aspect = 1.0 if spacing is None else spacing[0] / spacing[1]
    sector = find_sector(frames, aspect=aspect)
    shares = _shares(sector.squares(network.side), network, progress.part(0.0, 0.7))
    step = float(np.median(np.diff(times_ms))) or 1.0
    shares = _steadied(shares, step)
    labels = np.zeros((len(frames), *sector.mask.shape), np.uint8)
    belief = np.zeros(len(frames))
    for t, share in enumerate(shares):
        labels[t], belief[t] = _labelled(sector.placed(share), sector)
        progress(0.7 + 0.25 * (t + 1) / len(shares), "outlines")
    solid = np.array([_solid(frame == CAVITY) for frame in labels])
    # A ragged frame among smooth ones is a slip of the network: its neighbours stand for it.
    smooth = solid >= np.median(solid) - RAGGED
    outlines = tuple(
        outline(frame == CAVITY, frame == ATRIUM, spacing or (1.0, aspect)) if even else None
        for frame, even in zip(labels, smooth, strict=True)
    )
    area = _bridged(np.array([np.nan if o is None else o.area for o in outlines]))
    here = np.array([o is not None for o in outlines])
    found = beats(area, times_ms) if here.any() else ()
    quality = _quality(labels[here], sector, area, belief[here], solid[here], times_ms, float(here.mean()))
    return Reading(sector, labels, area, outlines, found, quality)


def _bridged(values: Array) -> Array:
    """Return values (t,) with what is missing between its neighbours; 0 where all is missing."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return np.zeros(len(values))
    return np.interp(np.arange(len(values)), known, values[known])


def ejection_fraction(volumes: Array, found: tuple[Beat, ...]) -> float:
    """Return the mean over the beats of 1 - ESV / EDV, 0 to 1."""
    return float(np.mean([1.0 - volumes[b.es] / volumes[b.ed] for b in found]))


def biplane_volumes(four: Reading, two: Reading) -> tuple[float, float]:
    """Return end-diastolic and end-systolic volume of two views, means over the beats each has.

    Both readings must share the unit of their spacing; pixels of two clips have none in common.

    Raises
    ------
    InputError
        A view without a beat.
    """
    if not (four.beats and two.beats):
        raise InputError("a view without a whole beat", needed="a beat in both")
    at = []
    for pick in ("ed", "es"):
        both = [[_nearest(one, getattr(b, pick)) for b in one.beats] for one in (four, two)]
        at.append(float(np.mean([biplane(a, b) for a in both[0] for b in both[1]])))
    return at[0], at[1]


def _nearest(one: Reading, frame: int) -> Outline:
    """Return the outline of a frame, or of the nearest frame that has one; a clip with beats has some."""
    seen = {n: o for n, o in enumerate(one.outlines) if o is not None}
    return seen[min(seen, key=lambda n: abs(n - frame))]


def _shares(squares: npt.NDArray[np.float32], network: Network, progress: Progress) -> Array:
    out = []
    for n in range(0, len(squares), 8):
        progress(n / len(squares), "reading frames")
        out.append(network.shares(squares[n : n + 8]))
    progress(1.0, "frames read")
    return np.concatenate(out)


def _steadied(shares: Array, step_ms: float) -> Array:
    """Smooth belief over neighbouring frames: speckle changes from frame to frame, walls do not."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(shares, min(20.0 / step_ms, 1.5), axis=0, mode="nearest"))


def _labelled(share: Array, sector: Sector) -> tuple[Labels, float]:
    """Return the labels of a frame, cavities in one piece each, and the belief in the ventricle's."""
    best = np.where(share.sum(axis=0) > 0.5, share.argmax(axis=0), 0).astype(np.uint8)
    best[~sector.mask] = 0
    labels = np.zeros(best.shape, np.uint8)
    for label in (MUSCLE, ATRIUM, CAVITY):
        # Muscle that drops out at the apex is in two pieces.
        labels[_pieces(best == label, 0.2 if label == MUSCLE else 1.0)] = label
    cavity = labels == CAVITY
    return labels, float(share[CAVITY][cavity].mean()) if cavity.any() else 0.0


def _pieces(mask: npt.NDArray[np.bool_], share: float) -> npt.NDArray[np.bool_]:
    """Return the pieces at least ``share`` of the largest; holes are filled where that is one piece."""
    import cv2
    from scipy.ndimage import binary_fill_holes

    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask
    size = stats[1:, cv2.CC_STAT_AREA]
    if share < 1.0:
        return np.isin(pieces, 1 + np.flatnonzero(size >= share * size.max()))
    return np.asarray(binary_fill_holes(pieces == 1 + int(size.argmax())))


def _solid(cavity: npt.NDArray[np.bool_]) -> float:
    """Return the area of a cavity over that of its convex hull, 0 without one."""
    import cv2

    if not cavity.any():
        return 0.0
    whole = np.zeros(cavity.shape, np.uint8)
    cv2.fillConvexPoly(whole, cv2.convexHull(np.argwhere(cavity)[:, ::-1].astype(np.int32)), 1)
    return float(cavity.sum() / max(int(whole.sum()), 1))


def _quality(
    labels: Labels,
    sector: Sector,
    area: Array,
    belief: Array,
    solid: Array,
    times_ms: Array,
    outlined: float,
) -> Quality:
    """Judge the frames (n, r, c) that have an outline; ``area`` and ``times_ms`` are of all."""
    import cv2

    if not len(labels):
        return Quality(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    curve = smoothed(area, times_ms)
    swing = float(curve.max() - curve.min())
    inner = cv2.erode(sector.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    cut = []
    for frame in labels:
        cavity = (frame == CAVITY).astype(np.uint8)
        rim = cavity - cv2.erode(cavity, np.ones((3, 3), np.uint8))
        cut.append(float((rim.astype(bool) & (inner == 0)).sum() / max(int(rim.sum()), 1)))
    return Quality(
        belief=float(belief.mean()),
        swing=swing / float(curve.max()),
        jitter=float(np.std(area - curve)) / max(swing, 1e-9),
        solid=float(np.median(solid)),
        cut=float(np.median(cut)),
        outlined=outlined,
    )
