"""The chambers outlined in long-axis cines: ventricles, muscle and atria in up to three planes."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.codes import Concept
from carna.errors import InputError
from carna.findings import Absent, Evidence, Item, Region, Segment, Statement
from carna.image.long_axis import LA, LV, MYOCARDIUM, NETWORK, RA, RV, agreement, segment
from carna.image.network import Network
from carna.study import Cine

SEGMENTS = (
    Segment(RV, codes.RV_CAVITY),
    Segment(MYOCARDIUM, codes.LV_MYOCARDIUM),
    Segment(LV, codes.LV_CAVITY),
    Segment(LA, codes.LEFT_ATRIUM),
    Segment(RA, codes.RIGHT_ATRIUM),
)
_FORMS: Final = {"one": 1, "four": 4, "eight": 8}
POOR: Final = 0.8  # agreement of turned readings below which outlines are flagged
_OF: dict[str, Concept] = {
    "4ch": codes.CHAMBERS_4CH,
    "2ch": codes.CHAMBERS_2CH,
    "3ch": codes.CHAMBERS_3CH,
}


@application(
    version="1.0",
    gives=(*_OF.values(), codes.LONG_AXIS_TRUSTED),
    cites=("doi:10.1007/978-3-319-24574-4_28", "doi:10.1016/j.media.2023.102789"),
    quick={"forms": "one"},
)
def long_axis_segmentation(
    four: Annotated[Cine, Need("a 4-chamber cine", modality="MR", view="4CH", min_phases=2)],
    two: Annotated[Cine | None, Need("a 2-chamber cine", modality="MR", view="2CH", min_phases=2)],
    three: Annotated[Cine | None, Need("a 3-chamber cine", modality="MR", view="3CH", min_phases=2)],
    *,
    forms: Annotated[
        Literal["one", "four", "eight"],
        Setting(doc="in how many turned and mirrored forms each picture is read"),
    ] = "four",
    job: Job,
) -> tuple[Item, ...]:
    """Outline the chambers in 4-, 2- and 3-chamber cines at every phase.

    What a plane is follows from where it lies, not from its name. The network was taught with virtual hearts
    alone. Papillary muscles count as cavity; veins and appendage, as far as they are narrow, not as atrium.
    """
    network = Network(NETWORK)
    items: list[Item] = []
    planes = {"4ch": four, "2ch": two, "3ch": three}
    for n, (name, cine) in enumerate(planes.items()):
        part = job.progress.part(n / len(planes), (n + 1) / len(planes))
        if cine is None:
            items.append(_absent(name, f"no {name[0]}-chamber cine in this study", None))
            continue
        seen_in = Evidence(cine.origin.uid, planes=(0,))
        frames = cine.values.array[:, 0]
        try:
            seen = segment(
                frames,
                spacing_mm=cine.spacing_mm[1:],
                network=network,
                forms=_FORMS[forms],
                progress=part,
            )
        except InputError as error:
            items.append(_absent(name, str(error), seen_in))
            continue
        items.append(_region(name, cine, seen.labels, seen_in))
        items.append(_trusted(name, agreement(frames, seen, network), seen_in))
    if not any(isinstance(i, Statement) for i in items):
        items.append(
            Absent(
                id="longaxis.trusted",
                code=codes.LONG_AXIS_TRUSTED,
                why="no long-axis cine could be outlined",
                reason=codes.MEASUREMENT_FAILURE,
            )
        )
    job.progress(1.0, "long axes")
    return tuple(items)


def _region(name: str, cine: Cine, labels: np.ndarray, seen_in: Evidence) -> Region:
    whole = np.zeros((len(labels), len(cine.planes), *labels.shape[1:]), np.uint8)
    whole[:, 0] = labels
    return Region(
        id=f"longaxis.{name}",
        code=_OF[name],
        site=codes.HEART,
        labels=whole,
        planes=cine.planes,
        segments=SEGMENTS,
        times_ms=np.median(cine.times_ms, axis=1),
        frames=tuple(range(len(labels))),
        evidence=(seen_in,),
    )


def _trusted(name: str, agreed: dict[int, float], seen_in: Evidence) -> Statement:
    least = min(agreed[LV], agreed[LA])
    return Statement(
        id=f"longaxis.{name}.trusted",
        code=codes.LONG_AXIS_TRUSTED,
        verdict="met" if least >= POOR else "not met",
        rule=f"turned and mirrored readings agree: Dice of the left ventricle {agreed[LV]:.2f}, of the left "
        f"atrium {agreed[LA]:.2f}, at least {POOR} needed",
        of=(f"longaxis.{name}",),
        evidence=(seen_in,),
    )


def _absent(name: str, why: str, seen_in: Evidence | None) -> Absent:
    return Absent(
        id=f"longaxis.{name}",
        code=_OF[name],
        why=why,
        reason=codes.MEASUREMENT_FAILURE if seen_in else codes.VALUE_UNKNOWN,
        evidence=(seen_in,) if seen_in else (),
    )
