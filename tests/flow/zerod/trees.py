"""Random trees and beats that several tests share."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from carna.flow import Boundary, Network, Outlet, Wave, coronary, network
from carna.space import VesselTree


def tree(rng: np.random.Generator, segments: int, narrowed: float = 0.0, points: int = 11) -> Network:
    """A binary tree whose radii follow r^2.55; ``narrowed`` of its segments have a stenosis."""
    place, radius, edges = [np.zeros(3)], [3.0], []

    def grow(start: int, way: np.ndarray, r: float, length: float) -> int:
        tight = rng.uniform(0.3, 0.6) if rng.random() < narrowed else 0.0
        before = start
        for x in np.arange(1, points) / (points - 1):
            place.append(place[start] + way * length * x)
            radius.append(r * (1 - tight * np.sin(np.pi * x) ** 2))
            edges.append((before, len(place) - 1))
            before = len(place) - 1
        return before

    way = np.array([1.0, 0.0, 0.0])
    tips = [(grow(0, way, 3.0, 20.0), way, 3.0)]
    made = 1
    while made + 2 <= segments:
        at, way, r = tips.pop(0)
        share = rng.uniform(0.3, 0.7)
        for part in (share, 1 - share):
            turned = way + rng.normal(0, 0.6, 3)
            turned /= np.linalg.norm(turned)
            thin = r * part ** (1 / 2.55)
            tips.append((grow(at, turned, thin, rng.uniform(8, 20)), turned, thin))
            made += 1
    return network(VesselTree(np.array(place), np.array(edges), np.array(radius)))


def beat(mean: float = 93.0, pulse: float = 40.0, period_s: float = 0.8, count: int = 101) -> Wave:
    """An aortic pressure: a hump of a third of the cycle and a decay."""
    x = np.linspace(0, 1, count)
    shape = np.where(x < 0.35, np.sin(np.pi * x / 0.35), 0) + 0.35 * np.exp(-2 * x)
    shape -= 0.35 * (np.exp(-2) - 1) * x
    shape = (shape - np.trapezoid(shape, x)) / np.ptp(shape)
    return Wave(x * period_s, mean + pulse * shape)


def squeeze(period_s: float = 0.8, count: int = 101) -> Wave:
    """The pressure of a left ventricle's muscle."""
    x = np.linspace(0, 1, count)
    return Wave(x * period_s, np.where(x < 0.35, 110 * np.sin(np.pi * x / 0.35), 0.0))


def ends(vessels: Network, *, muscle: bool, pulse: float = 40.0) -> Boundary:
    """Coronary outlets, with compliance, squeezed or not, under a pulsating aorta."""
    found = coronary(vessels, mass_g=120.0)
    wave = beat(pulse=pulse)
    outlets = {
        n: Outlet(o.resistance, o.venous_mmHg, 0.32, 0.3 / o.resistance, squeeze() if muscle else None)
        for n, o in found.outlets.items()
    }
    return Boundary(wave.mean, MappingProxyType(outlets), wave=wave)
