"""Every row of the vocabulary is read again at its source."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
from pydicom.sr._cid_dict import name_for_cid
from pydicom.sr._concepts_dict import concepts

from carna import codes, units
from carna.codes import ALL, Concept
from carna.errors import InputError

# scheme -> keyword -> code -> (meaning, context groups)
dictionary = cast("dict[str, dict[str, dict[str, tuple[str, list[int]]]]]", concepts)

# Codes that no standard known to the project has. A new one is an argument to have, so the list is exact.
OURS = {
    "QTC-FRAMINGHAM", "QTC-HODGES", "SDNN", "RMSSD", "SIGNAL-QUALITY", "SIGNAL-TO-NOISE", "RHYTHM-REG",
    "REGULAR-RHYTHM", "TACHYCARDIA", "LV-CAVITY", "RV-CAVITY", "RV-MYOCARDIUM", "LV-EDV-INDEX",
    "LV-ESV-INDEX", "RV-EDV-INDEX", "RV-ESV-INDEX", "LV-MASS-INDEX", "TIME-TO-ES", "MOTION-ENERGY",
    "BRIGHT-BLOOD", "PLACE-SURE", "FRAME-NUMBER", "FFR-COMPUTED", "MIN-LUMEN-DIAM", "ACTIVATION-TIME",
    "EP-APD90-CHANGE", "EP-CHARGE-CHANGE", "EP-DRUG-CLASS", "EP-REENTRY", "EP-CIRCUIT", "EP-UNPLACED",
    "EP-CYCLE",
    "EP-ISTHMUS", "EP-ISTHMUS-OPEN", "EP-SITES", "EP-ENSEMBLE", "SCAR-GREY-ZONE",
    "FFR-DROP", "FFR-IF-OPEN", "FFR-LOW", "PPG-COMPUTED", "PDPA-COMPUTED", "PDPA-IF-OPEN", "PDPA-LOW",
    "ANEURYSM-SAC", "NECK-AREA", "SAC-SPEED", "SAC-INFLOW", "SAC-TURNOVER",
    "PRESSURE-DROP", "IMR", "STENOTIC-SEGMENT", "LESION-PLACE", "FLOW-APPLICABLE",
    "LOCAL-ACT-TIME", "COND-VELOCITY", "APD90", "SYNTHETIC", "CRITERIA-MET", "CRITERIA-NOTMET",
    "NOT-ASSESSABLE", "BEATING-VENTR", "CHAMBERS-4CH", "CHAMBERS-2CH", "CHAMBERS-3CH",
    "LONGAX-TRUSTED", "LA-ESV-INDEX", "EJECTED-BY-SLICE", "LA-VOLUME",
        "LA-VOLUME-LGE",
    "RV-STROKE-VOL", "VENTR-COVERED", "OUTLINE-TRUSTED", "IN-REFERENCE",
    "LV-VOLUME", "RV-VOLUME", "PREDICTED-DICE",
    "ECHO-OUTLINES", "LV-APICAL-AREA", "ECHO-MEASURABLE", "ECHO-PROVEN",
    "FOUR-CHAMBERS", "CHAMBER-VOLUME", "HEART-IN-VOLUME", "MODALITY-AGREES", "PHASE-KNOWN",
    "PEAK-CC-STRAIN", "PEAK-RR-STRAIN", "TORSION-EST",
    "SCAR-MASS", "GREY-ZONE-MASS", "SCAR-SHARE", "SCAR-THRESHOLD", "SCAR-DEPTH", "SCAR-APPLICABLE",
    "LV-ENDO-SURFACE", "LV-EPI-SURFACE", "RV-ENDO-SURFACE",
    "LV-SURFACE-EDV", "LV-SURFACE-ESV", "RV-SURFACE-EDV", "RV-SURFACE-ESV", "LV-SURFACE-WALL",
    "SURFACE-TO-LEFT", "SURFACE-TO-BACK", "SURFACE-TO-HEAD",
    "SHAPE-DISTANCE", "SHAPE-BEYOND", "SLICE-SHIFT", "OUTLINE-REPAIRED",
}  # fmt: skip

# Rows outside pydicom's dictionary that come from templates of DICOM PS3.16, written down a second time here.
TEMPLATES = {
    ("MDC", "2:16016"): ("TID 3713", "ventricular heart rate"),
    ("MDC", "2:16020"): ("TID 3713", "atrial heart rate"),
    ("MDC", "2:16032"): ("TID 3713", "count of all beats"),
    ("MDC", "10:11345"): ("TID 3708", "lead system"),
    ("LN", "18810-2"): ("TID 3719", "ecg overall finding"),
}
# The laboratory and the body, likewise; the data test below reads them in real files.
SYNTHEA = {
    "8302-2": "body height", "29463-7": "body weight", "39156-5": "body mass index", "38483-4": "creatinine",
    "6298-4": "potassium", "2947-0": "sodium", "49765-1": "calcium",
    "718-7": "hemoglobin [mass/volume] in blood",

}  # fmt: skip

# Equal codes: the label of the PhysioNet/CinC 2021 diagnosis map.
CINC = {
    "426783006": "SINUS_RHYTHM", "426177001": "SINUS_BRADYCARDIA", "427084000": "SINUS_TACHYCARDIA",
    "427393009": "SINUS_ARRHYTHMIA", "426627000": "BRADYCARDIA", "164889003": "ATRIAL_FIBRILLATION",
    "164890007": "ATRIAL_FLUTTER", "713422000": "ATRIAL_TACHYCARDIA", "426761007": "SVT",
    "164895002": "VT", "164896001": "VF", "164909002": "LBBB",
    "733534002": "LBBB", "713427006": "RBBB", "713426002": "INCOMPLETE_RBBB",
    "445118002": "LAFB", "445211001": "LPFB",
    "698252002": "IVCD", "63593006": "APC",
    "427172004": "PVC", "17338001": "PVC",
    "164931005": "ST_ELEVATION", "429622005": "ST_DEPRESSION",
}  # fmt: skip
# Equal codes: LOINC of the clinical test value set of HL7 US Core.
US_CORE = {
    "8625-6": "PR_INTERVAL", "8633-0": "QRS_DURATION", "8634-8": "QT_INTERVAL", "8636-3": "QTC_INTERVAL",
    "8626-4": "P_AXIS", "8632-2": "QRS_AXIS", "8638-9": "T_AXIS", "11524-6": "ECG_REPORT",
}  # fmt: skip


def _squeeze(words: str) -> str:
    """Return the words as compared: no case, no SNOMED tag, one spelling of the man from Bergen."""
    tag = r" \((body structure|observable entity|finding|disorder|qualifier value|attribute|function)\)$"
    words = re.sub(tag, "", words.lower()).replace("fredericia", "fridericia")
    return re.sub(r"[^a-z0-9%]+", " ", words).strip()


def _look_up(scheme: str, value: str) -> dict[str, set[int]]:
    """Return the meanings pydicom prints for a code, each with its context groups."""
    out: dict[str, set[int]] = {}
    for entry in dictionary.get(scheme, {}).values():
        for code, (meaning, groups) in entry.items():
            if code.replace(" ", "") == value:
                out.setdefault(_squeeze(meaning), set()).update(groups)
    return out


PYDICOM = [name for name, row in ALL.items() if "pydicom" in row.source]


@pytest.mark.parametrize("name", PYDICOM)
def test_row_stands_in_dicom_dictionary(name: str) -> None:
    row = ALL[name]
    found = _look_up(row.scheme, row.value)
    assert _squeeze(row.meaning) in found, f"{row} is printed as {sorted(found)}"
    group = re.search(r"CID (\d+)", row.source)
    groups = set().union(*found.values())
    if group:
        assert int(group[1]) in name_for_cid
        assert int(group[1]) in groups


def test_every_row_has_a_source_that_was_read() -> None:
    for name, row in ALL.items():
        if name in PYDICOM:
            continue
        if row.scheme == "99CARNA":
            assert row.source == "Carna", name
        elif "Synthea" in row.source:
            assert row.scheme == "LN", name
            assert SYNTHEA[row.value] == row.meaning.lower(), name
        else:
            template, meaning = TEMPLATES[row.scheme, row.value]
            assert template in row.source, name
            assert meaning == row.meaning.lower(), name


def test_own_codes_are_exactly_the_stated_ones() -> None:
    assert {row.value for row in ALL.values() if row.scheme == "99CARNA"} == OURS


def test_own_meanings_are_not_in_the_dictionary() -> None:
    printed = {
        _squeeze(meaning)
        for scheme in ("SCT", "LN", "DCM", "MDC", "RADLEX")
        for entry in dictionary[scheme].values()
        for meaning, _ in entry.values()
    }
    for row in ALL.values():
        if row.scheme == "99CARNA":
            assert _squeeze(row.meaning) not in printed, f"{row} has a standard code"


def test_one_name_for_each_code() -> None:
    twice = [code for code, n in Counter((r.scheme, r.value) for r in ALL.values()).items() if n > 1]
    assert not twice


def test_an_equal_code_belongs_to_one_concept() -> None:
    own = {(r.scheme, r.value) for r in ALL.values()}
    equal = Counter(code for r in ALL.values() for code in r.also)
    assert not [code for code, n in equal.items() if n > 1 or code in own]


def test_equal_codes_were_read() -> None:
    seen: set[str] = set()
    for name, row in ALL.items():
        for scheme, value in row.also:
            seen.add(value)
            if scheme == "MDC" and value.isdigit():
                partition, code = row.value.split(":")
                assert int(value) == int(partition) * 65536 + int(code), name
            elif not _look_up(scheme, value):
                assert (CINC if scheme == "SCT" else US_CORE)[value] == name, (scheme, value)
    assert seen > CINC.keys() | US_CORE.keys()


def test_numbers_of_leads_in_11073() -> None:
    # The numbers FHIR lists for leads I, V6, Z and III.
    numbers = {"I": "131073", "V6": "131080", "Z": "131090", "III": "131133"}
    for name, number in numbers.items():
        assert codes.find("MDC", number) == codes.lead(name)


def test_check_digit_of_loinc() -> None:
    values = [r.value for r in ALL.values() if r.scheme == "LN"]
    values += [value for r in ALL.values() for scheme, value in r.also if scheme == "LN"]
    wrong = set()
    for body, check in (value.split("-") for value in values):
        total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(body)))
        if int(check) != -total % 10:
            wrong.add(f"{body}-{check}")
    assert wrong == {"11524-0"}  # as DICOM prints it
    assert len(values) > 40


def _verhoeff(number: str) -> int:
    """Return 0 for a number whose last digit is its check digit in the dihedral group of order 10."""
    permute = [list(range(10))]
    for _ in range(7):
        permute.append([[1, 5, 7, 6, 2, 8, 3, 0, 9, 4][i] for i in permute[-1]])
    check = 0
    for place, digit in enumerate(reversed(number)):
        step = permute[place % 8][int(digit)]
        turn = check % 5 + step % 5 if check < 5 else check % 5 - step % 5
        check = turn % 5 + 5 * ((check < 5) != (step < 5))
    return check


def test_check_digit_of_snomed() -> None:
    values = [r.value for r in ALL.values() if r.scheme == "SCT"]
    values += [value for r in ALL.values() for scheme, value in r.also if scheme == "SCT"]
    assert len(values) > 100
    assert not [value for value in values if _verhoeff(value)]
    assert _verhoeff("80891008")  # heart, last digit broken


def test_units_are_ucum() -> None:
    for name, row in ALL.items():
        if row.unit:
            assert units.dimension(row.unit) is not None, name
    assert ALL["LV_EDV"].unit == "mL"
    assert ALL["QTC_INTERVAL"].unit == "ms"
    assert units.convert(1.0, ALL["HEART_RATE"].unit, "Hz") == pytest.approx(1 / 60)


def test_lengths_fit_dicom() -> None:
    for name, row in ALL.items():
        assert 0 < len(row.value) <= 16, name
        assert 0 < len(row.meaning) <= 64, name


def test_equality_is_scheme_and_value() -> None:
    bare = Concept("49436004", "SCT", "other words")
    assert bare == codes.ATRIAL_FIBRILLATION
    assert hash(bare) == hash(codes.ATRIAL_FIBRILLATION)
    assert bare != Concept("49436004", "DCM", "other words")
    assert str(codes.HEART) == "Heart (80891009, SCT)"


def test_find() -> None:
    assert codes.find("SCT", "80891009") is codes.HEART
    assert codes.find("SCT", "164889003") is codes.ATRIAL_FIBRILLATION
    assert codes.find("SCT", "733534002") is codes.LBBB
    assert codes.find("LN", "8634-8") is codes.QT_INTERVAL
    assert codes.find("SCT", "0") is None
    assert all(codes.find(row.scheme, row.value) is row for row in ALL.values())


def test_by_name() -> None:
    assert codes.by_name("HEART_RATE") is codes.HEART_RATE
    assert codes.by_name("LEAD_AVR") is codes.lead("aVR")
    assert codes.by_name("AHA_17") is codes.AHA17[16]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in ALL)
    with pytest.raises(InputError, match="no concept is named 'heart_rate'"):
        codes.by_name("heart_rate")


def test_leads() -> None:
    twelve = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert set(twelve) | {"V3R", "V4R", "V7", "V8", "V9", "X", "Y", "Z"} == set(codes.LEADS)
    for name in codes.LEADS:
        assert codes.lead(name.upper()) is codes.lead(name.lower()) is codes.LEADS[name]
        assert name.lower() in codes.lead(name).meaning.lower()
    with pytest.raises(InputError, match="MLII"):
        codes.lead("MLII")


def test_aha17_is_in_the_order_of_the_bulls_eye() -> None:
    ring = ["anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral"]
    expected = [f"basal {wall}" for wall in ring] + [f"mid {wall}" for wall in ring]
    expected += [f"apical {wall}" for wall in ["anterior", "septal", "inferior", "lateral"]]
    assert [row.meaning.removeprefix("left ventricle ") for row in codes.AHA17[:16]] == [
        f"{place} segment" for place in expected
    ]
    assert "Apex" in codes.AHA17[16].meaning
    assert len(codes.AHA17) == 17


def test_absence_reasons_are_qualifiers() -> None:
    assert codes.CID42["not attempted"].value == "114007"
    assert codes.CID42["failed"].value == "114006"
    assert codes.CID42["unknown"].value == "114010"
    for row in codes.CID42.values():
        assert any(42 in groups for groups in _look_up("DCM", row.value).values())


def test_system_uri() -> None:
    assert codes.system_uri("SCT") == "http://snomed.info/sct"
    assert codes.system_uri("99CARNA") == "urn:carna:codes"
    assert {codes.system_uri(row.scheme) for row in ALL.values()}
    with pytest.raises(InputError, match="SRT"):
        codes.system_uri("SRT")


def test_import_is_light() -> None:
    program = "import sys, carna.codes; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert not {"numpy", "pydicom", "scipy"} & set(loaded.split())


@pytest.mark.data
def test_laboratory_codes_in_synthetic_patients(data) -> None:  # type: ignore[no-untyped-def]
    folder: Path = data("fhir-synthea")
    text = "".join(path.read_text() for path in sorted(folder.rglob("*.json")))
    shown = {
        (match["code"], match["display"].lower())
        for match in (
            json.loads(m) for m in re.findall(r'\{[^{}]*"system":\s*"http://loinc.org"[^{}]*\}', text)
        )
        if "display" in match
    }
    for value, meaning in SYNTHEA.items():
        assert (value, meaning) in shown
