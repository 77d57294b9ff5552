"""Twelve leads: electrodes, algebra, arrival times against a simulation, what pacing looks like."""

import numpy as np
import pytest

from carna import ep
from carna.errors import InputError
from carna.heart.activation import arrival, muscle, sinus_entries, stimuli
from carna.heart.anatomy import Anatomy
from carna.heart.axes import Axes
from carna.heart.leads import (
    LEADS,
    Template,
    axis_deg,
    ecg_of_arrival,
    electrodes,
    fields,
    qrs,
    templates,
    twelve,
)
from carna.heart.sites import ELECTRODES_LPS, pacing_sites
from carna.heart.ventricles import ventricles
from carna.signal import Signal


@pytest.fixture(scope="module")
def seen(heart):
    return fields(heart)


@pytest.fixture(scope="module")
def shape():
    return templates([ep.load("tt2006", "epi")], length_ms=420.0)


@pytest.fixture(scope="module")
def beats(heart, seen, shape):
    """Leads and last arrival by source."""
    tissue = muscle(heart)
    found = {}
    for source in (sinus_entries(heart), *pacing_sites(heart)):
        reached = arrival(tissue, source).ravel()[heart.at.where]
        name = getattr(source, "name", "sinus")
        found[name] = ecg_of_arrival(seen, reached, shape), float(reached.max())
    return found


def net(beat, last, lead):
    """Area over total area of a lead's QRS, -1 to 1."""
    begin, end = (round(t * beat.rate_hz / 1e3) for t in qrs(beat, last))
    v = beat.lead(lead)[begin:end]
    return v.sum() / np.abs(v).sum()


def test_electrodes_are_as_far_from_the_heart_as_on_the_chest(heart):
    at = electrodes(heart)
    index = np.stack(np.unravel_index(heart.at.where[::5000], heart.grid.shape), 1)
    engine = (index + 0.5) * np.array(heart.spacing_mm)
    world = heart.grid.to_world(index)
    for name, ((k, r, c),) in at.items():
        near = np.linalg.norm(engine - (k, r, c), axis=1)
        assert near == pytest.approx(np.linalg.norm(world - ELECTRODES_LPS[name], axis=1), abs=1e-6)


def test_the_chest_moves_with_the_base():
    default = Axes().base_lps
    there = Axes(base_lps=(default[0] + 100, default[1] - 50, default[2] + 7))
    a, b = ventricles(spacing_mm=1.5), ventricles(Anatomy(axes=there), spacing_mm=1.5)
    for name, (point,) in electrodes(a).items():
        assert electrodes(b)[name][0] == pytest.approx(point, abs=1e-6)


def test_einthoven_goldberger_wilson():
    rng = np.random.default_rng(0)
    names = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
    beat = twelve(Signal(rng.normal(size=(9, 5)), names, 500.0))
    lead = {n: beat.lead(n) for n in LEADS}
    assert lead["I"] + lead["III"] == pytest.approx(lead["II"], abs=1e-6)
    assert lead["aVR"] + lead["aVL"] + lead["aVF"] == pytest.approx(np.zeros(5), abs=1e-6)
    assert lead["aVF"] == pytest.approx((lead["II"] + lead["III"]) / 2, abs=1e-6)
    shifted = twelve(Signal(rng.normal(size=(9, 5)) * 0 + 7.0, names, 500.0))
    assert np.abs(shifted.values).max() < 1e-6


def test_a_uniform_heart_is_silent(heart, seen):
    assert np.abs(seen.sum(1)).max() < 1e-5 * np.abs(seen).sum(1).max()


def test_a_front_is_upright_where_it_runs(heart, seen):
    """Excited on one side of a plane, at rest on the other: the leads it runs towards are upright."""
    place = heart.points_lps
    v = 100.0 * (place[:, 0] < np.median(place[:, 0]))  # excited on the patient's right side
    front = dict(zip(LEADS, seen @ v, strict=True))
    assert front["I"] > 0 and front["V6"] > 0 and front["aVR"] < 0  # it runs to the left


def test_histogram_is_the_sum_over_voxels():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(12, 40)).astype(np.float32)
    late = rng.uniform(0, 60, 40)
    kinds = rng.integers(0, 2, 40)
    t = np.arange(0, 100, 0.5)
    bumps = np.stack([np.exp(-(((t - 35) / 9) ** 2)), np.exp(-(((t - 48) / 14) ** 2))])
    beat = ecg_of_arrival(weights, late, Template(bumps, 0.5, 2.0), kinds, end_ms=150)
    now = np.arange(300) * 0.5
    exact = np.zeros((12, 300))
    for i in range(40):
        exact += weights[:, i : i + 1] * np.interp(now - late[i] + 2.0, t, bumps[kinds[i]], left=0, right=0)
    assert beat.values == pytest.approx(exact, abs=0.02 * np.abs(exact).max())
    with pytest.raises(InputError, match="cell type 2"):
        ecg_of_arrival(weights, late, Template(bumps, 0.5, 2.0), kinds + 1)


