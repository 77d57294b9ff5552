"""Runs: recorders, guards, restart, multirate, threads, stimuli."""

from dataclasses import replace

import numpy as np
import pytest
from tests.ep.tissue.ms import MitchellSchaeffer

from carna.ep.tissue.grid import Tissue, cable, organ, sheet
from carna.ep.tissue.layout import lay_out
from carna.ep.tissue.operator import second_order
from carna.ep.tissue.reaction import Multirate
from carna.ep.tissue.record import Activation, Durations, Frames, Leads, Probes, Upstroke
from carna.ep.tissue.run import simulate
from carna.ep.tissue.state import Checkpoint
from carna.ep.tissue.stimulus import Stimulus, burst, cross_field, entry_points, programmed
from carna.errors import Cancelled, InputError
from carna.progress import Progress

CELLS = MitchellSchaeffer()
LINE = ((0.0, 0.0, 0.0), (9.0, 99.0, 1.5))


def beat(tissue, end_ms=60.0, **kw):
    return simulate(tissue, Stimulus(tissue.box(*LINE)), end_ms, dt_ms=kw.pop("dt_ms", 0.05), **kw)


def test_speed_of_a_cable_goes_with_the_root_of_diffusion():
    def speed(d):
        x = beat(cable(20, 0.1, CELLS, d), 80, dt_ms=0.01).activation_ms[0, 0]
        return 8 / (x[150] - x[70])

    assert speed(0.2) / speed(0.05) == pytest.approx(2, rel=0.01)


def test_what_is_recorded_on_a_cable():
    tissue = cable(10, 0.1, CELLS, 0.07)
    record = [Activation(), Upstroke(), Durations(90, 0.5), Probes({"end": (0, 0, 10)}), Frames(20)]
    run = beat(tissue, 400, record=record)
    v, t = run.probes.values[0], (np.arange(4000) + 1) * 0.1
    up = np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0))
    assert len(up) == 1
    at = t[up[0]] + 0.1 * (-v[up[0]]) / (v[up[0] + 1] - v[up[0]])
    assert run.activation_ms[0, 0, -1] == pytest.approx(at, abs=0.02)
    began = t[np.argmax(v > -40)]
    level = v.min() + 0.1 * (v.max() - v.min())
    ended = t[np.flatnonzero(v > level)[-1]]
    assert run.apd_ms[0, 0, -1] == pytest.approx(ended - began, abs=0.4)
    assert run.upstroke_mV_per_ms[0, 0, -1] == pytest.approx(np.diff(v).max() / 0.1, rel=0.05)
    assert run.frames.shape == (20, 1, 1, 101)
    assert run.frames[4, 0, 0, -1] == pytest.approx(v[999], abs=0.05)
    assert run.steps * run.dt_ms == pytest.approx(400)
    assert len(run.activations[0]) == 101


def test_every_beat_of_a_train_is_an_activation():
    tissue = cable(3, 0.1, CELLS, 0.07)
    train = programmed(tissue.box(*LINE), 400, 2, (330,))
    assert train.times_ms == (0, 400, 730)
    times, voxels = simulate(tissue, train, 800, dt_ms=0.05).activations
    mine = times[voxels == 0]
    assert np.diff(mine) == pytest.approx([400, 330], abs=3)
    assert burst(tissue.box(*LINE), 200, 3, start_ms=10).times_ms == (10, 210, 410)


def test_a_restart_is_exact(tmp_path):
    tissue = sheet((6, 6), 0.25, MitchellSchaeffer("float32"), (0.1, 0.02), 30)
    record = [Activation(), Upstroke(), Durations(every_ms=1), Probes({"a": (0, 3, 3)}, 1)]
    stimuli = [Stimulus(tissue.box(*LINE), (0, 40))]
    for rates in (None, Multirate()):
        kw = {"dt_ms": 0.05, "record": record, "multirate": rates}
        whole = simulate(tissue, stimuli, 60, **kw)

        def halt(done, what=""):
            raise Cancelled

        point = Checkpoint(tmp_path / f"{rates is None}.npz", 25)
        first = simulate(tissue, stimuli, 60, checkpoint=point, **kw)  # leaves the state of 50 ms behind
        again = simulate(tissue, stimuli, 60, checkpoint=point, **kw)
        assert again.steps == 200 and first.steps == 1200
        for run in (first, again):
            np.testing.assert_array_equal(run.state.v, whole.state.v)
            np.testing.assert_array_equal(run.activation_ms, whole.activation_ms)
            np.testing.assert_array_equal(run.apd_ms, whole.apd_ms)
            np.testing.assert_array_equal(run.probes.values, whole.probes.values)
        with pytest.raises(InputError, match="another run"):
            simulate(tissue, stimuli, 61, checkpoint=point, **kw)
        for half_ms in (30, 30.05):  # the second ends amid a span of quiet bricks
            half = simulate(tissue, stimuli, half_ms, **kw)
            rest = simulate(tissue, stimuli, 60, start=half.state, **kw)
            np.testing.assert_array_equal(rest.state.v, whole.state.v)


