"""The diffusion operator: symmetric, conserving, never raising energy, of its order."""

import numpy as np
import pytest

from carna.ep.tissue.grid import Tissue, diffusion, sheet, slab
from carna.ep.tissue.layout import lay_out
from carna.ep.tissue.operator import fourth_order, second_order
from carna.errors import InputError


def wild(walls="voxel", dtype=np.float64, shape=(9, 14, 37)):
    """Random mask, fibres, sheets, three diffusions, coupling with isolated voxels."""
    rng = np.random.default_rng(0)
    mask = rng.random(shape) < (0.8 if walls == "voxel" else 2)
    f = rng.normal(size=(*shape, 3))
    f /= np.linalg.norm(f, axis=-1, keepdims=True)
    n = np.cross(f, rng.normal(size=f.shape))
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    coupling = np.clip(rng.random(shape) * 1.2 - 0.2, 0, 1)
    tissue = Tissue(
        mask, (0.3, 0.2, 0.25), {0: None}, rng.random((*shape, 3)), f, n, None, coupling, {}, walls
    )
    layout = lay_out(tissue)
    return layout, second_order(tissue, layout, dtype)


@pytest.mark.parametrize("walls", ["voxel", "node"])
def test_symmetric_conserving_dissipating(walls):
    layout, op = wild(walls)
    x, y = np.random.default_rng(1).normal(size=(2, layout.lanes))
    m = op.volume
    assert (m * x) @ op.rate(y) == pytest.approx((m * y) @ op.rate(x), rel=1e-12)
    assert np.abs(op.rate(np.full(layout.lanes, 7.0))).max() == 0
    assert abs(m @ op.rate(x)) < 1e-9
    assert (m * x) @ op.rate(x) < 0


@pytest.mark.parametrize("walls", ["voxel", "node"])
def test_energy_never_rises_at_the_limit_and_blows_up_beyond(walls):
    layout, op = wild(walls)
    v = np.random.default_rng(2).normal(size=layout.lanes)
    energy, total = [], op.volume @ v
    for _ in range(300):
        new = v.copy()
        op.step(v, new, op.limit_ms)
        v = new
        energy.append(op.volume @ v**2)
    assert np.all(np.diff(energy) <= 1e-12)
    assert op.volume @ v == pytest.approx(total, abs=1e-9)
    new = v.copy()
    for _ in range(40):
        op.step(v, new, 4 * op.limit_ms)
        v, new = new, v
    assert op.volume @ v**2 > 1e3 * energy[0]


def test_float32_conserves_to_a_millionth():
    layout, op = wild(dtype=np.float32)
    rng = np.random.default_rng(3)
    v = (-85 + 120 * (rng.random(layout.lanes) < 0.3)).astype(np.float32)
    total, energy = op.volume @ v, np.inf
    for _ in range(1000):
        new = v.copy()
        op.step(v, new, 0.9 * op.limit_ms)
        v = new
        now = op.volume @ v.astype(float) ** 2
        assert now <= energy * (1 + 1e-7)
        energy = now
    assert abs(op.volume @ v - total) / abs(total) < 1e-6


@pytest.mark.parametrize(("order", "build"), [(2, second_order), (4, fourth_order)])
def test_order_on_a_box(order, build):
    """Against div(D grad u) of a product of cosines, zero flux on every wall."""
    errors = []
    for steps in (8, 16, 32):
        h = 4.0 / steps
        tissue = slab((2.0, 3.0, 4.0), h, None, (0.3, 0.1, 0.1))
        layout = lay_out(tissue)
        op = build(tissue, layout, np.float64)
        k, r, c = np.meshgrid(*[np.arange(n) * h for n in tissue.mask.shape], indexing="ij")
        u = layout.collect(np.cos(np.pi * k / 2) * np.cos(2 * np.pi * r / 3) * np.cos(np.pi * c / 4))
        factor = -(0.1 * (np.pi / 2) ** 2 + 0.1 * (2 * np.pi / 3) ** 2 + 0.3 * (np.pi / 4) ** 2)
        errors.append(np.abs((op.rate(u) - factor * u)[layout.used]).max())
    measured = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(measured - order) < 0.15), measured


