"""Virtual people: hearts drawn at random, healthy or with one of four patterns of disease."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from carna.phantom.heart import Heart
from carna.phantom.wall import Region

Pattern = Literal["normal", "dilated", "hypertrophic", "infarcted", "abnormal right"]

# How often each is drawn for learning: what is rare in people must not be rare in lessons.
SHARES: Mapping[Pattern, float] = MappingProxyType(
    {"normal": 0.28, "dilated": 0.18, "hypertrophic": 0.18, "infarcted": 0.18, "abnormal right": 0.18}
)


def draw_heart(random: np.random.Generator, pattern: Pattern | None = None) -> Heart:
    """Draw a heart.

    Parameters
    ----------
    random : numpy.random.Generator
    pattern : str, optional
        One of `SHARES`; drawn by these shares if absent.

    Returns
    -------
    Heart
        Ranges reach beyond the limits of normal (doi:10.1186/s12968-020-00683-3) and of each pattern on both
        sides; they are lessons, not a population.
    """
    kinds = tuple(SHARES)
    kind = pattern or kinds[int(random.choice(len(kinds), p=list(SHARES.values())))]
    between = random.uniform
    edv, ef, wall = between(90, 200), between(0.50, 0.72), between(6.0, 10.5)
    elongation, septal, oval = between(0.88, 1.12), between(-0.5, 1.5), between(0.0, 0.08)
    regions: tuple[Region, ...] = ()
    right = between(1.0, 1.35) * edv
    if kind in ("normal", "abnormal right"):
        regions = _closing(random, 1.25)
    if kind == "dilated":
        edv, ef, wall, elongation = (
            between(180, 345),
            between(0.11, 0.44),
            between(5.5, 9.5),
            between(0.78, 1.0),
        )
        right = between(0.7, 1.2) * edv
    elif kind == "hypertrophic":
        edv, ef, wall = between(65, 165), between(0.55, 0.77), between(10.5, 17.0)
        septal, regions = between(-1.0, 8.0), _closing(random, 1.4)
    elif kind == "infarcted":
        edv, ef, regions = between(110, 290), between(0.18, 0.50), _infarcts(random)
        right = between(0.7, 1.2) * edv
    elif kind == "abnormal right":
        edv, oval = between(65, 160), between(0.0, 0.2)
        right = between(1.3, 2.8) * edv
    wall = float(np.clip(wall, 4.0, 19.5))
    chosen = dict(
        edv_ml=edv,
        rv_edv_ml=float(np.clip(right, edv * ef + 25.0, 480.0)),
        wall_mm=wall,
        torsion_deg=between(2, 18),
        elongation=elongation,
        oval=oval,
        oval_deg=float(random.normal(90.0, 25.0)),
        septal_mm=float(np.clip(septal, -3.0, 0.6 * wall)),
        septal_deg=float(random.normal(0.0, 40.0)),
        apical=between(0.5, 1.15),
        rv_half_angle_deg=between(56, 84),
        rv_blunt=between(0.5, 1.2),
        rv_reach=between(0.72, 0.96),
        rv_wall_mm=between(1.5, 5.0),
        axis_lps=tuple(np.array((0.66, -0.57, -0.49)) + random.normal(0.0, 0.12, 3)),
    )
    # A large still region leaves less to eject: such a heart has a lower ejection fraction.
    return _possible(chosen, ef, regions)


def _infarcts(random: np.random.Generator) -> tuple[Region, ...]:
    return tuple(
        Region(
            theta_deg=float(random.uniform(-180, 180)),
            depth=float(random.uniform(0.2, 1.0)),
            half_width_deg=float(random.uniform(25, 70)),
            half_length=float(random.uniform(0.12, 0.4)),
            motion=float(random.uniform(-0.2, 0.35)),
            thinning=float(random.uniform(0.0, 0.6)),
        )
        for _ in range(int(random.integers(1, 3)))
    )


def _closing(random: np.random.Generator, most: float) -> tuple[Region, ...]:
    """Return a lower half that closes more than the base does, as strong ventricles do."""
    return (
        Region(
            theta_deg=float(random.uniform(-180, 180)),
            depth=float(random.uniform(0.6, 1.0)),
            half_width_deg=180.0,
            half_length=float(random.uniform(0.3, 0.6)),
            motion=float(random.uniform(1.0, most)),
        ),
    )


def _possible(chosen: dict[str, object], ef: float, regions: tuple[Region, ...]) -> Heart:
    from carna.errors import InputError

    while True:
        try:
            return Heart(**chosen, ef=ef, regions=regions)  # type: ignore[arg-type]
        except InputError:
            if ef < 0.12:
                raise
            ef = max(0.9 * ef, 0.11)