def test_multirate_reacts_less_and_changes_little():
    tissue = sheet((40, 20), 0.25, CELLS, (0.1, 0.1))
    record = [Activation(), Durations()]
    full = beat(tissue, 400, record=record)
    less = beat(tissue, 400, record=record, multirate=Multirate())
    assert full.reacted == 1 and less.reacted < 0.4
    assert np.abs(less.activation_ms - full.activation_ms).max() < 0.01
    assert np.abs(less.apd_ms - full.apd_ms).max() < 1


def test_quiet_bricks_diffuse_once_a_span():
    """Far from a front V spreads in long steps, as it would in short ones; near it nothing changes."""
    tissue = sheet((40, 20), 0.25, CELLS, (0.1, 0.1))
    layout = lay_out(tissue)
    operator = second_order(tissue, layout, np.float64)
    brick, block = operator.seen()
    for n in range(len(layout.home)):  # every block that a brick touches is known, and no other
        near = layout.home[n][layout.home[n] >= 0]
        around = operator.parts[0][2][0][n]
        assert set(block[brick == n]) == set(near // 512) | set(around[around > 0] // 512)
    some = np.arange(len(layout.home)) % 2 == 0
    v = np.random.default_rng(0).normal(size=layout.lanes)
    whole, part = v.copy(), v.copy()
    operator.step(v, whole, 0.05)
    operator.step(v, part, 0.05, lists=operator.chosen(some))
    assert np.abs(part - whole).max() > 0
    operator.step(v, part, 0.05, lists=operator.chosen(~some))
    np.testing.assert_array_equal(part, whole)


def test_two_threads_change_nothing():
    tissue = sheet((20, 20), 0.25, CELLS, (0.1, 0.02), 20)
    one, two = beat(tissue, 20), beat(tissue, 20, threads=2)
    np.testing.assert_array_equal(one.state.v, two.state.v)


def test_too_large_a_step_is_refused_with_the_largest_that_works():
    tissue = sheet((5, 5), 0.25, CELLS, (0.1, 0.1))
    with pytest.raises(InputError, match=r"at most 0\.125 ms.*use 0\.12 ms"):
        beat(tissue, dt_ms=0.2)
    beat(tissue, 3, dt_ms=0.12)


def test_a_run_that_blows_up_says_so():
    tissue = cable(3, 0.1, CELLS, 0.07)
    with pytest.raises(InputError, match=r"V reached .* mV at"):
        simulate(tissue, Stimulus(tissue.box(*LINE), strength_A_per_F=5e4), 10, dt_ms=0.05)


def test_refusals():
    tissue = cable(3, 0.1, CELLS, 0.07)
    with pytest.raises(InputError, match="recorded twice"):
        beat(tissue, record=[Activation(), Activation(1.0)])
    with pytest.raises(InputError, match="whole number of steps"):
        beat(tissue, record=[Frames(0.13)])
    with pytest.raises(InputError, match="touches no tissue"):
        scarred = tissue.scarred(np.arange(31)[None, None] < 20)
        simulate(scarred, Stimulus(np.arange(31)[None, None] < 20), 5)
    with pytest.raises(InputError, match="does not vary"):
        beat(
            Tissue(
                tissue.mask,
                tissue.spacing_mm,
                tissue.models,
                np.full(3, 0.1),
                tissue.fibres,
                varied={"x": 1.0 * tissue.mask},
            )
        )
    with pytest.raises(InputError, match="another tissue"):
        beat(cable(100, 0.1, CELLS, 0.07), start=beat(tissue, 1).state)


def test_a_parameter_may_vary_from_voxel_to_voxel():
    tissue = cable(20, 0.25, MitchellSchaeffer(varied=("tau_close",)), 0.1)
    ramp = np.linspace(100, 200, 81)[None, None]
    slow = Tissue(
        tissue.mask,
        tissue.spacing_mm,
        tissue.models,
        np.full(3, 0.1),
        tissue.fibres,
        varied={"tau_close": ramp},
        walls="node",
    )
    apd = beat(slow, 500, record=[Durations()]).apd_ms[0, 0]
    assert apd[70] - apd[10] > 80


def test_two_kinds_of_cells():
    class Long(MitchellSchaeffer):
        def start(self, n):
            v, s = super().start(n)
            s[:, 1] = 250
            return v, s

    tissue = cable(20, 0.25, CELLS, 0.1)
    region = (np.arange(81) > 40).astype(np.int8)[None, None]
    both = tissue.with_cells(region, {0: CELLS, 1: Long(varied=("tau_close",))})
    run = beat(both, 600, record=[Activation(), Durations()])
    assert np.isfinite(run.activation_ms).all()
    assert run.apd_ms[0, 0, 75] - run.apd_ms[0, 0, 5] > 100


def test_a_box_counts_a_node_by_its_share():
    tissue = cable(10, 0.5, CELLS, 0.1)
    share = tissue.box((0, 0, 0), (0, 0, 1.5))[0, 0]
    np.testing.assert_allclose(share[:5], [1, 1, 1, 0.5, 0])
    voxels = organ(np.ones((1, 1, 8), bool), (0.5,) * 3, CELLS, (0.1,) * 3, np.array([0.0, 0, 1]))
    np.testing.assert_allclose(voxels.box((0, 0, 0), (0, 0, 0.75))[0, 0, :3], [1, 0.5, 0])


def test_entry_points_and_nearest():
    tissue = sheet((10, 10), 0.5, CELLS, (0.1, 0.1))
    where = entry_points(tissue, np.array([[0, 5, 5], [0, 0, 0]]), 1.0)
    assert where.sum() == 13 + 6
    assert tissue.nearest((0, 5.1, 2.4)) == (0, 10, 5)
    with pytest.raises(InputError, match="reaches no tissue"):
        entry_points(tissue, np.array([[0, 50, 5]]), 1.0)
    with pytest.raises(InputError, match="no tissue voxel"):
        tissue.nearest((0, 50, 5))


def test_scar_blocks_and_fibrosis_slows():
    tissue = sheet((10, 6), 0.25, CELLS, (0.1, 0.1))
    wall = np.zeros(tissue.mask.shape, bool)
    wall[:, :, 12] = True
    scarred = Tissue(tissue.mask & ~wall, tissue.spacing_mm, tissue.models, np.full(3, 0.1), tissue.fibres)
    times = beat(scarred).activation_ms[0]
    assert np.isfinite(times[:, :12]).all() and np.isnan(times[:, 12:]).all()
    healthy = Tissue(tissue.mask, tissue.spacing_mm, tissue.models, np.full(3, 0.1), tissue.fibres)
    fibrotic = healthy.fibrotic(0.2, seed=1)
    assert 0.15 < 1 - fibrotic.nodes / healthy.nodes < 0.25
    slow = beat(fibrotic).activation_ms[0]
    assert np.nanmean(slow[:, 20:]) > 1.1 * np.nanmean(beat(healthy).activation_ms[0][:, 20:])
    weak = beat(healthy.uncoupled(0.25)).activation_ms[0]
    assert weak[20, 24] > 1.7 * beat(healthy).activation_ms[0][20, 24]


def test_cross_field_makes_a_spiral():
    from carna.ep.rotor import follow

    tissue = sheet((60, 60), 0.5, MitchellSchaeffer(varied=("tau_close",)), (0.1, 0.1))
    tissue = replace(tissue, varied={"tau_close": np.full(tissue.mask.shape, 50.0)})
    run = simulate(
        tissue,
        cross_field(tissue, 250.0),
        900,
        dt_ms=0.1,
        record=[Activation(), Frames(10)],
        multirate=Multirate(),
    )
    times, _ = run.activations
    assert times.max() > 850  # still going round
    tips = follow(run.frames[:, 0].astype(float)[40:])
    assert len(max(tips, key=lambda t: len(t.frame)).frame) > 20


def test_progress_cancels():
    tissue = sheet((20, 20), 0.25, CELLS, (0.1, 0.02), 20)
    with pytest.raises(Cancelled):
        beat(tissue, 1e5, progress=Progress(cancelled=lambda: True))


def test_leads_are_recorded():
    tissue = cable(20, 0.25, CELLS, 0.1)
    leads = {"end": ((0.0, 5.0, 25.0),), "pair": ((0.0, 1.0, 9.0), (0.0, 1.0, 11.0))}
    run = beat(tissue, 60, record=[Leads(leads, 0.5), Activation()])
    end, pair = run.leads.values
    assert end[10:30].mean() > 0  # a wave that comes nearer is positive
    crossing = run.activation_ms[0, 0, 40]
    assert abs((np.argmax(np.abs(pair)) + 1) * 0.5 - crossing) < 4
