"""Scar in a late enhancement stack: thresholds inside a given wall, and what they depend on.

Scar is what is bright in the wall. How bright is a convention, and the two usual ones are here:

- **half maximum** (Amado 2004, doi:10.1016/j.jacc.2004.09.020): half-way from the mean of remote muscle to
  the scar's own maximum; grey zone from 35 % on (Roes 2009, doi:10.1161/CIRCIMAGING.108.826529);
- **deviations**: so many standard deviations above the mean of remote muscle.

Which number is right is not agreed on: total and core size by hand were met best by 30 and 45 % or by 3 and 6
deviations (Zhang 2016, doi:10.1002/jmri.25285), and 2 deviations give up to twice the mass of 6 (Flett 2010,
doi:10.1186/1532-429X-12-S1-O41). So the mass is also given as a function of the threshold.

Four rules clean what a threshold finds. A voxel at the edge of the wall, where blood or fat shines in, counts
only beside a deeper voxel that counts too, unless the wall is nowhere deeper there. Clusters below a volume
are noise. Grey zone counts where it is joined to a core. Dark islands that core shuts off from the muscle
outside it are microvascular obstruction and belong to the core.

Nothing is scar unless it comes near the brightness of blood in the cavity: what partial volume with blood
lends to muscle at base and apex does not.

Known failures: everything hangs on the wall that is given; a wall that holds blood makes scar, so blood along
its inner edge beside remote muscle is looked for (`Scar.edge_blood`). Dark-blood pictures have no such edge
and no such brightness; a scar much thinner than a voxel stays below it. The half maximum takes its peak from
the largest bright cluster, so a scar thinner than a voxel has a peak too low and a mass too high. The
standard deviation of nulled muscle in a magnitude picture is that of folded noise, and small: deviations then
include grey zone and partial volume. Diffuse fibrosis has no remote muscle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.progress import SILENT, Progress

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

NONE, GREY, CORE = range(3)
MUSCLE_G_PER_ML = 1.05
RAYS = 36
BLOODY = 0.25  # of `Scar.edge_blood`: from here on the wall that was given holds blood
_BRIGHT_SD, _PEAK_PERCENT = 5.0, 97.0  # of the cluster from which the maximum is taken, and of its voxels
_WINDOW_RAYS = 6  # 60 degrees of muscle are looked at for the remote
_DARKEST = 1.0 / 3.0  # share of all windows that is taken as remote
_OF_BLOOD = 0.6  # over remote muscle: the least that a scar's maximum has of the signal of blood
_ISLAND = 0.25  # of a slice's wall: the largest obstruction
_LEAST_WALL, _LEAST_WINDOW = 200, 12  # voxels


@dataclass(frozen=True, slots=True)
class HalfMaximum:
    """Thresholds as shares of the way from remote muscle to the scar's maximum.

    Parameters
    ----------
    core, grey : float
        0.2 to 0.8, and 0.1 up to ``core``.

    Raises
    ------
    InputError
        A value outside its range.
    """

    core: float = 0.5
    grey: float = 0.35

    def __post_init__(self) -> None:
        """Refuse shares outside the ranges."""
        if not (0.2 <= self.core <= 0.8 and 0.1 <= self.grey <= self.core):
            raise InputError(
                f"shares {self.core} and {self.grey}", needed="core 0.2 to 0.8, grey 0.1 to core"
            )


@dataclass(frozen=True, slots=True)
class Deviations:
    """Thresholds as standard deviations above the mean of remote muscle.

    Parameters
    ----------
    core, grey : float
        2 to 10, and 1 up to ``core``.

    Raises
    ------
    InputError
        A value outside its range.
    """

    core: float = 6.0
    grey: float = 3.0

    def __post_init__(self) -> None:
        """Refuse numbers outside the ranges."""
        if not (2.0 <= self.core <= 10.0 and 1.0 <= self.grey <= self.core):
            raise InputError(
                f"{self.core} and {self.grey} deviations", needed="core 2 to 10, grey 1 up to core"
            )


Rule = HalfMaximum | Deviations


@dataclass(frozen=True, slots=True, eq=False)
class Remote:
    """Healthy muscle: mean and standard deviation of its signal, and the voxels (k, r, c) it is told from."""

    mean: float
    sd: float
    where: Flags


@dataclass(frozen=True, slots=True, eq=False)
class Scar:
    """What is bright in a wall.

    Attributes
    ----------
    labels : (k, r, c) uint8
        `NONE`, `GREY`, `CORE`.
    obstructed : (k, r, c) bool
        Part of the core that is dark: microvascular obstruction.
    remote : Remote
    peak : float or None
        The scar's maximum; None where nothing is bright: then there is no scar.
    blood : float or None
        Signal of the cavity; None where no slice of the wall encloses one.
    edge_blood : float
        Share of the wall's innermost voxels, beside remote muscle, that look more like blood: 0 to 1.
    thresholds : (grey, core) float
        In the picture's own intensities; nought where there is no scar by half maximum.
    core_g, grey_g, wall_g : float
        Masses, g; the wall's includes both others.
    curve_x, curve_g : (n,) float64
        Mass of the core as a function of its threshold, in the unit of the rule.
    transmural : (k, RAYS) float64
        Share of the wall that is core, by slice and by direction from the cavity's middle: ray ``i`` looks
        from ``10 i`` to ``10 i + 10`` degrees, from the columns' direction to the rows'. NaN without wall.
    """

    labels: npt.NDArray[np.uint8]
    obstructed: Flags
    remote: Remote
    peak: float | None
    blood: float | None
    edge_blood: float
    thresholds: tuple[float, float]
    core_g: float
    grey_g: float
    wall_g: float
    curve_x: Array
    curve_g: Array
    transmural: Array


def segment_scar(
    picture: Array,
    wall: Flags,
    spacing_mm: tuple[float, float, float],
    *,
    rule: Rule | None = None,
    smallest_ml: float = 0.15,
    progress: Progress = SILENT,
) -> Scar:
    """Find scar core and grey zone in a wall.

    Parameters
    ----------
    picture : (k, r, c)
        Late enhancement, magnitude or phase-sensitive, slices across the long axis.
    wall : (k, r, c) bool
        Left ventricular muscle, scar included.
    spacing_mm : (k, r, c)
        From slice to slice (a gap is counted to its slice) and pixels.
    rule : HalfMaximum or Deviations
        By default the half maximum.
    smallest_ml : float
        Clusters of core below this are left out, 0 to 5 mL.
    progress : Progress

    Raises
    ------
    InputError
        Shapes that differ, values that are no numbers, or fewer than 200 voxels of wall.
    """
    if picture.shape != wall.shape or picture.ndim != 3:
        raise InputError(f"a picture {picture.shape} and a wall {wall.shape}", needed="both (k, r, c)")
    if not np.isfinite(picture).all():
        raise InputError("a picture with values that are no numbers", needed="finite values")
    if wall.sum() < _LEAST_WALL:
        raise InputError(f"a wall of {int(wall.sum())} voxels", needed=f"{_LEAST_WALL} or more")
    if not 0.0 <= smallest_ml <= 5.0:
        raise InputError(f"smallest_ml = {smallest_ml}", needed="0 to 5 mL")
    rule = rule or HalfMaximum()
    picture = np.asarray(picture, np.float64)
    voxel_ml = float(np.prod(spacing_mm)) / 1e3
    least = max(1, round(smallest_ml / voxel_ml))
    inside = Wall(wall, _inner(wall), least)
    progress(0.1, "remote muscle")
    quiet = remote(picture, wall)
    blood, edge_blood = _blood(picture, wall, quiet)
    peak = _peak(picture, inside, quiet, blood)
    at = _thresholds(rule, quiet, peak)
    labels, dark = inside.classified(picture, at) if peak is not None else inside.nothing()
    xs, masses = _steps(rule), []
    for n, x in enumerate(xs):
        core = _thresholds(type(rule)(float(x), min(rule.grey, float(x))), quiet, peak)[1]
        found = inside.classified(picture, (core, core))[0] if peak is not None else labels
        masses.append(float((found == CORE).sum()) * voxel_ml * MUSCLE_G_PER_ML)
        progress(0.2 + 0.8 * (n + 1) / len(xs), "threshold")
    grams = voxel_ml * MUSCLE_G_PER_ML
    core_g, grey_g = (float((labels == kind).sum()) * grams for kind in (CORE, GREY))
    return Scar(
        labels, dark, quiet, peak, blood, edge_blood, at, core_g, grey_g, float(wall.sum()) * grams,
        xs, np.array(masses), transmurality(labels == CORE, wall),
    )  # fmt: skip


def remote(picture: Array, wall: Flags) -> Remote:
    """Return healthy muscle: the third of all 60 degree windows of the wall whose bright end is darkest.

    The bright end is the mean and two standard deviations: scar lifts the first, obstruction that is dark in
    a phase-sensitive picture the second. The wall's edge is left out.

    Raises
    ------
    InputError
        No window of the wall holds a dozen voxels within it.
    """
    from scipy.ndimage import binary_erosion

    core = binary_erosion(wall, np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]))
    core = core if core.sum() > wall.sum() / 8 else wall
    ray = _rays(wall)
    place = np.argwhere(core)
    key = place[:, 0] * RAYS + ray[core]
    size = len(wall) * RAYS
    values = picture[core]
    sums = [
        np.bincount(key, weights=w, minlength=size).reshape(len(wall), RAYS)
        for w in (np.ones(len(key)), values, values**2)
    ]
    count, total, squares = (
        np.sum([np.roll(a, -n, axis=1) for n in range(_WINDOW_RAYS)], axis=0) for a in sums
    )
    full = count >= _LEAST_WINDOW
    if not full.any():
        raise InputError(
            "a wall too thin for remote muscle", needed=f"{_LEAST_WINDOW} voxels in 60 degrees of one slice"
        )
    count = np.maximum(count, 1)
    spread = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0.0))
    bright = np.where(full, total / count + 2.0 * spread, np.inf)
    dark = bright <= np.quantile(bright[full], _DARKEST)
    taken = np.zeros_like(dark)
    for n in range(_WINDOW_RAYS):
        taken |= np.roll(dark, n, axis=1)
    where = core.copy()
    where[core] = taken.ravel()[key]
    return Remote(float(picture[where].mean()), float(picture[where].std()), where)


def transmurality(core: Flags, wall: Flags) -> Array:
    """Return the share (k, RAYS) of the wall that is core, by slice and direction; NaN without wall."""
    key = np.argwhere(wall)[:, 0] * RAYS + _rays(wall)[wall]
    size = len(wall) * RAYS
    many = np.bincount(key, minlength=size)
    scar = np.bincount(key, weights=core[wall].astype(float), minlength=size)
    share: Array = np.where(many, scar / np.maximum(many, 1), np.nan).reshape(len(wall), RAYS)
    return share


def _rays(wall: Flags) -> npt.NDArray[np.int64]:
    """Direction (k, r, c) of each pixel from the middle of what the wall's ring encloses, in rays."""
    out = np.zeros(wall.shape, np.int64)
    for k, (slice_, hole) in enumerate(zip(wall, _cavity(wall), strict=True)):
        if not slice_.any():
            continue
        middle = np.argwhere(hole if hole.any() else slice_).mean(axis=0)
        r, c = np.indices(slice_.shape)
        turn = np.degrees(np.arctan2(r - middle[0], c - middle[1])) % 360.0
        out[k] = np.minimum(turn / (360.0 / RAYS), RAYS - 1).astype(np.int64)
    return out


