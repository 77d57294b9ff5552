"""Bands: against first-order error propagation, against brute force, and against truth with other noise."""

from __future__ import annotations

import time

import numpy as np
import pytest

from carna.errors import InputError
from carna.flow import Boundary, Network, Outlet, coronary, network
from carna.flow.steady import steady
from carna.flow.uncertain import RadiusError, Spread, spreads, uncertain
from carna.space import VesselTree


def vessel(depth: float = 0.55, points: int = 121) -> Network:
    x = np.linspace(0, 60, points)
    r = 1.6 * (1 - depth * np.exp(-(((x - 25) / 4) ** 2)))
    edges = np.stack([np.arange(points - 1), np.arange(1, points)], 1)
    return network(VesselTree(np.stack([x, 0 * x, 0 * x], 1), edges, r), inlet=0)


NO_ERROR = RadiusError(0.0, 0.0, 5.0)


def test_without_error_the_band_is_the_value() -> None:
    v = vessel()
    b = coronary(v, flow_ml_s=2.0)
    found = uncertain(v, b, radius=NO_ERROR, inputs={}, samples=100)
    for number in (found.low, found.median, found.high):
        assert number == pytest.approx(steady(v, b).ratio, abs=1e-5)
    assert found.sd.max() < 1e-6


def test_a_small_shared_error_is_first_order() -> None:
    v = vessel()
    b = coronary(v, flow_ml_s=2.0)
    sd = 0.01
    up, down = (steady(v.with_radius(v.radius_mm * np.exp(z * sd)), b).ratio[-1] for z in (1, -1))
    found = uncertain(v, b, points=[120], radius=RadiusError(sd, 0.0, 5.0), inputs={}, samples=4000)
    assert found.sd[0] == pytest.approx((up - down) / 2, rel=0.05)


def test_the_distribution_is_that_of_brute_force() -> None:
    v = vessel()
    b = coronary(v, flow_ml_s=2.0)
    inputs = {"resistance": Spread(0.75, 1.35)}
    error = RadiusError(0.05, 0.0, 5.0)
    found = uncertain(v, b, points=[120], radius=error, inputs=inputs, samples=4000, seed=3)
    rng = np.random.default_rng(5)
    values = []
    for _ in range(800):
        ends = Outlet(b.outlets[0].resistance * float(inputs["resistance"].draw(rng.standard_normal(1))[0]))
        other = v.with_radius(v.radius_mm * np.exp(rng.normal(0, 0.05)))
        values.append(steady(other, Boundary(b.pressure_mmHg, {0: ends})).ratio[-1])
    low, median, high = np.percentile(values, [5, 50, 95])
    assert (found.low[0], found.median[0], found.high[0]) == pytest.approx((low, median, high), abs=0.015)
    assert found.below[0] == pytest.approx(np.mean(np.array(values) <= 0.8), abs=0.05)


def test_local_error_has_its_width_and_length() -> None:
    """A straight tube of friction alone: the variance of the loss follows from the correlation."""
    x = np.linspace(0, 60, 241)
    edges = np.stack([np.arange(240), np.arange(1, 241)], 1)
    v = network(VesselTree(np.stack([x, 0 * x, 0 * x], 1), edges, np.full(241, 1.0)), inlet=0)
    b = coronary(v, flow_ml_s=0.5)
    sd, length = 0.02, 5.0
    loss = 1 - steady(v, b).ratio[-1]
    found = uncertain(v, b, points=[240], radius=RadiusError(0.0, sd, length), inputs={}, samples=4000)
    n = 60 / length
    share = np.sqrt(2 / n * (1 - (1 - np.exp(-n)) / n))  # SD of the mean of an Ornstein-Uhlenbeck path
    damped = b.outlets[0].resistance / (b.outlets[0].resistance + loss * 93 / 0.5)
    assert found.sd[0] == pytest.approx(4 * sd * share * loss * damped, rel=0.12)


def test_what_was_measured_is_narrower_than_what_was_assumed() -> None:
    v = vessel()
    assumed, measured = coronary(v), coronary(v, pressure_mmHg=93.0, flow_ml_s=2.5)
    wide, narrow = spreads(assumed), spreads(measured)
    assert wide["resistance"].high > narrow["resistance"].high
    assert wide["pressure_mmHg"].low < narrow["pressure_mmHg"].low
    at = [120]
    assert uncertain(v, assumed, points=at).sd > uncertain(v, measured, points=at).sd


def test_the_tornado_names_what_matters() -> None:
    v = vessel()
    b = coronary(v, flow_ml_s=2.0)
    wide_radius = uncertain(v, b, points=[120], radius=RadiusError(0.2, 0.0, 5.0))
    assert next(iter(wide_radius.tornado)) == "radius"
    inputs = {**spreads(b), "resistance": Spread(0.4, 2.5)}
    wide_flow = uncertain(v, b, points=[120], radius=NO_ERROR, inputs=inputs)
    assert next(iter(wide_flow.tornado)) == "resistance"
    low, high = wide_flow.tornado["resistance"][0]
    assert low < steady(v, b).ratio[-1] < high


def test_a_seed_repeats_and_a_flow_inlet_is_refused() -> None:
    v = vessel()
    b = coronary(v)
    one, two, other = (uncertain(v, b, samples=300, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.low, two.low)
    assert not np.array_equal(one.low, other.low)
    with pytest.raises(InputError, match="flow at the inlet"):
        uncertain(v, Boundary(None, {0: Outlet(30.0)}, flow_ml_s=2.0))
    with pytest.raises(InputError, match="radius error"):
        RadiusError(0.9, 0.0, 5.0)


def fork(segments: int = 25) -> Network:
    """A tree of 25 segments of 20 points."""
    places, edges, radius, tails = list[np.ndarray](), list[tuple[int, int]](), list[float](), list[int]()
    for k in range(segments):
        up = (k - 1) // 2
        way = np.array([np.cos(k), np.sin(k), 0.1 * k])
        origin = np.zeros(3) if k == 0 else places[tails[up]]
        wide = 1.9 * 0.8 ** int(np.log2(k + 1))
        before = -1 if k == 0 else tails[up]
        for j in range(0 if k == 0 else 1, 20):
            places.append(origin + way * j)
            depth = 0.5 * np.exp(-(((j - 10) / 3) ** 2)) if k == 1 else 0
            radius.append(wide * (1 - depth))
            if before >= 0:
                edges.append((before, len(places) - 1))
            before = len(places) - 1
        tails.append(before)
    return network(VesselTree(np.array(places), np.array(edges), np.array(radius)), inlet=0)


@pytest.mark.slow
def test_a_thousand_samples_take_less_than_60_ms() -> None:
    v = fork()
    b = coronary(v)
    uncertain(v, b)
    seconds = []
    for _ in range(5):
        began = time.process_time()
        uncertain(v, b)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 0.06
