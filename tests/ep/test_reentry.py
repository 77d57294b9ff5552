"""Re-entry against what must happen: rings, a channel through scar, its ablation, healthy tissue."""

import numpy as np
import pytest

from carna.ep.eikonal import arrival_times, medium
from carna.ep.reentry import Protocol, Restitution, Substrate, excitations, pace, screen
from carna.errors import InputError

HEALTHY = Restitution([0, 50, 100, 200, 400], [180, 210, 230, 250, 260], [0.5, 0.8, 0.9, 1, 1])
GREY = Restitution([0, 50, 100, 200, 400], [230, 260, 280, 300, 310], [0.5, 0.8, 0.9, 1, 1])


def ring(velocity=0.5, side=60):
    """A square ring one voxel wide with a stretch beside the site that stays refractory for longer."""
    mask = np.zeros((1, side, side), bool)
    mask[0, [0, -1]] = mask[0, :, [0, -1]] = True
    region = np.zeros(mask.shape, int)
    region[0, 0, 32:36] = 1
    tables = Restitution.constant(200), Restitution.constant(300)
    return Substrate(medium(mask, (1, 1, 1), velocity), region, tables), 4 * (side - 1)


def test_a_ring_re_enters_with_length_over_velocity():
    substrate, length = ring()
    blocked = pace(substrate, [(0, 0, 30)], (250,))
    assert blocked.captured
    assert blocked.sustained
    assert blocked.cycle_ms == pytest.approx(length / 0.5, rel=1e-3)
    assert blocked.circuit is not None
    assert blocked.circuit.cycle_ms == pytest.approx(length / 0.5, rel=0.02)
    # Once round: every side of the ring is on the path, and the front turned one way only.
    assert {0, 59} <= set(blocked.circuit.path[:, 1]) & set(blocked.circuit.path[:, 2])
    assert (np.diff(blocked.circuit.times_ms) > 0).all()


def test_every_voxel_of_the_ring_is_excited_once_a_lap():
    substrate, length = ring()
    times, voxels = excitations(substrate, [(0, 0, 30)], (250,), 2.5 * length / 0.5)
    here = times[(voxels == (0, 30, 59)).all(axis=1)]
    np.testing.assert_allclose(np.diff(here), length / 0.5, rtol=1e-3)
    assert len(here) in (2, 3)
    assert (np.diff(times) >= 0).all()
    assert times[0] == pytest.approx(0)


def test_tissue_that_nothing_reaches_is_no_matter():
    """An island in the ring is never excited; its infinite times stay out of the cycle."""
    substrate, length = ring()
    mask = substrate.tissue.mask.copy()
    mask[0, 30, 30] = True
    with_island = Substrate(medium(mask, (1, 1, 1), 0.5), substrate.region, substrate.tables)
    assert pace(with_island, [(0, 0, 30)], (250,)).cycle_ms == pytest.approx(length / 0.5, rel=1e-3)


def test_without_one_way_block_the_fronts_meet_and_die():
    substrate, length = ring()
    late = pace(substrate, [(0, 0, 30)], (320,))
    assert late.captured
    assert not late.sustained
    assert late.lasted_ms == pytest.approx(length / 2 / 0.5, rel=0.02)
    assert late.circuit is None
    assert late.cycle_ms is None


def test_a_front_faster_than_recovery_cannot_go_round():
    """Wavelength (speed x refractory time) longer than the ring: no re-entry."""
    substrate, _ = ring(velocity=1.3)
    assert not pace(substrate, [(0, 0, 30)], (250,)).sustained


def test_an_early_stimulus_is_blocked():
    substrate, _ = ring()
    early = pace(substrate, [(0, 0, 30)], (190,))
    assert not early.captured
    assert not early.sustained


def channel(*, ablated=False, scar=True, grey=True):
    """A sheet with two slabs of scar and a slow channel between them."""
    mask = np.ones((1, 100, 100), bool)
    region = np.zeros(mask.shape, int)
    if scar:
        mask[0, 30:46, 30:70] = mask[0, 54:70, 30:70] = False
    if grey:
        region[0, 46:54, 30:70] = 1
    velocity = np.where(region == 1, 0.15, 0.5)
    if ablated:
        mask[0, 44:56, 48:52] = False
    return Substrate(medium(mask, (1, 1, 1), velocity), region, (HEALTHY, GREY)), velocity


