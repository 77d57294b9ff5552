"""Conduction velocity on a grid, its calibration, and the Niederer slab."""

import json

import numpy as np
import pytest

from carna.ep.cell import load
from carna.ep.tissue.conduction import calibrated, conduction, tune_conduction
from carna.ep.tissue.grid import cable, sheet
from carna.ep.tissue.niederer import ELEVEN_CODES, FAR_CORNER, POINTS, SOLUTION_MS, limit, niederer
from carna.ep.tissue.run import simulate
from carna.ep.tissue.stimulus import Stimulus
from carna.errors import InputError

FINE = np.array(SOLUTION_MS)


@pytest.fixture(scope="module")
def law(tmp_path_factory):
    return conduction(load("tt2006", "epi"), 0.02, cache=tmp_path_factory.mktemp("cache"))


def test_velocity_without_a_grid(law):
    """0.614 and 0.223 m/s: fine 1-D runs of order 4 by another code."""
    assert law.velocity([0.0953, 0.01258]) == pytest.approx([0.614, 0.223], rel=5e-3)
    assert law.diffusion(0.614) == pytest.approx(0.0953, rel=0.01)


@pytest.mark.parametrize(
    ("h", "along", "across"),
    [
        (0.10, 1.039, 1.284),
        (0.20, 1.177, 1.760),
        (0.25, 1.250, 2.031),
        (0.40, 1.490, 2.916),
        (0.50, 1.672, 3.554),
    ],
)
def test_multipliers_of_another_code(law, h, along, across):
    assert law.multiplier([0.0953, 0.01258], h) == pytest.approx([along, across], rel=0.01)


def test_it_is_kept_on_disk(tmp_path):
    model = load("tt2006", "epi")
    first = conduction(model, 0.05, cache=tmp_path)
    files = list(tmp_path.rglob("*.json"))
    assert len(files) == 1
    held = json.loads(files[0].read_text()) | {"c0": 7.0}
    files[0].write_text(json.dumps(held))
    assert conduction(model, 0.05, cache=tmp_path).c0 == 7.0
    assert first.c0 != 7.0


def test_a_tuned_cable_conducts_as_asked():
    model = load("tt2006", "epi")
    d, _, _ = tune_conduction(model, 0.4, (0.5, 0.2, 0.2))
    tissue = cable(20, 0.4, model, d)
    times = simulate(tissue, Stimulus(tissue.box((0, 0, 0), (9, 9, 2))), 50).activation_ms[0, 0]
    assert 8 / (times[40] - times[20]) == pytest.approx(0.5, rel=0.01)


def test_too_coarse_is_refused(law):
    with pytest.raises(InputError, match="still conducts"):
        law.multiplier(0.001, 1.0)


def plane(fibre_deg, front_deg, spacing=0.15, size=19.5):
    """Return the velocity, m/s, of a plane front through a calibrated sheet."""
    tissue = calibrated(sheet((size, size), spacing, load("tt2006", "epi"), (0.0953, 0.01258), fibre_deg))
    n = tissue.mask.shape[1]
    r, c = np.meshgrid(*[np.arange(n) * spacing - size / 2] * 2, indexing="ij")
    a = np.deg2rad(front_deg)
    along, beside = r * np.sin(a) + c * np.cos(a), r * np.cos(a) - c * np.sin(a)
    # So early that what the walls do to an oblique front has not come along the fibres yet.
    times = simulate(tissue, Stimulus((along < -2)[None]), 16).activation_ms[0]
    near = (np.abs(beside) < 1) & (along > 0) & (times < 14) & (along < 4)
    return 1 / np.polyfit(along[near], times[near], 1)[0]


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 35, 45])
def test_velocity_does_not_depend_on_the_angle_of_the_grid(degrees):
    assert plane(degrees, degrees) == pytest.approx(0.614, rel=0.03)
    assert plane(degrees, degrees + 90) == pytest.approx(0.2233, rel=0.03)


@pytest.mark.parametrize(("spacing", "dt"), [(0.5, 0.05), (0.2, 0.05)])
def test_niederer_uncorrected_is_inside_the_eleven_codes(spacing, dt):
    run = niederer(spacing, dt)
    mean, sd = np.array(ELEVEN_CODES[spacing]).T
    assert (np.abs(run.times_ms - mean) <= sd).all(), run.times_ms


@pytest.mark.slow
def test_niederer_at_a_tenth_and_extrapolated():
    run = niederer(0.1, 0.02, end_ms=50)
    mean, sd = np.array(ELEVEN_CODES[0.1]).T
    assert (np.abs(run.times_ms - mean) <= sd).all(), run.times_ms


@pytest.mark.slow
def test_order_four_tends_to_the_solution():
    """The solution is the mean of this and of order 2 at spacings that take longer: half their difference."""
    spacing = (0.2, 0.125, 0.1)
    whole, order = limit(spacing, tuple(niederer(h, 0.01, order=4).times_ms for h in spacing))
    off = whole[1:] - FINE[1:]  # the first corner is in the stimulus: it does not depend on the spacing
    assert (np.abs(off) < 0.25).all(), off
    assert ((order[1:] > 1.8) & (order[1:] < 3.0)).all()
    assert whole[POINTS.index(FAR_CORNER)] == pytest.approx(42, abs=0.25)


def test_limit_finds_the_order_and_what_is_left_at_no_spacing():
    spacing = (0.2, 0.125, 0.1)
    times = tuple(np.array([42.0 + 80 * h**2, 8.0 + 30 * h**1.7, 5.0 - 9 * h**4, 3.0]) for h in spacing)
    found, order = limit(spacing, times)
    np.testing.assert_allclose(found[:3], [42, 8, 5], atol=1e-3)
    np.testing.assert_allclose(order[:3], [2, 1.7, 4], atol=1e-3)
    assert np.isnan(found[3])


@pytest.mark.slow
def test_order_two_and_order_four_have_one_limit():
    """A sheet with the slab's conduction: both orders close in on one time, neither at its own order."""
    from carna.ep.tissue.grid import diffusion

    bulk = diffusion((0.17, 0.019, 0.019), (0.62, 0.24, 0.24))
    spacing, found = (0.2, 0.1, 0.05), {}
    for order in (2, 4):
        times = []
        for h in spacing:
            tissue = sheet((7, 20), h, load("tt2006", "epi"), bulk[:2])
            stimulus = Stimulus(tissue.box((0, 0, 0), (9, 1.5, 1.5)), (0.0,), 2.0, 50.0 / 1.4)
            times.append(simulate(tissue, stimulus, 54, dt_ms=0.005, order=order).activation_ms[0, -1, -1])
        found[order] = limit(spacing, tuple(np.array([t]) for t in times))
    assert found[2][0][0] == pytest.approx(found[4][0][0], abs=0.15)
    assert 1.8 < found[2][1][0] < 2.6
    assert 2.2 < found[4][1][0] < 3.2


@pytest.mark.parametrize(("spacing", "share", "ms"), [(0.25, 0.05, 0.7), (0.5, 0.08, 1.5)])
@pytest.mark.parametrize("order", [2, 4])
def test_niederer_calibrated(spacing, share, ms, order):
    run = niederer(spacing, 0.02, calibrated=True, order=order)
    off = np.abs(run.times_ms - FINE)
    late = {p for p, far in zip(POINTS, off > np.maximum(share * FINE, ms), strict=True) if far}
    # Known: straight across the fibres, order 2 at 0.5 mm is 8.7 % late.
    assert late == ({(0.0, 7.0, 0.0)} if (spacing, order) == (0.5, 2) else set()), run.times_ms - FINE
