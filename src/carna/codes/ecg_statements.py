"""What an electrocardiogram's criteria speak of: the name of each criterion, and its code.

SNOMED CT codes are those of the diagnosis map of the PhysioNet/Computing in Cardiology Challenge
2021, or of DICOM CID 3230 where a constant of `carna.codes` has one. Criteria of one diagnosis share
its code: which rule spoke stands in the statement. What the map has no word for is coded 99CARNA.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from carna.codes.concept import Concept, own

_CINC = "PhysioNet/CinC 2021 diagnosis map"


def _cinc(value: str, meaning: str, scp: str = "") -> Concept:
    return Concept(value, "SCT", meaning, "", _CINC, (("SCPECG", scp),) if scp else ())


LEFT_AXIS = _cinc("39732003", "Left axis deviation")
RIGHT_AXIS = _cinc("47665007", "Right axis deviation")
LOW_VOLTAGE = _cinc("251146004", "Low QRS voltages", "LVOLT")
PACED_RHYTHM = _cinc("10370003", "Pacing rhythm", "PACE")
POOR_R_PROGRESSION = _cinc("365413008", "Poor R wave progression")
LONG_QT = _cinc("111975006", "Prolonged QT interval", "LNGQT")
SHORT_QT = _cinc("77867006", "Decreased QT interval")
Q_WAVE_ABNORMAL = _cinc("164917005", "Q wave abnormal", "QWAVE")
T_INVERSION = _cinc("59931005", "T wave inversion", "INVT")
WENCKEBACH = _cinc("54016002", "Mobitz type I Wenckebach atrioventricular block")
MOBITZ_2 = _cinc("426183003", "Mobitz type II atrioventricular block")
BRUGADA = _cinc("418818005", "Brugada")
EARLY_REPOLARISATION = _cinc("428417006", "Early repolarization")
FRAGMENTED_QRS = _cinc("164942001", "fQRS wave")
LVH = _cinc("164873001", "Left ventricular hypertrophy", "LVH")
RVH = _cinc("89792004", "Right ventricular hypertrophy", "RVH")
LEFT_ATRIAL = _cinc("253352002", "Left atrial abnormality", "LAO/LAE")
RIGHT_ATRIAL = _cinc("253339007", "Right atrial abnormality", "RAO/RAE")
LEADS_REVERSED = _cinc("251139008", "Suspect arm ECG leads reversed")
IDIOVENTRICULAR = _cinc("49260003", "Idioventricular rhythm")
BIGEMINY = _cinc("11157007", "Ventricular bigeminy")
TRIGEMINY = _cinc("251180001", "Ventricular trigeminy")
COUPLET = _cinc("251182009", "Paired ventricular premature complexes")
AF_BURDEN = own("AF-BURDEN", "Share of analysable time in atrial fibrillation", "%")
ANALYSABLE = own("ANALYSABLE-TIME", "Analysable time", "min")
EXTREME_AXIS = own("AXIS-EXTREME", "Extreme axis deviation")
HIGH_GRADE_BLOCK = own("AVB-HIGH-GRADE", "High-grade atrioventricular block")
BIFASCICULAR = own("BIFASCICULAR", "Bifascicular block")
PAUSE = own("PAUSE", "Pause of the ventricles")
NARROW_TACHYCARDIA = own("TACHY-NARROW", "Narrow-complex tachycardia")
WIDE_TACHYCARDIA = own("TACHY-WIDE", "Wide-complex tachycardia")
WIDE_DIFFERENTIAL = own("TACHY-WIDE-STEP", "Step in the differential of a wide-complex tachycardia")
ISCHAEMIA_IN_BLOCK = own("ST-IN-LBBB", "ST criteria in left bundle branch block or pacing")
POSTERIOR_INFARCTION = own("TALL-R-V1", "Tall R in V1 and V2 of a prior posterior infarction")
LOOK_NOW = own("LOOK-NOW", "To be looked at first; Carna is no alarm")
CHEST_LEADS_EXCHANGED = own("CHEST-EXCHANGED", "Suspect chest ECG leads exchanged")
# 11073's annotations have no word for a captured beat, nor for the summit of a wave.
PACED_BEAT = own("PACED-BEAT", "Paced beat")
P_PEAK = own("P-PEAK", "Peak of the P wave")
QRS_PEAK = own("QRS-PEAK", "Peak of the QRS complex")
T_PEAK = own("T-PEAK", "Peak of the T wave")
SECOND_OPINION = own("SECOND-OPINION", "Agreement of the rules with a second opinion by a tree model")
SINCE_EARLIER = own("SINCE-EARLIER", "Time since the earlier electrocardiogram", "d")
_SINCE = "change since the earlier ECG"
# What a comparison of two electrocardiograms speaks of, by its name in `carna.ecg.criteria.serial`.
CHANGES: Mapping[str, Concept] = MappingProxyType(
    {
        "rate": own("CHANGE-RATE", f"Ventricular rate, {_SINCE}", "/min"),
        "PR": own("CHANGE-PR", f"PR interval, {_SINCE}", "ms"),
        "QRS": own("CHANGE-QRS", f"QRS duration, {_SINCE}", "ms"),
        "QT": own("CHANGE-QT", f"QT interval, {_SINCE}", "ms"),
        "QTc": own("CHANGE-QTC", f"QTc (Fridericia), {_SINCE}", "ms"),
        "axis": own("CHANGE-AXIS", f"QRS axis, {_SINCE}", "deg"),
        "ST": own("CHANGE-ST", f"ST at J, {_SINCE}", "mV"),
        "atrial fibrillation": own("CHANGE-AF", f"Atrial fibrillation, {_SINCE}"),
        "left bundle branch block": own("CHANGE-LBBB", f"Left bundle branch block, {_SINCE}"),
        "right bundle branch block": own("CHANGE-RBBB", f"Right bundle branch block, {_SINCE}"),
        "left anterior fascicular block": own("CHANGE-LAFB", f"Left anterior fascicular block, {_SINCE}"),
        "left posterior fascicular block": own("CHANGE-LPFB", f"Left posterior fascicular block, {_SINCE}"),
        "first-degree AV block": own("CHANGE-AVB1", f"First-degree AV block, {_SINCE}"),
        "Q waves of prior infarction": own("CHANGE-Q", f"Q waves, {_SINCE}"),
        "ST elevation": own("CHANGE-STE", f"ST elevation, {_SINCE}"),
        "ST depression": own("CHANGE-STD", f"ST depression, {_SINCE}"),
        "T inversion": own("CHANGE-T", f"T inversion, {_SINCE}"),
    }
)


def every() -> Mapping[str, Concept]:
    """Return every concept of this page by its name."""
    named = {name: value for name, value in globals().items() if isinstance(value, Concept)}
    return MappingProxyType(named | {f"CHANGE {name}": value for name, value in CHANGES.items()})


def by_criterion() -> Mapping[str, Concept]:
    """Return the code of each criterion of `carna.ecg.criteria`, by the criterion's name."""
    from carna import codes

    left = "left ventricular hypertrophy"
    right = "right ventricular hypertrophy"
    return MappingProxyType(
        {
            "sinus rhythm": codes.SINUS_RHYTHM,
            "sinus bradycardia": codes.SINUS_BRADYCARDIA,
            "sinus bradycardia (< 50/min)": codes.SINUS_BRADYCARDIA,
            "sinus tachycardia": codes.SINUS_TACHYCARDIA,
            "sinus arrhythmia": codes.SINUS_ARRHYTHMIA,
            "atrial fibrillation": codes.ATRIAL_FIBRILLATION,
            "atrial flutter": codes.ATRIAL_FLUTTER,
            "ventricular ectopic beats": codes.PVC,
            "supraventricular ectopic beats": codes.APC,
            "pause of 3 s": PAUSE,
            "ventricular tachycardia": codes.VT,
            "sustained ventricular tachycardia": codes.VT,
            "left axis deviation": LEFT_AXIS,
            "right axis deviation": RIGHT_AXIS,
            "extreme axis deviation": EXTREME_AXIS,
            "first-degree AV block": codes.AV_BLOCK_1,
            "first-degree AV block (Minnesota 6-3)": codes.AV_BLOCK_1,
            "second-degree AV block": codes.AV_BLOCK_2,
            "second-degree AV block, Wenckebach": WENCKEBACH,
            "second-degree AV block, Mobitz II": MOBITZ_2,
            "high-grade AV block": HIGH_GRADE_BLOCK,
            "third-degree AV block": codes.AV_BLOCK_3,
            "left bundle branch block": codes.LBBB,
            "left bundle branch block (Strauss)": codes.LBBB,
            "incomplete left bundle branch block": codes.INCOMPLETE_LBBB,
            "right bundle branch block": codes.RBBB,
            "incomplete right bundle branch block": codes.INCOMPLETE_RBBB,
            "left anterior fascicular block": codes.LAFB,
            "left posterior fascicular block": codes.LPFB,
            "bifascicular block": BIFASCICULAR,
            "nonspecific intraventricular conduction delay": codes.IVCD,
            "paced rhythm": PACED_RHYTHM,
            "ventricular pre-excitation": codes.PREEXCITATION,
            "narrow-complex tachycardia": NARROW_TACHYCARDIA,
            "wide-complex tachycardia": WIDE_TACHYCARDIA,
            **{f"Brugada step {n}": WIDE_DIFFERENTIAL for n in range(1, 5)},
            **{f"Vereckei aVR step {n}": WIDE_DIFFERENTIAL for n in range(1, 5)},
            **{
                f"{left} ({rule})": LVH
                for rule in (
                    *("Sokolow-Lyon", "Cornell voltage", "Cornell product", "Peguero-Lo Presti"),
                    *("R aVL", "R I + S III", "Romhilt-Estes"),
                )
            },
            **{f"{right} ({rule})": RVH for rule in ("R V1", "R V1 + S V5 or V6", "axis")},
            "left atrial abnormality (P terminal force)": LEFT_ATRIAL,
            "left atrial abnormality (P duration)": LEFT_ATRIAL,
            "right atrial abnormality": RIGHT_ATRIAL,
            "low voltage, limb leads": LOW_VOLTAGE,
            "low voltage, chest leads": LOW_VOLTAGE,
            "ST elevation": codes.ST_ELEVATION,
            "ST elevation, posterior leads": codes.ST_ELEVATION,
            "ST elevation, right leads": codes.ST_ELEVATION,
            "ST depression": codes.ST_DEPRESSION,
            "T inversion": T_INVERSION,
            "Sgarbossa criteria": ISCHAEMIA_IN_BLOCK,
            "modified Sgarbossa criteria (Smith)": ISCHAEMIA_IN_BLOCK,
            "Q waves of prior infarction": Q_WAVE_ABNORMAL,
            "tall R of prior posterior infarction": POSTERIOR_INFARCTION,
            **{f"Q wave, Minnesota 1-{n}": Q_WAVE_ABNORMAL for n in (1, 2, 3)},
            "poor R progression": POOR_R_PROGRESSION,
            "fragmented QRS": FRAGMENTED_QRS,
            "QTc prolonged": LONG_QT,
            "QTc prolonged (480 ms)": LONG_QT,
            "QTc of 500 ms or more": LONG_QT,
            **{f"QTc short ({ms} ms)": SHORT_QT for ms in (390, 360, 320)},
            "Brugada type 1 pattern": BRUGADA,
            "early repolarisation": EARLY_REPOLARISATION,
        }
    )
