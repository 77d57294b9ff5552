"""Both ventricles outlined in every picture of a short-axis cine, and how far to trust the outlines."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from carna import codes
from carna.app import Job, Need, Setting, application
from carna.errors import InputError
from carna.findings import Absent, Evidence, Item, Measurement, Region, Segment, Statement, Unknown
from carna.image.network import Network
from carna.image.ventricles import LV, MYOCARDIUM, NETWORK, POOR, RV, Trust, Ventricles, segment, trust
from carna.study import Cine

SEGMENTS = (
    Segment(RV, codes.RV_CAVITY),
    Segment(MYOCARDIUM, codes.LV_MYOCARDIUM),
    Segment(LV, codes.LV_CAVITY),
)
_PREDICTED = {
    RV: ("rv", codes.RIGHT_VENTRICLE),
    MYOCARDIUM: ("muscle", codes.LV_MYOCARDIUM),
    LV: ("lv", codes.LEFT_VENTRICLE),
}
_WHY = "a prediction fitted on virtual patients; its own error is in the card of the network"


@application(
    version="1.0",
    gives=(codes.BEATING_VENTRICLES, codes.OUTLINES_TRUSTED, codes.PREDICTED_DICE),
    cites=("doi:10.1007/978-3-319-24574-4_28", "doi:10.1016/j.media.2023.102789"),
    quick={"forms": "one"},
)
def ventricular_segmentation(
    cine: Annotated[
        Cine,
        Need("a short-axis cine of the ventricles", modality="MR", view="SAX", min_phases=2, min_slices=3),
    ],
    *,
    forms: Annotated[
        Literal["one", "eight where unsure", "eight"],
        Setting(doc="in how many turned and mirrored forms each picture is read"),
    ] = "eight where unsure",
    job: Job,
) -> tuple[Item, ...]:
    """Outline right cavity, left muscle and left cavity in every slice and phase of a short-axis cine.

    The network was taught with virtual hearts alone. Papillary muscles count as cavity.
    """
    network = Network(NETWORK)
    frames = cine.values.array
    times = np.median(cine.times_ms, axis=1)
    seen_in = Evidence(cine.origin.uid, planes=tuple(range(len(cine.planes))))
    try:
        seen = segment(
            frames,
            spacing_mm=cine.spacing_mm,
            times_ms=times,
            network=network,
            eightfold=forms == "eight",
            progress=job.progress.part(0.0, 0.6 if forms == "eight where unsure" else 0.9),
        )
    except InputError as error:
        return tuple(
            Absent(id=id, code=code, why=str(error), reason=codes.MEASUREMENT_FAILURE, evidence=(seen_in,))
            for id, code in (
                ("ventricles", codes.BEATING_VENTRICLES),
                ("ventricles.trusted", codes.OUTLINES_TRUSTED),
                ("ventricles.dice.lv", codes.PREDICTED_DICE),
            )
        )
    believed = trust(frames, seen, network)
    if believed.poor and forms == "eight where unsure":
        seen = segment(
            frames,
            spacing_mm=cine.spacing_mm,
            times_ms=times,
            network=network,
            eightfold=True,
            progress=job.progress.part(0.6, 0.95),
        )
    items = _items(seen, believed, cine, times, seen_in)
    job.progress(1.0, "ventricles")
    return items


def _items(
    seen: Ventricles, believed: Trust, cine: Cine, times: np.ndarray, seen_in: Evidence
) -> tuple[Item, ...]:
    if not (seen.labels == LV).any():
        why = "no left ventricle is seen in any picture"
        return (
            Absent(
                id="ventricles",
                code=codes.BEATING_VENTRICLES,
                why=why,
                reason=codes.MEASUREMENT_FAILURE,
                evidence=(seen_in,),
            ),
        )
    region = Region(
        id="ventricles",
        code=codes.BEATING_VENTRICLES,
        site=codes.HEART,
        labels=seen.labels,
        planes=cine.planes,
        segments=SEGMENTS,
        times_ms=times,
        frames=tuple(range(len(seen.labels))),
        evidence=(seen_in,),
    )
    weak = np.flatnonzero(np.nan_to_num(believed.slices, nan=1.0) < POOR) + 1
    where = f"; readings differ most in slices {', '.join(map(str, weak))}" if len(weak) else ""
    trusted = Statement(
        id="ventricles.trusted",
        code=codes.OUTLINES_TRUSTED,
        verdict="not met" if believed.poor else "met",
        rule=f"predicted Dice of the left cavity {believed.dice[LV]:.2f}, at least {POOR} needed{where}",
        of=("ventricles",),
        evidence=(seen_in,),
    )
    predicted = tuple(
        Measurement(
            id=f"ventricles.dice.{id}",
            code=codes.PREDICTED_DICE,
            site=site,
            value=round(believed.dice[label], 3),
            unit="1",
            uncertainty=Unknown(_WHY),
            of=("ventricles",),
        )
        for label, (id, site) in _PREDICTED.items()
    )
    return (region, trusted, *predicted)
