"""Vessels, where they join, and what happens at their ends, as blocks of a circuit.

Signs: flow is positive from inlet to outlet, and into an end. Blocks and their equations follow those of
svZeroDSolver, so that its case files run as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carna.errors import InputError
from carna.flow.zerod.circuit import Block, Equations, Floats, Ports
from carna.flow.zerod.drive import Drive, Series, hump
from carna.flow.zerod.elements import STENOSIS


def vessel(name: str, R: float, C: float = 0.0, L: float = 0.0, S: float = 0.0) -> Block:
    """Return a vessel: resistance R + S|q|, then a capacitor to the ground, then an inductor.

    ::

        p_in - p_out - (R + S|q_in|) q_in - L dq_out/dt = 0
        q_in - q_out - C dp_in/dt + C (R + 2 S|q_in|) dq_in/dt = 0
    """

    def write(to: Equations, at: Ports) -> None:
        i, o = at.inlets[0], at.outlets[0]
        loss = to.row({i.p: 1.0, o.p: -1.0, i.q: -R}, {o.q: -L})
        store = to.row({i.q: 1.0, o.q: -1.0}, {i.p: -C, i.q: C * R})
        if S:
            entries = [(loss, i.q), (store, i.q)]
            to.element(STENOSIS, [i.q], [loss, store], entries, [S, 2 * C * S])

    return Block(name, "BloodVessel", 1, 1, write)


def vessel_crl(name: str, R: float, C: float = 0.0, L: float = 0.0, S: float = 0.0) -> Block:
    """Return a vessel whose capacitor stands at its inlet.

    ::

        p_in - p_out - (R + S|q_out|) q_out - L dq_out/dt = 0
        q_in - q_out - C dp_in/dt = 0
    """

    def write(to: Equations, at: Ports) -> None:
        i, o = at.inlets[0], at.outlets[0]
        loss = to.row({i.p: 1.0, o.p: -1.0, o.q: -R}, {o.q: -L})
        to.row({i.q: 1.0, o.q: -1.0}, {i.p: -C})
        if S:
            to.element(STENOSIS, [o.q], [loss, -1], [(loss, o.q)], [S, 0.0])

    return Block(name, "BloodVesselCRL", 1, 1, write)


def vessel_rc(name: str, Rpd: float, Cp: float) -> Block:
    """Return a bed that stores pressure, not volume: Cp dp_in/dt + (p_in - p_out) / Rpd = q_in = q_out."""

    def write(to: Equations, at: Ports) -> None:
        i, o = at.inlets[0], at.outlets[0]
        to.row({i.p: 1 / Rpd, o.p: -1 / Rpd, i.q: -1.0}, {i.p: Cp})
        to.row({i.q: 1.0, o.q: -1.0})

    return Block(name, "BloodVesselRC", 1, 1, write)


def junction(name: str) -> Block:
    """Return a point where vessels meet: one pressure, and what flows in flows out."""

    def write(to: Equations, at: Ports) -> None:
        first, *rest = (*at.inlets, *at.outlets)
        for other in rest:
            to.row({first.p: 1.0, other.p: -1.0})
        to.row({**{i.q: 1.0 for i in at.inlets}, **{o.q: -1.0 for o in at.outlets}})

    return Block(name, "NORMAL_JUNCTION", None, None, write)


def vessel_junction(name: str, R: Sequence[float], L: Sequence[float], S: Sequence[float]) -> Block:
    """Return a junction with one inlet, and a resistance and an inductor on the way to each outlet."""
    if not len(R) == len(L) == len(S):
        raise InputError(
            f"junction {name!r} with {len(R)} R, {len(L)} L and {len(S)} stenosis coefficients",
            needed="one of each for every outlet",
        )

    def write(to: Equations, at: Ports) -> None:
        i = at.inlets[0]
        to.row({i.q: 1.0, **{o.q: -1.0 for o in at.outlets}})
        for o, r, inertia, s in zip(at.outlets, R, L, S, strict=True):
            row = to.row({i.p: 1.0, o.p: -1.0, o.q: -r}, {o.q: -inertia})
            if s:
                to.element(STENOSIS, [o.q], [row, -1], [(row, o.q)], [s, 0.0])

    return Block(name, "BloodVesselJunction", 1, len(R), write)


def resistive_junction(name: str, inlets: int, R: Sequence[float]) -> Block:
    """Return a junction with a resistance on each way to its centre, inlets first."""

    def write(to: Equations, at: Ports) -> None:
        (centre,) = at.inner
        to.row({**{i.q: 1.0 for i in at.inlets}, **{o.q: -1.0 for o in at.outlets}})
        for i, r in zip(at.inlets, R, strict=False):
            to.row({i.p: 1.0, centre: -1.0, i.q: -r})
        for o, r in zip(at.outlets, R[inlets:], strict=True):
            to.row({centre: 1.0, o.p: -1.0, o.q: -r})

    return Block(name, "resistive_junction", inlets, len(R) - inlets, write, ("pressure_c",))


def flow(name: str, Q: Series, *, inlet: bool) -> Block:
    """Return an end with a given flow, at an inlet or at an outlet of the vessels."""

    def write(to: Equations, at: Ports) -> None:
        value = to.series(Q)
        (port,) = (*at.inlets, *at.outlets)
        to.row({port.q: 1.0}, c=_minus(value))

    return Block(name, "FLOW", int(not inlet), int(inlet), write, series=(Q,))


def pressure(name: str, P: Series, *, inlet: bool) -> Block:
    """Return an end with a given pressure, at an inlet or at an outlet of the vessels."""

    def write(to: Equations, at: Ports) -> None:
        value = to.series(P)
        (port,) = (*at.inlets, *at.outlets)
        to.row({port.p: 1.0}, c=_minus(value))

    return Block(name, "PRESSURE", int(not inlet), int(inlet), write, series=(P,))


def resistance(name: str, R: Series, Pd: Series) -> Block:
    """Return an outlet with p - R q = Pd."""

    def write(to: Equations, at: Ports) -> None:
        port = at.inlets[0]
        to.row({port.p: 1.0, port.q: _minus(to.series(R))}, c=_minus(to.series(Pd)))

    return Block(name, "RESISTANCE", 1, 0, write, series=(R, Pd))


def rcr(name: str, Rp: float, C: float, Rd: float, Pd: float = 0.0) -> Block:
    """Return a three-element windkessel: p - p_c = Rp q, Rd q - p_c + Pd = Rd C dp_c/dt."""

    def write(to: Equations, at: Ports) -> None:
        port, (centre,) = at.inlets[0], at.inner
        to.row({port.p: 1.0, centre: -1.0, port.q: -Rp})
        to.row({port.q: Rd, centre: -1.0}, {centre: 0.0 if to.steady else -Rd * C}, Pd)

    return Block(name, "RCR", 1, 0, write, ("pressure_c",), time_constant_s=Rd * C)


def closed_rcr(name: str, Rp: float, C: float, Rd: float) -> Block:
    """Return a three-element windkessel whose outlet goes on to the veins."""

    def write(to: Equations, at: Ports) -> None:
        i, o, (centre,) = at.inlets[0], at.outlets[0], at.inner
        to.row({o.q: 1.0, i.q: -1.0}, {centre: C})
        to.row({i.p: 1.0, centre: -1.0, i.q: -Rp})
        to.row({centre: 1.0, o.p: -1.0, o.q: -Rd})

    return Block(name, "ClosedLoopRCR", 1, 1, write, ("P_c",))


def coronary(
    name: str,
    *,
    Ra: float,
    Ram: Drive | float,
    Rv: float,
    Ca: float,
    Cim: float,
    Pv: float,
    Pim: Series,
    kind: str = "CORONARY",
) -> Block:
    """Return a coronary bed that the muscle squeezes (Kim et al. 2010, doi:10.1007/s10439-010-0083-6).

    Small arteries Ra and Ca, microvessels Ram, the muscle's Cim with the intramyocardial pressure Pim
    outside of it, veins Rv to Pv. The unknown inside is the volume of Cim. ``Ram`` may change with time
    while the vessels respond to demand.
    """

    def micro(t: float) -> float:
        return float(Ram(np.array([t]))[0]) if callable(Ram) else Ram

    def write(to: Equations, at: Ports) -> None:
        port, (volume,) = at.inlets[0], at.inner
        if to.steady:
            to.row({volume: 1.0})
            to.row({port.p: -1.0, port.q: Ra + micro(0.0) + Rv}, c=Pv)
            return
        # What the state at the start implies for the pressure across Cim, so that its volume starts at 0.
        squeeze0 = Pim.mean if to.started else float(Pim.at(np.zeros(1))[0])
        p_a, dp_a = to.y[port.p] - Ra * to.y[port.q], to.dy[port.p] - Ra * to.dy[port.q]
        inside0 = p_a - micro(0.0) * (to.y[port.q] - Ca * dp_a)
        rest = squeeze0 - inside0

        def squeeze(t: Floats) -> Floats:
            return Pim.at(t)

        def ram(t: Floats) -> Floats:
            return Ram(t) if callable(Ram) else np.full(np.shape(t), Ram)

        to.row(
            {port.q: Cim * Rv, volume: -1.0},
            {port.p: -Ca * Cim * Rv, port.q: Ra * Ca * Cim * Rv, volume: -Cim * Rv},
            lambda t: Cim * (Pv + rest - squeeze(t)),
        )
        f = {port.p: Cim * Rv, port.q: -Cim * Rv * Ra}
        bed = lambda t: ram(t) * Cim * Pv - Cim * (Rv + ram(t)) * (squeeze(t) - rest)  # noqa: E731
        if callable(Ram):
            to.row({**f, volume: lambda t: -(Rv + ram(t))}, {volume: lambda t: -Cim * Rv * ram(t)}, bed)
        else:
            to.row({**f, volume: -(Rv + Ram)}, {volume: -Cim * Rv * Ram}, bed)

    return Block(name, kind, 1, 0, write, ("volume_im",), (Pim,))


def responsive(period_s: float, low: float, high: float, rise_s: float, fall_s: float) -> Drive:
    """Return a microvascular resistance whose square root follows one hump a cycle."""
    shape = hump(period_s, rise_s, fall_s)
    return lambda t: (low**0.5 + (high**0.5 - low**0.5) * shape(t)) ** 2


def _minus(value: float | Drive) -> float | Drive:
    return (lambda t: -value(t)) if callable(value) else -value
