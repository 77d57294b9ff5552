"""The left atrium outlined in a late enhancement volume, and how much blood it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np

from carna import codes
from carna.app import Job, Need, application
from carna.errors import InputError
from carna.findings import Absent, Evidence, Interval, Item, Measurement, Region, Segment, Statement
from carna.image.atrium import LeftAtrium, left_atrium, upright
from carna.study import Image

_TILT_DEG: Final = 30.0  # further from the body's axes than any lesson was
# What readings of virtual volumes do not fall below, and those of other pictures seldom reach.
_AGREEMENT: Final = 0.94
_CERTAINTY: Final = 0.88
_PLAUSIBLE_ML: Final = (12.0, 350.0)
_CUT: Final = 0.04
# True over found volume in 95 % of virtual volumes (docs/atrium-lge.md).
_TRUE_OVER_FOUND: Final = (0.8, 1.6)
_GIVES = {
    "atrium": codes.LEFT_ATRIUM,
    "atrium.trusted": codes.OUTLINES_TRUSTED,
    "atrium.volume": codes.LA_VOLUME_LGE,
}


@application(
    version="1.0",
    gives=tuple(_GIVES.values()),
    cites=(
        "doi:10.1007/978-3-319-46723-8_49",
        "doi:10.1016/j.media.2023.102789",
        "doi:10.1016/j.media.2020.101832",
    ),
)
def atrial_segmentation(
    image: Annotated[
        Image,
        Need("a late enhancement volume through the atria", modality="MR", technique="LGE", min_slices=16),
    ],
    *,
    job: Job,
) -> tuple[Item, ...]:
    """Outline the left atrium in a three-dimensional late enhancement picture and measure its blood volume.

    The appendage and the first centimetre of the veins count as atrium. The network was taught with virtual
    hearts alone.
    """
    seen_in = Evidence(image.origin.uid, planes=tuple(range(image.grid.shape[0])))
    turn = upright(image.grid.axes)
    if turn.tilt_deg > _TILT_DEG:
        why = f"the picture is tilted by {turn.tilt_deg:.0f} degrees to the body, {_TILT_DEG:g} at most"
        return tuple(_nothing(why, seen_in))
    try:
        k, r, c = (image.grid.spacing_mm[axis] for axis in turn.order)
        seen = left_atrium(turn.view(image.values.array), (k, r, c), progress=job.progress)
    except InputError as error:
        return tuple(_nothing(str(error), seen_in))
    doubt = _doubt(seen)
    if doubt:
        return tuple(_nothing(f"no left atrium is outlined: {doubt}", seen_in))
    labels = np.zeros(image.grid.shape, np.uint8)
    turn.view(labels)[...] = seen.labels
    return tuple(_items(seen, labels, image, seen_in))


def _doubt(seen: LeftAtrium) -> str:
    """Return why what was found is not to be shown, or nothing."""
    low, high = _PLAUSIBLE_ML
    if not low <= seen.ml <= high:
        return f"a body of {seen.ml:.0f} mL was found, {low:g} to {high:g} are plausible"
    if seen.agreement < _AGREEMENT:
        return f"shifted readings agree by Dice {seen.agreement:.2f}, {_AGREEMENT} is needed"
    if seen.certainty < _CERTAINTY:
        return f"mean belief {seen.certainty:.2f} around it, {_CERTAINTY} is needed"
    return ""


def _items(seen: LeftAtrium, labels: np.ndarray, image: Image, seen_in: Evidence) -> Iterator[Item]:
    yield Region(
        id="atrium",
        code=codes.LEFT_ATRIUM,
        site=codes.LEFT_ATRIUM,
        labels=labels,
        planes=tuple(image.grid.plane(k) for k in range(image.grid.shape[0])),
        segments=(Segment(1, codes.LEFT_ATRIUM),),
        evidence=(seen_in,),
    )
    told = (
        f"shifted readings agree by Dice {seen.agreement:.2f}, at least {_AGREEMENT} needed",
        f"mean belief {seen.certainty:.2f}, at least {_CERTAINTY} needed",
    )
    yield Statement(
        id="atrium.trusted",
        code=codes.OUTLINES_TRUSTED,
        verdict="met",
        rule="; ".join(told),
        of=("atrium",),
        evidence=(seen_in,),
    )
    if seen.cut > _CUT:
        why = f"{100 * seen.cut:.0f} % of the atrium lies at the rim of the picture: it goes on beyond"
        yield _absent("atrium.volume", why, seen_in)
        return
    low, high = _TRUE_OVER_FOUND
    least, most = min(seen.range_ml[0], seen.ml), max(seen.range_ml[1], seen.ml)
    yield Measurement(
        id="atrium.volume",
        code=codes.LA_VOLUME_LGE,
        site=codes.LEFT_ATRIUM,
        value=round(seen.ml, 2),
        unit="mL",
        uncertainty=Interval(round(min(low * seen.ml, least), 2), round(max(high * seen.ml, most), 2), 0.95),
        of=("atrium",),
        evidence=(seen_in,),
    )


def _absent(id: str, why: str, seen_in: Evidence) -> Absent:
    return Absent(id=id, code=_GIVES[id], why=why, reason=codes.MEASUREMENT_FAILURE, evidence=(seen_in,))


def _nothing(why: str, seen_in: Evidence) -> Iterator[Item]:
    """All is absent, for one reason."""
    for id in _GIVES:
        yield _absent(id, why, seen_in)
