"""Lead names: only those that mean one lead are translated."""

from __future__ import annotations

import pytest

from carna.codes import LEADS
from carna.doors.ecg.leads import (
    STANDARD,
    canonical,
    distinct,
    from_scp,
    is_other_signal,
    millivolts,
    scp_number,
)


@pytest.mark.parametrize(
    ("sent", "lead"),
    [
        ("i", "I"),
        ("II", "II"),
        ("Lead III", "III"),
        ("AVR", "aVR"),
        ("avl", "aVL"),
        ("aVF.", "aVF"),
        ("MDC_ECG_LEAD_V1", "V1"),
        ("ECG V6", "V6"),
        ("v3r", "V3R"),
        ("vx", "X"),
        ("MDC_ECG_LEAD_VZ", "Z"),
        ("DII", "II"),
        ("EKG_V2", "V2"),
        (" V9 ", "V9"),
    ],
)
def test_a_name_that_means_one_lead(sent: str, lead: str) -> None:
    assert canonical(sent) == lead


@pytest.mark.parametrize("sent", ["MLII", "CM5", "ECG", "ECG1", "D3", "V", "V10", "-aVR", "VI", "", "lead"])
def test_a_name_that_means_no_standard_lead(sent: str) -> None:
    assert canonical(sent) is None


def test_every_standard_lead_has_its_code_and_keeps_its_name() -> None:
    assert all(canonical(name) == name for name in STANDARD)
    assert all(name in LEADS for name in STANDARD)


def test_names_become_distinct() -> None:
    assert distinct(["ECG", "ECG", "avr", "AVR", ""]) == ("ECG", "ECG 2", "aVR", "aVR 2", "lead")


def test_numbers_are_those_of_dicom() -> None:
    for name, concept in LEADS.items():
        assert concept.value == f"2:{scp_number(name)}"
        assert from_scp(scp_number(name)) == name


@pytest.mark.parametrize("name", ["RESP", "PLETH", "ABP", "EEG Fpz-Cz", "SpO2", "Resp nasal", "BP"])
def test_other_signals(name: str) -> None:
    assert is_other_signal(name)


@pytest.mark.parametrize("name", ["ECG", "MLII", "V1", "ECG1", "CM5", "chest lead", "aVR"])
def test_no_other_signals(name: str) -> None:
    assert not is_other_signal(name)


def test_units() -> None:
    assert [millivolts(u) for u in ("mV", "uV", "V", "microvolts", "nV")] == [1.0, 1e-3, 1e3, 1e-3, 1e-6]
    assert millivolts("mmHg") is None
