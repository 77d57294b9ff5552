"""Lead fields against the analytic dipole and against reciprocity."""

import numpy as np
import pytest

from carna.ep.ecg import CAPACITANCE_SURFACE, lead_field, lead_weights
from carna.ep.tissue.grid import Tissue, slab
from carna.ep.tissue.layout import lay_out
from carna.ep.tissue.operator import second_order
from carna.errors import InputError


def weights_of(tissue, electrodes, sigma=0.2):
    layout = lay_out(tissue)
    op = second_order(tissue, layout, np.float64)
    return layout, op, lead_weights(tissue, layout, electrodes, sigma)


@pytest.mark.parametrize("fibre", [(0.0, 0.0, 1.0), (0.0, 0.6, 0.8), (0.48, 0.64, 0.6)])
def test_a_ramp_of_v_is_a_dipole(fibre):
    """A small block with a uniform slope of V has the moment -sigma_i grad V x volume."""
    n = np.linalg.norm(fibre)
    tissue = slab((1.0, 1.0, 1.0), 0.1, None, (0.1, 0.03, 0.03), tuple(np.array(fibre) / n))
    electrode = np.array([9.0, 14.0, -11.0])
    layout, _, weights = weights_of(tissue, [(tuple(electrode),)], 0.3)
    slope = np.array([2.0, -1.0, 3.0])
    k, r, c = np.indices(tissue.mask.shape) * 0.1
    v = layout.collect(slope[0] * k + slope[1] * r + slope[2] * c)
    f = np.array(fibre)
    sigma = CAPACITANCE_SURFACE * (0.03 * np.eye(3) + 0.07 * np.outer(f, f))
    moment = -sigma @ slope
    away = electrode - 0.5
    distance = np.linalg.norm(away)
    # The source lies at its centre only to second order in size / distance.
    expected = moment @ away / (4 * np.pi * 0.3 * distance**3)
    assert weights[0] @ v == pytest.approx(expected, rel=5e-3)


def test_uniform_v_is_silent_and_bipolar_is_the_difference():
    tissue = slab((1.0, 1.0, 2.0), 0.25, None, (0.1, 0.03, 0.03))
    a, b = (3.0, 0.5, 0.4), (-2.0, 0.5, 1.6)
    weights = weights_of(tissue, [(a,), (b,), (a, b)])[2]
    assert np.abs(weights.sum(1)).max() < 1e-6 * np.abs(weights).max() * weights.shape[1]
    np.testing.assert_allclose(weights[2], weights[0] - weights[1], atol=1e-6)


def test_reciprocity():
    """Injecting at the electrode what flows between two nodes is what the electrode sees of them."""
    rng = np.random.default_rng(0)
    mask = rng.random((6, 9, 20)) < 0.8
    f = rng.normal(size=(*mask.shape, 3))
    f /= np.linalg.norm(f, axis=-1, keepdims=True)
    tissue = Tissue(mask, (0.3, 0.3, 0.3), {0: None}, np.array([0.1, 0.03, 0.03]), f)
    point = (5.0, 1.0, 2.0)
    layout, op, weights = weights_of(tissue, [(point,)])
    v = rng.normal(size=layout.lanes)
    at = np.stack(np.unravel_index(layout.voxel[layout.used], mask.shape), -1) * 0.3 + 0.15
    # Membrane current that leaves each node, uA, times the potential of a unit current there.
    current = op.volume * op.rate(v) * CAPACITANCE_SURFACE * 0.3**3
    assert weights[0] @ v == pytest.approx(current[layout.used] @ lead_field(at, point, 0.2), rel=1e-4)


def test_refusals():
    with pytest.raises(InputError, match="on a node"):
        lead_field(np.zeros((1, 3)), (0, 0, 0), 1.0)
    with pytest.raises(InputError, match="above 0"):
        lead_field(np.ones((1, 3)), (0, 0, 0), 0.0)
    with pytest.raises(InputError, match="a lead of 3"):
        weights_of(slab((1.0, 1.0, 2.0), 0.25, None, (0.1, 0.03, 0.03)), [((9.0, 9, 9),) * 3])
