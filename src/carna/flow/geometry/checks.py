"""From a tree as it came to a network that a solver may trust, or a sentence that says why not."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.geometry.centrelines import clean
from carna.flow.network import Network, network
from carna.space import VesselTree

Floats = npt.NDArray[np.float64]

# Outlets may be a little wider than the inlet (a narrowed ostium); not by this much.
INVERTED: Final = 1.5
# Centre lines nearer than this share of the two radii, that far apart along the vessel, touch.
TOUCH: Final = 0.6
APART: Final = 4.0
COARSE_MM: Final = 3.0
ROUGH: Final = 0.12


def prepare(
    tree: VesselTree, *, radius_mm: npt.ArrayLike | None = None, inlet: int | None = None
) -> tuple[Network, tuple[str, ...]]:
    """Clean a tree, root it and check it.

    Parameters
    ----------
    tree : VesselTree
    radius_mm : (n,) float, optional
        Radii where the tree brings none (`radius_field` looks for them in a file's fields).
    inlet : int, optional
        Point of ``tree`` where blood enters; the widest end by default.

    Returns
    -------
    Network
    tuple of str
        What was mended.

    Raises
    ------
    InputError
        Disconnected, looped, inverted, self-touching, without radii, or not in millimetres.
    """
    given = tree if radius_mm is None else VesselTree(tree.points, tree.edges, np.nan_to_num(radius_mm))
    cleaned = clean(given)
    root = None
    if inlet is not None:
        root = int(np.argmin(np.linalg.norm(cleaned.tree.points - tree.points[inlet], axis=1)))
    vessels = network(cleaned.tree, inlet=root)
    check(vessels)
    return vessels, cleaned.notes


def check(vessels: Network) -> None:
    """Refuse a network that can't be blood vessels.

    Raises
    ------
    InputError
        If it is inverted (the inlet far narrower than an outlet) or touches itself.
    """
    ends = [vessels.segments[n][-1] for n in vessels.outlets]
    first = vessels.segments[0]
    head = float(np.median(vessels.radius_mm[first[: max(2, len(first) // 4)]]))
    wide = float(max(np.median(vessels.radius_mm[vessels.segments[n]]) for n in vessels.outlets))
    if wide > INVERTED * head:
        raise InputError(
            f"an inverted tree: radius {head:.2g} mm at the inlet, {wide:.2g} mm in an outlet's branch",
            needed="blood entering at the wide end",
            fix=f"give the inlet; the ends are at points {[int(first[0]), *map(int, ends)]}",
        )
    touch = touching(vessels)
    if touch is not None:
        a, b, apart = touch
        raise InputError(
            f"a vessel that touches itself: points {a} and {b} are {apart:.2g} mm apart with radii of "
            f"{vessels.radius_mm[a]:.2g} and {vessels.radius_mm[b]:.2g} mm, far apart along the vessel",
            needed="centre lines apart by more than their lumens",
            fix="part the two vessels in the segmentation, or drop the branch that isn't one",
        )


def fits(
    vessels: Network, what: str, *, inlet_mm: tuple[float, float], extent_mm: tuple[float, float]
) -> None:
    """Refuse a network whose size is not that of the arteries it is said to be.

    `carna.flow.network` refuses what no artery is; this knows which artery is meant, and so notices radii in
    centimetres on points in millimetres, or a tree of another organ.

    Parameters
    ----------
    vessels : Network
    what : str
        The arteries in words, such as ``a coronary tree``.
    inlet_mm, extent_mm : (float, float)
        Range of the diameter at the inlet and of the largest side of the box around the tree.

    Raises
    ------
    InputError
        With both sizes, and the unit that would make them fit.
    """
    first = vessels.segments[0]
    wide = 2 * float(np.percentile(vessels.radius_mm[first], 75))
    extent = float(np.ptp(vessels.points, axis=0).max())

    def inside(scale: float, size: float, limits: tuple[float, float]) -> bool:
        return limits[0] <= size * scale <= limits[1]

    if inside(1, wide, inlet_mm) and inside(1, extent, extent_mm):
        return
    units = {"millimetres": 1.0, "centimetres": 10.0, "metres": 1000.0, "micrometres": 1e-3}
    radii = [u for u, scale in units.items() if inside(scale, wide, inlet_mm)]
    places = [u for u, scale in units.items() if inside(scale, extent, extent_mm)]
    fit = (
        f"the radii fit {' or '.join(radii)}, the points {' or '.join(places)}"
        if radii and places
        else ("no unit of length makes both fit")
    )
    raise InputError(
        f"an inlet {wide:.3g} mm wide and an extent of {extent:.3g} mm: {fit}",
        needed=f"{what} in millimetres: inlet {inlet_mm[0]:g} to {inlet_mm[1]:g}, extent {extent_mm[0]:g} to "
        f"{extent_mm[1]:g}",
        fix="convert points and radii to millimetres, or run the application of these vessels",
    )


def poor(vessels: Network) -> str:
    """Return why lesions can't be told in these lines, "" if they can.

    Points must lie close enough to see a lesion of 10 mm (3 mm apart at most, 95 in 100), and radii must
    not jump from one millimetre to the next: noise of log radius of at most 0.12.
    """
    steps, jumps = list[Floats](), list[Floats]()
    for n, at in enumerate(vessels.segments):
        along = vessels.along_mm(n)
        steps.append(np.diff(along))
        even = np.arange(0.0, along[-1], 1.0)
        y = np.interp(even, along, np.log(vessels.radius_mm[at]))
        jumps.append(y[1:-1] - (y[:-2] + y[2:]) / 2)
    apart = float(np.percentile(np.concatenate(steps), 95))
    jump = np.concatenate(jumps)
    # Noise of SD s leaves sqrt(1.5) s; the median lets the lesions' own shoulders pass.
    rough = 1.4826 * float(np.median(np.abs(jump))) / np.sqrt(1.5) if len(jump) else 0.0
    if apart > COARSE_MM:
        return (
            f"points of the centre line lie up to {apart:.1f} mm apart; lesions of 10 mm need {COARSE_MM:g}"
        )
    if rough > ROUGH:
        return f"radii jump by {rough:.0%} from one millimetre to the next; at most {ROUGH:.0%} can be judged"
    return ""


def touching(vessels: Network) -> tuple[int, int, float] | None:
    """Return the nearest two points whose lumens merge far from any bifurcation, with their distance, mm."""
    from scipy.spatial import cKDTree

    reach = 2 * TOUCH * float(vessels.radius_mm.max())
    pairs = cKDTree(vessels.points).query_pairs(reach, output_type="ndarray")
    if not len(pairs):
        return None
    a, b = pairs.T
    both = vessels.radius_mm[a] + vessels.radius_mm[b]
    apart = np.linalg.norm(vessels.points[a] - vessels.points[b], axis=1)
    near = apart < TOUCH * both
    a, b, both, apart = a[near], b[near], both[near], apart[near]
    far = vessels.from_inlet_mm
    whose = np.zeros(len(vessels.points), np.int64)
    for n in range(len(vessels) - 1, -1, -1):
        whose[vessels.segments[n][1:]] = n
    meet = _fork_mm(vessels, far)[whose[a], whose[b]]
    # On one way from the inlet, the nearer of the two is where their ways part.
    way = far[a] + far[b] - 2 * np.minimum(meet, np.minimum(far[a], far[b]))
    bad = way > APART * both
    if not bad.any():
        return None
    worst = int(np.argmin(np.where(bad, apart / both, np.inf)))
    return int(a[worst]), int(b[worst]), float(apart[worst])


def _fork_mm(vessels: Network, far: Floats) -> Floats:
    """Distance from the inlet at which the ways to two segments part: (s, s) mm."""
    count = len(vessels)
    tail = np.array([far[at[-1]] for at in vessels.segments])
    paths = [vessels.path(n) for n in range(count)]
    fork = np.empty((count, count))
    for n in range(count):
        for m in range(n, count):
            shared = [a for a, b in zip(paths[n], paths[m], strict=False) if a == b]
            fork[n, m] = fork[m, n] = tail[shared[-1]] if shared else 0.0
    return fork


def radius_field(fields: dict[str, Floats], count: int) -> Floats | None:
    """Return the one field of a centreline file that can be its radii, or None.

    Some programs write radii under a name that says nothing, such as ``scalars``. A field can be radii if it
    has one positive value a point, from 0.1 to 50; two such fields are one too many.
    """
    fit = [
        values
        for values in fields.values()
        if np.shape(values) == (count,)
        and np.isfinite(values).all()
        and np.ptp(values) > 0
        and np.min(values) >= 0.1
        and np.max(values) <= 50
    ]
    return np.asarray(fit[0], float) if len(fit) == 1 else None
