"""One lesion by hand: laws of the pressure that a narrowing loses, from a few numbers.

All give dp = R q + S q^2. `young_tsai` is the classic fit on casts (Young & Tsai 1973,
doi:10.1016/0021-9290(73)90099-7; its viscous coefficient is known here from secondary sources only).
`profile` is what `carna.flow.steady` does: friction integrated over the radius, and the jet's loss.
`entrance` adds what a flat profile costs while it becomes parabolic: 0.69 of rho u^2 in the throat for a
long one (Hagenbach's factor, 1.38/2 rho u^2), less if the throat ends before, by its length over 0.06 Re D.

`put` gives a measured law (`carna.flow.lattice.lesion.fit`) to a stretch of vessel in a tree.

On the FDA nozzle at throat Re 500 (four laboratories: 221, 349, 417, 431 Pa) `profile` gives too little and
`profile` with `entrance` comes into their range: see the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.network import Network
from carna.flow.steady import EXPANSION, Losses

Floats = npt.NDArray[np.float64]

HAGENBACH: Final = 1.38


@final
@dataclass(frozen=True, slots=True)
class Loss:
    """dp (mmHg) = ``linear`` q + ``quadratic`` q |q|, q in mL/s.

    Attributes
    ----------
    linear : float
        mmHg s/mL.
    quadratic : float
        mmHg s2/mL2.
    """

    linear: float
    quadratic: float

    def drop_mmHg(self, flow_ml_s: float) -> float:
        """Return the pressure lost at a flow."""
        return self.linear * flow_ml_s + self.quadratic * flow_ml_s * abs(flow_ml_s)


def young_tsai(reference_mm: float, throat_mm: float, length_mm: float, blood: Blood | None = None) -> Loss:
    """Return the classic law for a lesion of healthy and minimal radius and length, mm.

    K_v = 32 (0.83 L + 1.64 D_s) (A_0 / A_s)^2 / D_0, K_t = 1.52.
    """
    _check(reference_mm, throat_mm, length_mm)
    blood = blood or Blood()
    wide, narrow = 2 * reference_mm, 2 * throat_mm
    shape = 32 * (0.83 * length_mm + 1.64 * narrow) * (wide / narrow) ** 4 / wide
    viscous = shape * blood.viscosity_mPas / (2 * np.pi * reference_mm**3) / MMHG
    return Loss(float(viscous), _jet(reference_mm, throat_mm, blood, EXPANSION))


def profile(along_mm: npt.ArrayLike, radius_mm: npt.ArrayLike, blood: Blood | None = None) -> Loss:
    """Return friction and jet loss of a radius along a vessel, (n,) mm each, as the steady solver does."""
    from carna.flow.steady import WIDER
    from carna.flow.steady_kernel import accumulate

    blood = blood or Blood()
    along, radius = np.asarray(along_mm, float), np.asarray(radius_mm, float)
    if along.shape != radius.shape or len(along) < 2 or (np.diff(along) < 0).any() or (radius <= 0).any():
        raise InputError(
            f"a profile of {along.shape} places and {radius.shape} radii",
            needed="growing places, radii above 0",
        )
    friction, jet = accumulate(
        np.array([0, len(along)]),
        np.diff(along, prepend=along[0]),
        radius,
        8 * blood.viscosity_mPas / (np.pi * MMHG),
        EXPANSION * blood.density_kg_m3 / (2 * MMHG),
        WIDER,
    )
    return Loss(float(friction[-1]), float(jet[-1]))


def entrance(
    throat_mm: float, length_mm: float, flow_ml_s: float, blood: Blood | None = None, *, reference_mm: float
) -> Loss:
    """Return what the throat costs beyond parabolic friction, at about this flow: a quadratic loss.

    A narrowing flattens the profile; it takes 0.06 Re D to become parabolic again, and friction is higher on
    the way. ``length_mm`` is that of the throat.
    """
    _check(reference_mm, throat_mm, length_mm)
    blood = blood or Blood()
    area = np.pi * throat_mm**2
    speed = abs(flow_ml_s) * 1e3 / area  # mm/s
    reynolds = blood.density_kg_m3 * speed * 2 * throat_mm * 1e-6 / (blood.viscosity_mPas * 1e-3)
    develops = 0.06 * reynolds * 2 * throat_mm
    share = 1 - np.exp(-4 * length_mm / develops) if develops > 0 else 1.0
    flat = 1 - (throat_mm / reference_mm) ** 4  # no narrowing, no flattening
    return Loss(0.0, float(HAGENBACH * share * flat * blood.density_kg_m3 / (2 * MMHG * area**2)))


def put(lost: Losses, vessels: Network, first: int, last: int, law: Loss) -> Losses:
    """Return the losses of a tree with the law between two of its points replaced.

    In between, the loss grows as it did before; beyond ``last`` every point is shifted.

    Parameters
    ----------
    lost : Losses
        Of ``carna.flow.steady.losses``.
    vessels : Network
    first, last : int
        Points of one segment, downstream in this order: a branch between them would make two flows of one.
    law : Loss

    Raises
    ------
    InputError
        If no segment holds both, in this order.
    """
    for at in vessels.segments:
        place = {int(point): n for n, point in enumerate(at)}
        if place.get(first, len(at)) < place.get(last, -1):
            i, j = place[first], place[last]
            break
    else:
        raise InputError(
            f"points {first} and {last}",
            needed="two points of one segment, the first upstream",
            fix="end the law where the vessel branches",
        )
    friction, jet = _within(lost.friction, at, i, j, law.linear), _within(lost.jet, at, i, j, law.quadratic)
    return Losses(friction, jet)


def _within(lost: Floats, at: npt.NDArray[np.int64], i: int, j: int, whole: float) -> Floats:
    """Return one coefficient with `whole` between the i-th and the j-th point of a segment."""
    here = lost[at]
    # A segment's own first point counts for its parent.
    here[0] = 0.0
    before = here[j] - here[i]
    share = (here[i : j + 1] - here[i]) / before if before > 0 else np.linspace(0, 1, j - i + 1)
    here[j + 1 :] += whole - before
    here[i : j + 1] = here[i] + share * whole
    changed = lost.copy()
    changed[at[1:]] = here[1:]
    return changed


def _jet(reference_mm: float, throat_mm: float, blood: Blood, factor: float) -> float:
    one, two = 1 / (np.pi * throat_mm**2), 1 / (np.pi * reference_mm**2)
    return float(factor * blood.density_kg_m3 / (2 * MMHG) * (one - two) ** 2)


def _check(reference_mm: float, throat_mm: float, length_mm: float) -> None:
    if not (0 < throat_mm <= reference_mm and length_mm >= 0):
        raise InputError(
            f"a throat of {throat_mm:g} mm in {reference_mm:g} mm over {length_mm:g} mm",
            needed="0 < throat <= reference, length of 0 or more",
        )
