"""Phase, singularities and paths of tips on fields that are known."""

import numpy as np
import pytest

from carna.ep.rotor import follow, phase, singularities, wave_count
from carna.errors import InputError


def vortex(row, column, charge=1, turn=0.0, n=60):
    r, c = np.indices((n, n))
    return np.angle(np.exp(1j * (charge * np.arctan2(r - row, c - column) + turn)))


@pytest.mark.parametrize("charge", [1, -1])
def test_one_singularity_is_found_where_it_is(charge):
    found = singularities(vortex(20.3, 33.7, charge))
    np.testing.assert_array_equal(
        found, [[20.5, 33.5, -charge]] if found[0, 2] != charge else [[20.5, 33.5, charge]]
    )
    assert singularities(vortex(20.3, 33.7, 1))[0, 2] == -singularities(vortex(20.3, 33.7, -1))[0, 2]


def test_a_pair_and_a_mask():
    both = np.angle(np.exp(1j * (vortex(20.3, 15.4) - vortex(40.2, 44.1))))
    found = singularities(both)
    assert len(found) == 2 and found[:, 2].sum() == 0
    mask = np.ones(both.shape, bool)
    mask[15:25, 10:20] = False
    assert len(singularities(both, mask)) == 1
    assert len(singularities(np.add.outer(np.arange(60), np.arange(60)) * 0.2)) == 0
    with pytest.raises(InputError):
        singularities(np.zeros((3, 3, 3)))


def test_phase_turns_once_in_an_action_potential():
    t = np.arange(0, 300)
    v = -85 + 100 * ((t > 20) & (t < 220)) * np.clip((t - 20) / 2, 0, 1) * np.clip((220 - t) / 40, 0, 1)
    angle = np.unwrap(phase(v[10:], v[:-10]))
    assert abs(angle[-1] - angle[0]) == pytest.approx(2 * np.pi, abs=1e-6)


def test_waves_are_counted():
    v = np.full((50, 50), -85.0)
    v[5:20, 5:20] = v[30:45, 10:30] = 20
    v[48, 48] = 20
    assert wave_count(v) == 2
    assert wave_count(v, smallest=1) == 3


def test_a_moving_tip_is_followed():
    frames = []
    for n in range(40):
        angle = vortex(25 + 8 * np.cos(n / 6), 30 + 8 * np.sin(n / 6), 1, -n * np.pi / 10)
        frames.append(-40 + 50 * np.cos(angle))
    tips = follow(np.array(frames), lag=5)
    longest = max(tips, key=lambda t: len(t.frame))
    assert len(longest.frame) > 30
    n = longest.frame - 2.5  # V now and 5 frames ago: the tip between them
    expected = np.stack([25 + 8 * np.cos(n / 6), 30 + 8 * np.sin(n / 6)], -1)
    assert np.abs(longest.at - expected).mean() < 2.5
