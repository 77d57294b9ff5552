"""A virtual patient as a study: the same nouns that a hospital's files become."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from carna.case import Case
from carna.findings.model import NAMESPACE
from carna.phantom.ecg import LEADS, electrocardiogram
from carna.phantom.patient import Series, VirtualCase, VirtualPatient, draw, make
from carna.progress import SILENT, Progress
from carna.space import Grid
from carna.study import Cine, Ecg, Lazy, Origin, Part, Patient, Record, Study
from carna.study.parts import Entry, Sex

NAME = "CARNA^PHANTOM"
# A date that no clinic has open: the study must not look like one of today.
TIME = "2000-01-01T12:00:00"
BORN = "1948-06-15"


def virtual_study(seed: int = 0, *, progress: Progress = SILENT) -> tuple[Study, Mapping[str, str]]:
    """Return a virtual patient's study, and its exact truth in words.

    Parameters
    ----------
    seed : int
        Which patient; 0 is a healthy one, the others are drawn at random.
    """
    patient = VirtualPatient() if seed == 0 else draw(seed)
    case = make(patient, progress=progress)
    return study_of(case), truth_of(case)


def study_of(case: VirtualCase) -> Study:
    """Return a virtual patient's pictures and electrocardiogram as a study."""
    seed = case.patient.seed
    sex: Sex = "male" if seed % 2 else "female"
    who = Patient(f"PHANTOM-{seed:06}", "CARNA", NAME, BORN, sex, synthetic=True)
    parts: list[Part] = [
        _cine(series, seed, number, case.patient.rr_ms)
        for number, series in enumerate((case.sax, *case.long_axes), start=1)
    ]
    origin = Origin(
        _uid(seed, "ecg"),
        "ECG",
        "12-lead resting ECG",
        len(parts) + 1,
        TIME,
        "Carna phantom",
        "phantom",
        notes=("virtual patient",),
    )
    values = case.ecg.mv.astype(np.float32)
    parts.append(Ecg(origin, Lazy.of(values), tuple(LEADS), case.ecg.hz, lsb_mV=(0.001,) * len(values)))
    return Study(_uid(seed, "study"), who, TIME, "Virtual heart", f"V{seed:06}", tuple(parts))


def truth_of(case: VirtualCase) -> dict[str, str]:
    """Return what is exactly so of a virtual patient, in words with units."""
    truth = case.truth
    times = case.sax.trigger_ms
    return {
        "heart rate": f"{case.ecg.heart_rate_bpm:.1f} /min",
        "beats": str(len(case.ecg.r_s)),
        "rhythm": case.ecg.rhythm,
        "end-systole": f"{times[truth.es]:.0f} ms, frame {truth.es + 1} of {len(times)}",
        "LVEF": f"{100 * truth.lvef:.1f} %",
        "LV volumes": f"{truth.lv_ml.max():.0f} / {truth.lv_ml.min():.0f} mL",
    }


@cache
def virtual_case() -> Case:
    """Return the virtual patient that the contract suite and the docs use: the healthy one."""
    study, _ = virtual_study()
    return Case(study.patient, (study,))


@cache
def virtual_holter() -> Case:
    """Return a virtual patient with three minutes of two leads and premature beats."""
    made = electrocardiogram(70.0, seconds=180.0, hz=250.0, pvc_share=0.1, noise_mv=0.02, seed=3)
    who = Patient("PHANTOM-HOLTER", "CARNA", NAME, BORN, "female", synthetic=True)
    origin = Origin(_uid(3, "holter"), "ECG", "ambulatory ECG", 1, TIME, "Carna phantom", "phantom")
    values = made.mv[[1, 6]].astype(np.float32)
    ecg = Ecg(origin, Lazy.of(values), ("II", "V1"), made.hz, lsb_mV=(0.001, 0.001))
    return Case(who, (Study(_uid(3, "holter study"), who, TIME, "Virtual Holter", parts=(ecg,)),))


@cache
def virtual_record() -> Case:
    """Return a virtual patient of whom a record is known: a drug, and a potassium below the usual."""
    who = Patient("PHANTOM-RECORD", "CARNA", NAME, BORN, "female", synthetic=True)
    origin = Origin(_uid(4, "record"), "OT", "record", 1, TIME, "Carna phantom", "phantom")
    entries = (
        Entry("Dofetilide 500 mcg capsule", (), "active", "", TIME),
        Entry("Potassium", (("LN", "6298-4"),), 3.6, "mmol/L", TIME),
    )
    record = Record(origin, 51.5, "female", 165.0, 68.0, entries)
    return Case(who, (Study(_uid(4, "record study"), who, TIME, "Virtual record", parts=(record,)),))


def _cine(series: Series, seed: int, number: int, rr_ms: float) -> Cine:
    plane = series.plane
    planes = []
    for k in range(plane.shape[0]):
        affine = plane.affine.copy()
        affine[:3, 3] = affine[:3, :3] @ (k, 0, 0) + affine[:3, 3]
        affine[:3, 0] *= plane.thickness_mm / np.linalg.norm(affine[:3, 0])
        planes.append(Grid((1, *plane.shape[1:]), affine, _uid(seed, "frame")))
    slices = len(planes)
    origin = Origin(
        _uid(seed, plane.name),
        "MR",
        f"cine {plane.name}",
        number,
        TIME,
        "Carna phantom",
        "phantom",
        notes=("virtual patient",),
        facts={"SliceThickness": plane.thickness_mm, "ScanningSequence": "GR", "ImageType": "DERIVED"},
    )
    times = np.repeat(series.trigger_ms[:, None], slices, axis=1)
    return Cine(origin, tuple(planes), Lazy.of(series.cine), times, np.full(slices, rr_ms))


def _uid(seed: int, name: str) -> str:
    import uuid

    return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/{seed}/{name}').int}"