def _inner(wall: Flags) -> Flags:
    """Voxels of the wall that touch no other tissue within their slice."""
    from scipy.ndimage import binary_erosion

    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    return np.asarray(binary_erosion(wall, cross))


def _steps(rule: Rule) -> Array:
    return np.arange(0.3, 0.701, 0.05) if isinstance(rule, HalfMaximum) else np.arange(2.0, 6.01, 0.5)


def _thresholds(rule: Rule, quiet: Remote, peak: float | None) -> tuple[float, float]:
    """Intensities (grey, core) from which on a voxel counts."""
    if isinstance(rule, Deviations):
        return quiet.mean + rule.grey * quiet.sd, quiet.mean + rule.core * quiet.sd
    high = (peak if peak is not None else quiet.mean) - quiet.mean
    return quiet.mean + rule.grey * high, quiet.mean + rule.core * high


def _cavity(wall: Flags) -> Flags:
    """What the rings of a wall enclose."""
    from scipy.ndimage import binary_fill_holes

    return np.stack([np.asarray(binary_fill_holes(one)) & ~one for one in wall])


def _blood(picture: Array, wall: Flags, quiet: Remote) -> tuple[float | None, float]:
    """Return the signal of blood, and the share of the inner edge beside remote muscle that looks like it."""
    from scipy.ndimage import binary_dilation, binary_erosion

    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    cavity = _cavity(wall)
    deep = binary_erosion(cavity, cross, iterations=2)
    if deep.sum() < _LEAST_WINDOW:
        return None, 0.0
    blood = float(np.median(picture[deep]))
    ray = _rays(wall)
    quiet_rays = np.zeros((len(wall), RAYS), bool)
    quiet_rays[np.argwhere(quiet.where)[:, 0], ray[quiet.where]] = True
    edge = wall & binary_dilation(cavity, cross)
    beside = edge & quiet_rays[np.arange(len(wall))[:, None, None], ray]
    if not beside.any():
        return blood, 0.0
    return blood, float((picture[beside] > (quiet.mean + blood) / 2.0).mean())