@pytest.mark.parametrize("degrees", [5.0, 30.0, 45.0, 70.0])
def test_order_of_oblique_diffusion_in_time(degrees):
    """A manufactured solution with oblique fibres: u = exp(-t) g with both slopes of g zero on the walls."""
    errors = []
    angle = np.deg2rad(degrees)
    f = np.array([np.sin(angle), np.cos(angle)])
    d = 0.02 * np.eye(2) + 0.1 * np.outer(f, f)
    for steps in (16, 32, 64):
        h = 4.0 / steps
        tissue = sheet((4.0, 4.0), h, None, (0.12, 0.02), degrees)
        layout = lay_out(tissue)
        op = second_order(tissue, layout, np.float64)
        r, c = np.meshgrid(*[np.arange(steps + 1) * h * np.pi / 4] * 2, indexing="ij")
        # g = sin^2 r sin^2 c: on the wall both derivatives are zero, so no flux passes whatever the fibre.
        g = np.sin(r) ** 2 * np.sin(c) ** 2
        k2 = (np.pi / 4) ** 2
        grr = 2 * np.cos(2 * r) * np.sin(c) ** 2 * k2
        gcc = 2 * np.cos(2 * c) * np.sin(r) ** 2 * k2
        grc = np.sin(2 * r) * np.sin(2 * c) * k2
        source = layout.collect((-g - d[0, 0] * grr - 2 * d[0, 1] * grc - d[1, 1] * gcc)[None])
        exact = layout.collect(g[None])
        v, n = exact.copy(), 64 * (steps // 16) ** 2
        dt = 1.0 / n
        for i in range(n):
            new = v + dt * np.exp(-(i + 0.5) * dt) * source
            op.step(new.copy(), new, dt)
            v = new
        errors.append(np.abs((v - np.exp(-1.0) * exact)[layout.used]).max())
    measured = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(measured > 1.85), (measured, errors)


def test_limit_is_that_of_the_stencil():
    tissue = slab((1.0, 1.0, 1.0), 0.25, None, (0.1, 0.05, 0.05))
    op = second_order(tissue, lay_out(tissue), np.float64)
    assert op.limit_ms == pytest.approx(2 / (4 * 0.2 / 0.25**2))
    op = fourth_order(tissue, lay_out(tissue), np.float64)
    assert op.limit_ms == pytest.approx(2 / (16 / 3 * 0.2 / 0.25**2))


def test_harmonic_mean_across_a_face():
    coupling = np.ones((1, 1, 8), np.float32)
    coupling[..., 4:] = 0.1
    tissue = Tissue(
        np.ones((1, 1, 8), bool),
        (1.0,) * 3,
        {0: None},
        np.full(3, 0.5),
        np.array([0.0, 0, 1]),
        coupling=coupling,
    )
    layout = lay_out(tissue)
    step = layout.collect((np.arange(8) >= 4).astype(float)[None, None])
    rate = second_order(tissue, layout, np.float64).rate(step)
    assert rate[3] == pytest.approx(0.5 * 2 * 0.1 / 1.1)


def test_a_line_of_scar_lets_nothing_through():
    line = np.eye(17, dtype=bool) | np.eye(17, k=1, dtype=bool)
    whole = Tissue(
        np.ones((1, 17, 17), bool),
        (0.5,) * 3,
        {0: None},
        np.array([0.1, 0.02, 0.02]),
        np.array([0, 0.5, np.sqrt(0.75)]),
    )
    tissue = whole.scarred(line[None])
    layout = lay_out(tissue)
    op = second_order(tissue, layout, np.float64)
    r, c = np.indices((17, 17))
    assert np.abs(op.rate(layout.collect((r > c).astype(float)[None]))).max() == 0
    layout = lay_out(whole)
    op = second_order(whole, layout, np.float64)
    assert np.abs(op.rate(layout.collect((r > c).astype(float)[None]))).max() > 0.01


def test_bricks_do_not_matter():
    """A box that spans several bricks acts as the plain formula does."""
    tissue = slab((1.5, 4.0, 9.0), 0.25, None, (0.2, 0.03, 0.03))
    layout = lay_out(tissue)
    op = second_order(tissue, layout, np.float64)
    v = np.random.default_rng(0).normal(size=tissue.mask.shape)
    padded = np.pad(v, 1, mode="reflect")
    inner = (slice(1, -1),) * 3
    plain = np.zeros_like(v)
    for axis, d in enumerate((0.03, 0.03, 0.2)):
        plain += d / 0.25**2 * (np.roll(padded, 1, axis) + np.roll(padded, -1, axis) - 2 * padded)[inner]
    np.testing.assert_allclose(layout.spread(op.rate(layout.collect(v))), plain, atol=1e-12)


def test_diffusion_of_conductivities():
    assert diffusion((0.17, 0.019, 0.019), (0.62, 0.24, 0.24)) == pytest.approx(
        (0.0953, 0.01258, 0.01258), rel=1e-3
    )


def test_refusals():
    with pytest.raises(InputError, match="whole number of steps"):
        slab((1.0, 1.0, 1.1), 0.25, None, (0.1, 0.1, 0.1))
    with pytest.raises(InputError, match="unit vectors"):
        slab((1.0, 1.0, 1.0), 0.25, None, (0.1, 0.1, 0.1), (0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="order 4"):
        tissue = sheet((2.0, 2.0), 0.25, None, (0.1, 0.02), 30)
        fourth_order(tissue, lay_out(tissue), np.float64)
    with pytest.raises(InputError, match="no complete cell"):
        mask = np.zeros((1, 4, 4), bool)
        mask[0, :2, :2] = mask[0, 3, 3] = True
        tissue = Tissue(mask, (1.0,) * 3, {0: None}, np.ones(3), np.array([0.0, 0, 1]), walls="node")
        second_order(tissue, lay_out(tissue), np.float64)
