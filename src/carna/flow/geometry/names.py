"""Names of coronary segments and classes of bifurcations.

Segments follow the 15-segment scheme (AHA 1975 as SYNTAX uses it, Sianos et al. 2005): in a left tree 5 left
main, 6-7-8 anterior descending, 9 and 10 diagonals, 11-13 circumflex with 12 marginals; in a right tree
1-2-3, 4 posterior descending, 16 posterolateral. Which branch is which is told by direction: the anterior
descending runs forward (anterior is -y in LPS). Where that is not clear, or the frame is not the patient's,
names stay generic: a wrong name is worse than none.

A Medina class (Medina et al. 2006) says which of main before, main after and side branch have lost half of
their diameter within 5 mm of the bifurcation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Final, Literal, final

import numpy as np
import numpy.typing as npt

from carna.flow.geometry.stenosis import reference_radius
from carna.flow.network import Network

Floats = npt.NDArray[np.float64]

LONGEST_MAIN_MM: Final = 35.0
CLEAR: Final = 0.2  # difference of direction cosines that tells two branches apart
MEDINA: Final = 0.5
NEAR_MM: Final = 5.0


@final
@dataclass(frozen=True, slots=True)
class Bifurcation:
    """Where one segment becomes two.

    Attributes
    ----------
    before, after, side : int
        Segments: the parent, the one that goes on, the one that branches off.
    medina : str
        Such as ``1,1,0``.
    """

    before: int
    after: int
    side: int
    medina: str


def bifurcations(vessels: Network, *, reference_mm: npt.ArrayLike | None = None) -> tuple[Bifurcation, ...]:
    """Return all bifurcations with their Medina class; a point with three branches gives two."""
    healthy = reference_radius(vessels) if reference_mm is None else np.asarray(reference_mm, float)
    goes_on = {a: b for line in vessels.lines for a, b in itertools.pairwise(line)}
    lost = 1 - vessels.radius_mm / healthy

    def ill(segment: int, *, tail: bool) -> bool:
        along, at = vessels.along_mm(segment), vessels.segments[segment]
        near = along >= along[-1] - NEAR_MM if tail else (along <= NEAR_MM) & (along > 0)
        return bool((lost[at[near]] >= MEDINA).any())

    found = []
    for before, after in sorted(goes_on.items()):
        for side in np.flatnonzero(vessels.parent == before):
            if side != after:
                three = (ill(before, tail=True), ill(after, tail=False), ill(int(side), tail=False))
                found.append(Bifurcation(before, after, int(side), ",".join(str(int(x)) for x in three)))
    return tuple(found)


def named(vessels: Network, *, side: Literal["left", "right"] | None, lps: bool = True) -> Network:
    """Return the network with the names of coronary segments.

    Parameters
    ----------
    vessels : Network
    side : {"left", "right"} or None
        Which coronary tree it is; None gives generic names.
    lps : bool
        Whether its coordinates are the patient's; if not, names stay generic too.
    """
    names = _generic(vessels)
    if lps and side == "left":
        names |= _left(vessels)
    elif lps and side == "right":
        names |= _right(vessels)
    return replace(vessels, names=tuple(names[n] for n in range(len(vessels))))


def _generic(vessels: Network) -> dict[int, str]:
    """``vessel 1`` is the main one; its segments are 1a, 1b, ... from the inlet."""
    return {
        n: f"vessel {k}{chr(97 + m % 26) if len(line) > 1 else ''}"
        for k, line in enumerate(vessels.lines, 1)
        for m, n in enumerate(line)
    }


def _way(vessels: Network, segment: int) -> Floats:
    """Unit vector from a segment's head to the middle of all that it feeds."""
    head = vessels.points[vessels.segments[segment][0]]
    fed = [n for n in range(len(vessels)) if segment in vessels.path(n)]
    middle = np.mean([vessels.points[vessels.segments[n][1:]].mean(0) for n in fed], axis=0)
    return np.asarray((middle - head) / max(float(np.linalg.norm(middle - head)), 1e-9))


def _onward(vessels: Network, segment: int) -> tuple[int, ...]:
    """Return the vessel that a segment begins, down to its end, by width."""
    line = next(line for line in vessels.lines if segment in line)
    return line[line.index(segment) :]


def _left(vessels: Network) -> dict[int, str]:
    daughters = np.flatnonzero(vessels.parent == 0)
    if len(daughters) not in (2, 3) or vessels.along_mm(0)[-1] > LONGEST_MAIN_MM:
        return {}
    forward = np.array([-_way(vessels, int(n))[1] for n in daughters])
    order = np.argsort(-forward)
    if forward[order[0]] - forward[order[-1]] < CLEAR:
        return {}
    descending, circumflex = int(daughters[order[0]]), int(daughters[order[-1]])
    found = {0: "5 LM"}
    if len(daughters) == 3:
        found[int(daughters[order[1]])] = "12 IM"
    found |= _thirds(
        vessels, _onward(vessels, descending), ("6 LAD prox", "7 LAD mid", "8 LAD dist"), ("9 D1", "10 D2")
    )
    found |= _thirds(
        vessels,
        _onward(vessels, circumflex),
        ("11 LCx prox", "13 LCx dist", "13 LCx dist"),
        ("12a OM1", "12b OM2"),
    )
    return found


def _right(vessels: Network) -> dict[int, str]:
    line = _onward(vessels, 0)
    found = _thirds(vessels, line, ("1 RCA prox", "2 RCA mid", "3 RCA dist"), ("RV1", "RV2"))
    if len(line) > 2:
        # The last fork is the crux: the branch that runs forward in the groove is the posterior descending.
        crux = np.flatnonzero(vessels.parent == line[-2])
        forward = [-_way(vessels, int(n))[1] for n in crux]
        if len(crux) == 2 and abs(forward[0] - forward[1]) >= CLEAR:
            found[int(crux[int(np.argmax(forward))])] = "4 PDA"
            found[int(crux[int(np.argmin(forward))])] = "16 PL"
    return found


def _thirds(
    vessels: Network, line: tuple[int, ...], parts: tuple[str, str, str], sides: tuple[str, str]
) -> dict[int, str]:
    """Name a vessel's segments by the branches between them, and the branches with what follows them."""
    found = {n: parts[min(k, 2)] for k, n in enumerate(line)}
    count = 0
    for n in line[:-1]:
        for branch in np.flatnonzero(vessels.parent == n):
            if int(branch) not in line:
                label = sides[min(count, 1)] if count < 2 else f"{sides[1]} +{count - 1}"
                count += 1
                found |= {m: label for m in range(len(vessels)) if int(branch) in vessels.path(m)}
    return found