def _peak(picture: Array, wall: Wall, quiet: Remote, blood: float | None) -> float | None:
    """Maximum of the largest bright cluster, its noise smoothed a little.

    None without a cluster, or if it is much darker than blood.
    """
    from scipy.ndimage import correlate1d, label

    bright = wall.cleaned(picture >= quiet.mean + _BRIGHT_SD * quiet.sd)
    if not bright.any():
        return None
    pieces, _ = label(bright, np.ones((3, 3, 3)))
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    deep = largest & wall.inner
    mine = deep if deep.sum() >= 8 else largest
    both = np.stack([mine.astype(float), np.where(mine, picture, 0.0)])
    for axis in (2, 3):
        both = correlate1d(both, [0.25, 0.5, 0.25], axis=axis, mode="constant")
    peak = float(np.percentile((both[1] / np.maximum(both[0], 1e-9))[mine], _PEAK_PERCENT))
    if blood is not None and peak - quiet.mean < _OF_BLOOD * (blood - quiet.mean):
        return None
    return peak


@dataclass(frozen=True, slots=True, eq=False)
class Wall:
    """A wall and the rules that hold in it.

    Parameters
    ----------
    all : (k, r, c) bool
    inner : (k, r, c) bool
        Without the voxels at its edges.
    least : int
        Voxels of the smallest cluster.
    """

    all: Flags
    inner: Flags
    least: int

    def nothing(self) -> tuple[npt.NDArray[np.uint8], Flags]:
        """Return labels without scar, and no obstruction."""
        return np.zeros(self.all.shape, np.uint8), np.zeros(self.all.shape, bool)

    def cleaned(self, bright: Flags) -> Flags:
        """Return what of bright voxels counts: the edge beside deeper ones, no small clusters."""
        from scipy.ndimage import binary_dilation, label

        near = np.ones((1, 3, 3), bool)
        bright = bright & self.all
        thin = self.all & ~binary_dilation(self.inner, near)
        kept = bright & (self.inner | thin | binary_dilation(bright & self.inner, near))
        pieces, _ = label(kept, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        return np.asarray(sizes[pieces] >= self.least)

    def classified(
        self, picture: Array, thresholds: tuple[float, float]
    ) -> tuple[npt.NDArray[np.uint8], Flags]:
        """Return labels, and which of them are obstruction, for intensities (grey, core)."""
        from scipy.ndimage import label

        labels, dark = self.nothing()
        bright = (picture >= thresholds[1]) & self.all
        dark = self._shut_off(bright)
        core = self.cleaned(bright | dark)
        dark &= core
        both = self.cleaned(picture >= thresholds[0]) | core
        pieces, _ = label(both, np.ones((3, 3, 3)))
        joined = np.isin(pieces, np.unique(pieces[core])) & both
        labels[joined] = GREY
        labels[core] = CORE
        return labels, dark

    def _shut_off(self, core: Flags) -> Flags:
        """Dark islands between core and cavity, or within core: a quarter of the slice's wall at most."""
        from scipy.ndimage import binary_dilation, binary_fill_holes, label

        out = np.zeros(core.shape, bool)
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
        for k in np.flatnonzero(core.any(axis=(1, 2))):
            ring = self.all[k]
            beyond = ~binary_fill_holes(ring)
            pieces, many = label(ring & ~core[k])
            for n in range(1, many + 1):
                island = pieces == n
                rim = binary_dilation(island, cross)
                small = island.sum() <= _ISLAND * ring.sum()
                if small and not (rim & beyond).any() and (rim & core[k]).any():
                    out[k] |= island
        return out