def test_what_is_not_reached_rests(seen, heart, shape):
    nothing = ecg_of_arrival(seen, np.full(len(heart.at.where), np.inf), shape)
    assert np.abs(nothing.values).max() == 0


def test_paced_beats_are_wider_than_a_sinus_beat(beats):
    width = {name: np.diff(qrs(beat, last))[0] for name, (beat, last) in beats.items()}
    sinus = width.pop("sinus")
    assert 70 < sinus < 120
    assert min(width.values()) > 1.4 * sinus


def test_the_sinus_beat_is_dark_on_the_right_and_upright_on_the_left(beats):
    beat, last = beats["sinus"]
    assert net(beat, last, "V1") < -0.3 and net(beat, last, "V2") < 0
    assert net(beat, last, "V5") > 0.3 and net(beat, last, "I") > 0.3
    assert -45 < axis_deg(beat, last) < 90


def test_paced_morphology(beats):
    for name, lead, sign in (
        ("right apex", "V1", -1),  # away from the right ventricle: as in left bundle branch block
        ("right outflow", "V1", -1),
        ("right outflow", "aVF", 1),  # from above: inferior axis
        ("right apex", "aVF", -1),  # from below: superior axis
        ("17 apex", "aVF", -1),
        ("5 basal inferolateral", "V1", 1),  # from the left wall: as in right bundle branch block
        ("11 mid inferolateral", "V1", 1),
        ("5 basal inferolateral", "I", -1),
        ("12 mid anterolateral", "I", -1),
        ("1 basal anterior", "aVF", 1),
        ("10 mid inferior", "aVF", -1),
    ):
        beat, last = beats[name]
        assert sign * net(beat, last, lead) > 0.5, (name, lead)


def test_entries_lie_under_both_endocardia_and_begin_with_the_early_sites(heart):
    entries = sinus_entries(heart)
    labels = heart.labels[tuple(entries.index.T)]
    assert heart.mask[tuple(entries.index.T)].all()
    assert {int(n) for n in np.unique(labels)} == {1, 2, 3}
    assert entries.at_ms.min() < 3 and entries.at_ms.max() < 60
    fast = sinus_entries(heart, purkinje_m_s=5.0)
    assert fast.at_ms.max() < entries.at_ms.max()
    with pytest.raises(InputError, match="purkinje"):
        sinus_entries(heart, purkinje_m_s=50.0)


def test_stimuli_cover_the_entries_once_in_time(heart):
    entries = sinus_entries(heart)
    made = stimuli(heart, entries, within_ms=10.0)
    assert len(made) == len(np.unique(np.floor(entries.at_ms / 10)))
    covered = sum(s.where[tuple(entries.index.T)].astype(int) for s in made)
    assert covered.min() >= 1
    assert all((s.where & ~heart.mask).sum() == 0 for s in made)
    with pytest.raises(InputError, match="radius_mm"):
        stimuli(heart, entries, radius_mm=0.1)


@pytest.mark.slow
def test_leads_of_arrival_are_those_of_a_simulation():
    """A small heart, paced: leads of the monodomain run beside those of its own activation times."""
    heart = ventricles(Anatomy(lv_ml=60, rv_ml=70, lv_wall_mm=6), spacing_mm=0.6)
    bare = ep.organ(
        heart.mask, heart.spacing_mm, ep.load("tt2006", "epi"), (0.0953, 0.0126, 0.0126), heart.fibres
    )
    site = pacing_sites(heart)[11]
    run = ep.simulate(
        ep.calibrated(bare, dt_ms=0.05),
        stimuli(heart, site),
        150.0,
        dt_ms=0.05,
        multirate=ep.Multirate(),
        record=[ep.Activation(), ep.Leads(electrodes(heart), every_ms=0.5, source=bare)],
    )
    whole = twelve(run.leads).values
    reached = run.activation_ms.ravel()[heart.at.where]
    alone = ecg_of_arrival(fields(heart), reached, templates([ep.load("tt2006", "epi")]), end_ms=150.0).values
    # Sample n of a run is taken half a millisecond later.
    a, b = whole[:, 20:-1], alone[:, 21:]
    for n, lead in enumerate(LEADS):
        assert np.corrcoef(a[n], b[n])[0, 1] > 0.98, lead
    assert np.sqrt(((a - b) ** 2).mean()) < 0.1 * np.sqrt((a**2).mean())
