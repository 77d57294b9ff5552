"""Exchanged cables and electrodes: exact algebra, a virtual patient, real recordings exchanged on purpose."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carna.ecg import einthoven_residual, find_beats, lead_quality
from carna.ecg.delineate import delineate
from carna.ecg.integrity import CHEST, EXCHANGES, FLAT, LIMB, derive, exchanged, lead_integrity
from carna.ecg.median import Fiducials, MedianBeat, global_fiducials, median_beat
from carna.errors import InputError
from carna.phantom.ecg import LEADS, electrocardiogram

Beat = tuple[MedianBeat, Fiducials]


def read(ecg: np.ndarray, hz: float) -> Beat:
    beats = find_beats(ecg, hz).sample
    median = median_beat(ecg, hz, beats)
    assert median is not None
    return median, global_fiducials(delineate(ecg, hz, beats), median, hz)


@pytest.fixture(scope="module")
def person() -> np.ndarray:
    return np.asarray(electrocardiogram(70.0, noise_mv=0.01, seed=5).mv)


@pytest.fixture(scope="module")
def beat(person: np.ndarray) -> Beat:
    return read(person, 500.0)


def electrodes(ecg: np.ndarray, order: tuple[str, str, str]) -> np.ndarray:
    """Record again with the cables RA, LA, LL on the named electrodes: from potentials, independently."""
    one, two = ecg[0], ecg[1]
    at = {"RA": np.zeros_like(one), "LA": one, "LL": two, "RL": two}  # RA is the zero; RL is like LL
    old_mean = (at["RA"] + at["LA"] + at["LL"]) / 3
    ra, la, ll = (at[name] for name in order)
    mean = (ra + la + ll) / 3
    limb = [la - ra, ll - ra, ll - la, 1.5 * (ra - mean), 1.5 * (la - mean), 1.5 * (ll - mean)]
    return np.concatenate([np.stack(limb), ecg[6:] + old_mean - mean])


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("LA/RA", ("LA", "RA", "LL")),
        ("LA/LL", ("RA", "LL", "LA")),
        ("RA/LL", ("LL", "LA", "RA")),
        ("RA to LL to LA", ("LA", "LL", "RA")),
        ("RA to LA to LL", ("LL", "RA", "LA")),
        ("RA/RL", ("RL", "LA", "LL")),
        ("LA/RL", ("RA", "RL", "LL")),
        ("both arms with both legs", ("RL", "LL", "LA")),
    ],
)
def test_exchanges_are_what_the_potentials_say(
    person: np.ndarray, kind: str, order: tuple[str, str, str]
) -> None:
    assert np.allclose(exchanged(person, LEADS, kind), electrodes(person, order), atol=1e-12)


def test_no_exchange_breaks_einthoven(person: np.ndarray) -> None:
    for kind in (*EXCHANGES, *FLAT.values()):
        residual = einthoven_residual(exchanged(person, LEADS, kind), 500.0, LEADS)
        assert residual is None or residual.relative < 1e-5, kind


@pytest.mark.parametrize("pair", list(itertools.combinations(LIMB, 2)))
def test_limb_leads_follow_from_any_two(person: np.ndarray, pair: tuple[str, str]) -> None:
    rows = [LEADS.index(lead) for lead in pair]
    values, names = derive(person[rows], pair)
    assert set(names) == set(LIMB)
    for lead, row in zip(names, values, strict=True):
        assert np.allclose(row, person[LEADS.index(lead)], atol=1e-9), lead


def test_nothing_is_derived_from_one_limb_lead(person: np.ndarray) -> None:
    values, names = derive(person[:1], ("I",))
    assert names == ("I",)
    assert len(values) == 1
    with pytest.raises(InputError, match="one name per lead"):
        derive(person, ("I",))


def test_a_person_with_leads_in_place(beat: Beat) -> None:
    told = lead_integrity(*beat, LEADS)
    assert (told.limb, told.chest, told.suspicions) == ("not met", "not met", ())
    assert told.suspect == frozenset()


@pytest.mark.parametrize("kind", ["LA/RA", "RA/LL", "RA/RL", "LA/RL", "both arms with both legs"])
def test_limb_exchange_is_named(beat: Beat, kind: str) -> None:
    median, fiducials = beat
    told = lead_integrity(replace(median, mV=exchanged(median.mV, LEADS, kind)), fiducials, LEADS)
    assert told.limb == "met"
    assert [s.kind for s in told.suspicions if "V" not in s.kind] == [kind]
    assert {"I", "II", "III"} <= told.suspect


@pytest.mark.parametrize("kind", ["V1/V3", "V2/V5", "V3/V6", "V2/V4"])
def test_chest_exchange_is_named(beat: Beat, kind: str) -> None:
    median, fiducials = beat
    told = lead_integrity(replace(median, mV=exchanged(median.mV, LEADS, kind)), fiducials, LEADS)
    assert [s.kind for s in told.suspicions] == [kind]
    assert told.suspect == frozenset(kind.split("/"))


def test_dextrocardia_is_not_called_an_exchange(beat: Beat) -> None:
    # left and right swapped in the body: the limb leads of LA/RA, and the chest leads shrink from V1 to V6
    median, fiducials = beat
    mirrored = exchanged(median.mV, LEADS, "LA/RA")
    shrink = np.linspace(1.0, 0.2, 6)[:, None]
    # the right-sided view of a mirrored heart at V1 is that of V2, then ever further away from it
    mirrored[6:] = shrink * median.mV[LEADS.index("V2")]
    mirrored[LEADS.index("V6")] = 0.2 * mirrored[0] * np.ptp(median.mV[7]) / np.ptp(mirrored[0])
    told = lead_integrity(replace(median, mV=mirrored), fiducials, LEADS)
    assert "dextrocardia" in [s.kind for s in told.suspicions]
    assert "LA/RA" not in [s.kind for s in told.suspicions]


def test_all_channels_inverted_is_no_cable(beat: Beat) -> None:
    median, fiducials = beat
    told = lead_integrity(replace(median, mV=-median.mV), fiducials, LEADS)
    assert [s.kind for s in told.suspicions] == ["all channels inverted"]
    assert told.suspect == frozenset((*LIMB, *CHEST))


def test_without_p_waves_the_qrs_decides() -> None:
    ecg = electrocardiogram(80.0, rhythm="af", variability=0.2, noise_mv=0.01, seed=2).mv
    median, fiducials = read(ecg, 500.0)
    fiducials = replace(fiducials, p_on=None, p_off=None)
    assert lead_integrity(median, fiducials, LEADS).limb == "not met"
    swapped = replace(median, mV=exchanged(median.mV, LEADS, "LA/RA"))
    told = lead_integrity(swapped, fiducials, LEADS)
    assert [s.kind for s in told.suspicions] == ["LA/RA"]


def test_what_is_missing_is_not_assessable(beat: Beat) -> None:
    median, fiducials = beat
    limb_only = replace(median, mV=median.mV[:6], n=median.n[:6], noise_mV=median.noise_mV[:6])
    f = replace(fiducials, lead_ms=fiducials.lead_ms[:, :6], lead_sd_ms=fiducials.lead_sd_ms[:, :6])
    told = lead_integrity(limb_only, f, LIMB)
    assert (told.limb, told.chest) == ("not assessable", "not assessable")
    assert any("V6 or V5" in why for why in told.why)
    assert lead_integrity(median, fiducials, LEADS, paced=True).limb == "not assessable"
    assert lead_integrity(median, replace(fiducials, qrs_on=None), LEADS).limb == "not assessable"
    with pytest.raises(InputError, match="one name per lead"):
        lead_integrity(median, fiducials, LEADS[:3])


def test_quality_and_channels(person: np.ndarray, beat: Beat) -> None:
    ecg = person.copy()
    ecg[LEADS.index("V4")] = 0.0
    told = lead_integrity(*beat, LEADS, quality=lead_quality(ecg, 500.0))
    assert told.unusable == {"V4": "flat"}
    assert told.chest == "not assessable"
    assert told.channels == "not assessable"
    for swapped, expected in (([0, 1, 2], "not met"), ([0, 2, 1], "met")):
        ecg = person.copy()
        ecg[:3] = ecg[swapped]
        told = lead_integrity(*beat, LEADS, einthoven=einthoven_residual(ecg, 500.0, LEADS))
        assert told.channels == expected


@pytest.mark.data
@pytest.mark.slow
def test_real_recordings(data: Callable[[str], Path]) -> None:
    from carna.learn.ecg_statements import labelled

    tracings = [r.tracing for r in labelled(data("cinc2021-sample") / "cinc2021")]
    kept = found = 0
    for t in tracings:
        assert t is not None and t.median is not None and t.fiducials is not None and t.integrity is not None
        assert t.integrity.channels == "not met"
        kept += t.integrity.limb != "met"
        swapped = replace(t.median, mV=exchanged(t.median.mV, t.leads, "LA/RA"))
        found += lead_integrity(swapped, t.fiducials, t.leads).limb == "met"
    assert len(tracings) == 32
    assert kept == 32
    assert found == 32
    assert set(CHEST) <= set(tracings[0].leads)  # type: ignore[union-attr]