def test_a_slow_channel_through_scar_re_enters_as_a_figure_of_eight():
    substrate, _ = channel()
    found = screen(substrate, {"left": [(0, 50, 10)]})[-1]
    assert found.sustained
    assert found.couplings_ms == (290.0,)
    circuit = found.circuit
    assert circuit is not None
    assert found.cycle_ms == pytest.approx(circuit.cycle_ms, rel=0.02)
    # Right to left through the channel, and the exit at its left mouth; the isthmus inside it.
    inside = (circuit.path[:, 1] > 45) & (circuit.path[:, 1] < 54) & (circuit.path[:, 2] > 30)
    assert (np.diff(circuit.path[inside & (circuit.path[:, 2] < 69), 2]) <= 0).all()
    assert (circuit.isthmus[:, 1] >= 46).all()
    assert (circuit.isthmus[:, 1] <= 53).all()
    assert abs(int(circuit.exit_site[2]) - 30) <= 3
    # Slow 40 mm and a fast way back around one slab.
    assert circuit.cycle_ms == pytest.approx(40 / 0.15 + (2 * 18 + 42) / 0.5, rel=0.1)


def test_ablating_the_isthmus_ends_it():
    substrate, velocity = channel()
    found = screen(substrate, {"left": [(0, 50, 10)]})[-1]
    assert found.circuit is not None
    burnt = np.zeros((1, 100, 100), bool)
    burnt[tuple(found.circuit.isthmus.T)] = True
    after = screen(substrate.without(burnt, velocity), {"left": [(0, 50, 10)]})
    assert not any(o.sustained for o in after)


@pytest.mark.parametrize("kind", [{"scar": False, "grey": False}, {"grey": False}, {"ablated": True}])
def test_tissue_without_a_channel_of_its_own_never_re_enters(kind):
    sites = {"left": [(0, 50, 10)], "below": [(0, 90, 50)]}
    outcomes = screen(channel(**kind)[0], sites, Protocol(step_ms=20))
    assert len(outcomes) > 20
    assert not any(o.sustained for o in outcomes)


def test_the_same_answer_every_time():
    one, other = (screen(channel()[0], {"left": [(0, 50, 10)]})[-1] for _ in range(2))
    assert one.cycle_ms == other.cycle_ms
    np.testing.assert_array_equal(one.circuit.path, other.circuit.path)


def test_the_first_beat_arrives_as_the_eikonal_says():
    """One wave in resting tissue is the first-order arrival map."""
    from carna.ep.reentry.automaton import advance, stimulate
    from carna.ep.reentry.state import fresh

    rng = np.random.default_rng(0)
    shape = (12, 20, 25)
    turn = np.radians(np.linspace(-60, 60, 12))
    fibres = np.zeros((*shape, 3))
    fibres[..., 1], fibres[..., 2] = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
    tissue = medium(rng.random(shape) > 0.1, (1, 1, 1), (0.6, 0.2), fibres)
    source = tissue.place[1000]
    state = fresh(tissue.voxels, 10 * tissue.voxels)
    stimulate(state, tissue.number(source), 0.0, tissue.bucket_ms)
    left = advance(
        state, tissue.first, tissue.to, tissue.weight, tissue.kind, np.zeros(tissue.voxels, np.uint8),
        np.full((1, 2), 500.0), np.ones((1, 2)), 5.0, tissue.bucket_ms, 1000.0,
    )  # fmt: skip
    assert left == 0
    expected = arrival_times(tissue, [source], order=1, exact_mm=0.0)
    reached = np.isfinite(expected)
    assert reached.sum() > 0.95 * tissue.voxels
    np.testing.assert_allclose(tissue.spread(state.act)[reached], expected[reached], rtol=1e-5)


def test_slow_conduction_early_after_recovery():
    """A plane wave at a rest of 50 ms crosses at the tabulated fraction of the velocity."""
    table = Restitution([0, 50, 400], [200, 200, 200], [0.5, 0.5, 1.0])
    tissue = medium(np.ones((1, 1, 201), bool), (1, 1, 1), 0.5)
    substrate = Substrate(tissue, np.zeros((1, 1, 201), int), (table,))
    once = pace(substrate, [(0, 0, 0)], (220,), Protocol(s1_beats=1))
    # Started 20 ms after recovery at half speed, it falls behind the recovery until 50 ms of rest; from
    # there on every millimetre adds rest and gains speed: slower than the drive, faster than half speed.
    assert 200 / 0.5 < once.lasted_ms < 200 / 0.25


def test_wrong_arguments_are_refused_in_a_sentence():
    with pytest.raises(InputError, match="increasing diastolic"):
        Restitution([0, 0], [1, 1], [1, 1])
    with pytest.raises(InputError, match="fraction above 0"):
        Restitution([0], [200], [1.2])
    substrate, _ = ring()
    with pytest.raises(InputError, match="one table a region"):
        Substrate(substrate.tissue, substrate.region, (HEALTHY,))
    with pytest.raises(InputError, match="does not capture"):
        pace(substrate, [(0, 0, 30)], (), Protocol(s1_ms=150))
    with pytest.raises(InputError, match="couplings"):
        pace(substrate, [(0, 0, 30)], (40,))
