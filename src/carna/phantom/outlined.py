"""A virtual patient whose cine arrives outlined: exact labels of both ventricles as findings."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from carna import codes
from carna.case import Case
from carna.findings import Evidence, Findings, Manifest, Measurement, Region, Segment, Unknown
from carna.phantom.labels import LV, MYOCARDIUM, RV, as_outlined
from carna.phantom.patient import VirtualPatient, make
from carna.phantom.study import study_of
from carna.study import Cine, Patient, Record
from carna.study.parts import Origin

_FRAMES = 12


@cache
def virtual_ventricles() -> Case:
    """Return the healthy virtual patient: short axis, exact outlines, a record of age and size."""
    made = make(VirtualPatient(), frames=_FRAMES, pixels=144, long_axes=False)
    study = study_of(made)
    cine = next(p for p in study.parts if isinstance(p, Cine))
    who: Patient = study.patient
    record = Record(
        Origin(f"{cine.origin.uid}.1", "OT", "record", 9, study.time, "Carna phantom", "phantom"),
        51.5,
        "female",
        165.0,
        68.0,
    )
    study = replace(study, parts=(cine, record))
    labels = as_outlined(made.sax.labels)
    seen = Evidence(cine.origin.uid, planes=tuple(range(len(cine.planes))))
    region = Region(
        id="ventricles",
        code=codes.BEATING_VENTRICLES,
        site=codes.HEART,
        labels=labels,
        planes=cine.planes,
        segments=(
            Segment(RV, codes.RV_CAVITY),
            Segment(MYOCARDIUM, codes.LV_MYOCARDIUM),
            Segment(LV, codes.LV_CAVITY),
        ),
        times_ms=np.median(cine.times_ms, axis=1),
        frames=tuple(range(_FRAMES)),
        evidence=(seen,),
    )
    exactly = tuple(
        Measurement(
            id=f"ventricles.dice.{name}",
            code=codes.PREDICTED_DICE,
            value=1.0,
            unit="1",
            uncertainty=Unknown("the labels are exact"),
            of=("ventricles",),
        )
        for name in ("rv", "muscle", "lv")
    )
    said = Findings(
        study=study.uid,
        patient=who.id,
        items=(region, *exactly),
        manifest=Manifest("phantom", "1.0"),
        synthetic=True,
    )
    return Case(who, (study,), (said,))
