"""Valves, chambers, and a whole heart with lungs, as blocks of a circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, final

import numpy as np

from carna.errors import InputError
from carna.flow.zerod.circuit import Block, Equations, Floats, Ports
from carna.flow.zerod.drive import Drive, sphere_activation, ventricle, wrapping_cosine
from carna.flow.zerod.elements import EXPONENTIAL, LAGGED, PIECEWISE, SPHERE, SWITCH, TANH


def valve_tanh(name: str, Rmax: float, Rmin: float, Steepness: float) -> Block:
    """Return a valve whose resistance goes smoothly from Rmin (open) to Rmax (closed)."""

    def write(to: Equations, at: Ports) -> None:
        i, o, (status,) = at.inlets[0], at.outlets[0], at.inner
        loss = to.row({i.p: 1.0, o.p: -1.0, i.q: -0.5 * (Rmax + Rmin)})
        to.row({i.q: 1.0, o.q: -1.0})
        shut = to.row({status: 1.0}, c=-0.5)
        entries = [(loss, i.p), (loss, o.p), (loss, i.q), (shut, i.p), (shut, o.p)]
        to.element(TANH, [i.p, o.p, i.q], [loss, shut], entries, [Rmax, Rmin, Steepness])

    return Block(name, "ValveTanh", 1, 1, write, ("valve_status",))


def valve_piecewise(name: str, Rmax: float, Rmin: float) -> Block:
    """Return a valve of resistance Rmin while pressure falls along it, else Rmax."""

    def write(to: Equations, at: Ports) -> None:
        i, o = at.inlets[0], at.outlets[0]
        loss = to.row({i.p: 1.0, o.p: -1.0})
        to.row({i.q: 1.0, o.q: -1.0})
        to.element(PIECEWISE, [i.p, o.p, i.q], [loss], [(loss, i.q)], [Rmax, Rmin])

    return Block(name, "PiecewiseValve", 1, 1, write)


def chamber_inductor(
    name: str, active: Drive, *, Emax: float, Emin: float, Vrd: float, Vrs: float, Impedance: float
) -> Block:
    """Return a chamber p_in = E(t) (V - V_rest(t)) that empties through an inductor."""

    def elastance(t: Floats) -> Floats:
        return (Emax - Emin) * active(t) + Emin

    def rest(t: Floats) -> Floats:
        return (1 - active(t)) * (Vrd - Vrs) + Vrs

    def write(to: Equations, at: Ports) -> None:
        i, (volume,) = at.inlets[0], at.inner
        to.row({i.p: 1.0, volume: lambda t: -elastance(t)}, c=lambda t: elastance(t) * rest(t))
        _empties(to, at, Impedance)

    return Block(name, "ChamberElastanceInductor", 1, 1, write, ("Vc",))


def chamber_exponential(
    name: str, active: Drive, *, Emax: float, Kxp: float, Kxv: float, Vaso: float, Impedance: float
) -> Block:
    """Return a chamber that is linear when active and exponential at rest, with an inductor at its outlet."""

    def write(to: Equations, at: Ports) -> None:
        i, (volume,) = at.inlets[0], at.inner
        _atrium(to, i.p, volume, active, Emax, Kxp, Kxv, Vaso)
        _empties(to, at, Impedance)

    return Block(name, "ChamberElastanceInductorExponential", 1, 1, write, ("Vc",))


def _atrium(
    to: Equations, p: int, volume: int, active: Drive, Emax: float, Kxp: float, Kxv: float, Vaso: float
) -> None:
    """Write p = a Emax (V - Vaso) + (1 - a) Kxp (exp(Kxv (V - Vaso)) - 1)."""
    row = to.row({p: 1.0, volume: lambda t: -Emax * active(t)}, c=lambda t: Emax * Vaso * active(t))
    to.element(EXPONENTIAL, [volume], [row], [(row, volume)], [Kxp, Kxv, Vaso], by=lambda t: 1 - active(t))


def _empties(to: Equations, at: Ports, inertia: float) -> None:
    i, o, (volume,) = at.inlets[0], at.outlets[0], at.inner
    to.row({i.p: 1.0, o.p: -1.0}, {o.q: -inertia})
    to.row({i.q: 1.0, o.q: -1.0}, {volume: -1.0})


def chamber_linear(name: str, active: Drive, *, Emax: float, Epass: float, Vrest: float) -> Block:
    """Return a chamber p = (Epass + Emax a(t)) (V - Vrest)."""

    def elastance(t: Floats) -> Floats:
        return Epass + Emax * active(t)

    def write(to: Equations, at: Ports) -> None:
        i, o, (volume,) = at.inlets[0], at.outlets[0], at.inner
        to.row({i.p: 1.0, volume: lambda t: -elastance(t)}, c=lambda t: elastance(t) * Vrest)
        to.row({i.p: 1.0, o.p: -1.0})
        to.row({i.q: 1.0, o.q: -1.0}, {volume: -1.0})

    return Block(name, "LinearElastanceChamber", 1, 1, write, ("Vc",))


def chamber_sphere(
    name: str,
    period_s: float,
    *,
    rho: float,
    thick0: float,
    radius0: float,
    W1: float,
    W2: float,
    eta: float,
    sigma_max: float,
    alpha_max: float,
    alpha_min: float,
    tsys: float,
    tdias: float,
    steepness: float,
) -> Block:
    """Return a thin sphere of active muscle (Caruel et al. 2014, doi:10.1007/s10237-013-0544-6)."""
    rate = sphere_activation(period_s, tsys, tdias, steepness, alpha_max, alpha_min)

    def write(to: Equations, at: Ports) -> None:
        i, o, (r, v, stress, tau, volume) = at.inlets[0], at.outlets[0], at.inner
        inertia = to.row({}, {v: rho * thick0})
        wall = to.row({stress: -1.0, tau: 1.0})
        swept = to.row({}, {volume: -1.0})
        to.row({tau: lambda t: np.abs(rate(t))}, {tau: 1.0}, lambda t: -sigma_max * np.maximum(rate(t), 0.0))
        to.row({v: -1.0}, {r: 1.0})
        to.row({i.q: 1.0, o.q: -1.0}, {volume: -1.0})
        to.row({i.p: 1.0, o.p: -1.0})
        to.element(
            SPHERE,
            [r, v, stress, o.p],
            [inertia, wall, swept],
            [(inertia, r), (inertia, stress), (inertia, o.p), (wall, r), (swept, r), (swept, v)],
            [radius0, thick0, W1, W2, eta],
        )

    return Block(name, "ChamberSphere", 1, 1, write, ("radius", "velo", "stress", "tau", "volume"))


@final
@dataclass(frozen=True, slots=True)
class HeartNumbers:
    """The 27 numbers of a closed-loop heart, by the names of the case files (mmHg, mL, s there)."""

    Tsa: float
    tpwave: float
    Erv_s: float
    Elv_s: float
    iml: float
    imr: float
    Lra_v: float
    Rra_v: float
    Lrv_a: float
    Rrv_a: float
    Lla_v: float
    Rla_v: float
    Llv_a: float
    Rlv_ao: float
    Vrv_u: float
    Vlv_u: float
    Rpd: float
    Cp: float
    Cpa: float
    Kxp_ra: float
    Kxv_ra: float
    Kxp_la: float
    Kxv_la: float
    Emax_ra: float
    Emax_la: float
    Vaso_ra: float
    Vaso_la: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> HeartNumbers:
        """Read them from a mapping.

        Raises
        ------
        InputError
            If one is missing or unknown.
        """
        names = {f.name for f in fields(cls)}
        if set(values) != names:
            missing, unknown = sorted(names - set(values)), sorted(set(values) - names)
            raise InputError(
                f"a heart without {', '.join(missing) or 'nothing'} and with unknown "
                f"{', '.join(unknown) or 'nothing'}",
                needed="its 27 numbers",
            )
        return cls(**values)


# One adult at rest, in mmHg, mL, s: what the closed-loop cases of svZeroDSolver carry, fitted in Sankaran et
# al. 2012 and Menon et al. 2023. An example to start from, not a population.
ADULT: Final = HeartNumbers(
    Tsa=0.40742,
    tpwave=8.976868,
    Erv_s=2.125279,
    Elv_s=3.125202,
    iml=0.509365,
    imr=0.806369,
    Lra_v=0.000217032,
    Rra_v=0.007887459,
    Lrv_a=0.000186865,
    Rrv_a=0.035061704,
    Lla_v=0.000351787,
    Rla_v=0.005310825,
    Llv_a=0.000110776,
    Rlv_ao=0.034320234,
    Vrv_u=9.424629,
    Vlv_u=5.606007,
    Rpd=0.098865401,
    Cp=1.090989,
    Cpa=0.556854,
    Kxp_ra=9.22244,
    Kxv_ra=0.004837,
    Kxp_la=9.194992,
    Kxv_la=0.008067,
    Emax_ra=0.208858,
    Emax_la=0.303119,
    Vaso_ra=4.848742,
    Vaso_la=9.355754,
)

INNER: Final = (
    "V_RA",
    "Q_RA",
    "P_RV",
    "V_RV",
    "Q_RV",
    "P_pul",
    "P_LA",
    "V_LA",
    "Q_LA",
    "P_LV",
    "V_LV",
    "Q_LV",
)


def heart(name: str, period_s: float, n: HeartNumbers) -> Block:
    """Return four chambers, four valves and the lungs (Sankaran et al. 2012, doi:10.1007/s10439-012-0579-3).

    Its inlet has the pressure of the right atrium, its outlet that of the aorta. A valve is closed while
    pressure is higher beyond it and nothing flows forward. The left atrium fills with what the right
    ventricle ejects, not with what passes the lungs' resistance: the equations of the case files, kept.
    Known failure, kept with them: after a valve closes a few per cent of its peak flow linger in its
    unknown for a tenth of a second.
    """
    atrial, ventricular = wrapping_cosine(period_s, n.Tsa, n.tpwave), ventricle(period_s)

    def write(to: Equations, at: Ports) -> None:
        if to.steady:
            raise InputError(
                "a steady start of a beating heart",
                needed="an initial condition",
                fix="steady_initial: false",
            )
        i, o = at.inlets[0], at.outlets[0]
        v_ra, q_ra, p_rv, v_rv, q_rv, p_pul, p_la, v_la, q_la, p_lv, v_lv, q_lv = at.inner
        _atrium(to, i.p, v_ra, atrial, n.Emax_ra, n.Kxp_ra, n.Kxv_ra, n.Vaso_ra)
        aorta = to.row({o.q: 1.0}, {o.p: n.Cpa})
        ra = to.row({i.q: -1.0}, {v_ra: 1.0})
        tricuspid = to.row({i.p: -1.0, p_rv: 1.0}, {q_ra: n.Lra_v})
        to.row(
            {p_rv: 1.0, v_rv: lambda t: -n.Erv_s * ventricular(t)},
            c=lambda t: n.Erv_s * n.Vrv_u * ventricular(t),
        )
        rv = to.row({}, {v_rv: 1.0})
        pulmonary = to.row({p_rv: -1.0, p_pul: 1.0}, {q_rv: n.Lrv_a})
        lungs = to.row({p_pul: 1 / n.Rpd, p_la: -1 / n.Rpd}, {p_pul: n.Cp})
        _atrium(to, p_la, v_la, atrial, n.Emax_la, n.Kxp_la, n.Kxv_la, n.Vaso_la)
        la = to.row({}, {v_la: 1.0})
        mitral = to.row({p_la: -1.0, p_lv: 1.0}, {q_la: n.Lla_v})
        to.row(
            {p_lv: 1.0, v_lv: lambda t: -n.Elv_s * ventricular(t)},
            c=lambda t: n.Elv_s * n.Vlv_u * ventricular(t),
        )
        lv = to.row({}, {v_lv: 1.0})
        aortic = to.row({p_lv: -1.0, o.p: 1.0}, {q_lv: n.Llv_a})
        for up, down, q, parts in (
            (i.p, p_rv, q_ra, {ra: 1.0, tricuspid: n.Rra_v, rv: -1.0}),
            (p_rv, p_pul, q_rv, {rv: 1.0, pulmonary: n.Rrv_a, lungs: -1.0, la: -1.0}),
            (p_la, p_lv, q_la, {la: 1.0, mitral: n.Rla_v, lv: -1.0}),
            (p_lv, o.p, q_lv, {lv: 1.0, aortic: n.Rlv_ao, aorta: -1.0}),
        ):
            to.element(SWITCH, [up, down, q], list(parts), [(row, q) for row in parts], list(parts.values()))

    return Block(name, "ClosedLoopHeartAndPulmonary", 1, 1, write, INNER)


def closed_coronary(
    name: str,
    muscle: str,
    share: float,
    *,
    Ra: float,
    Ram: float,
    Rv: float,
    Ca: float,
    Cim: float,
) -> Block:
    """Return a coronary bed between aorta and right atrium, squeezed by ``share`` of a ventricle's pressure.

    Parameters
    ----------
    muscle : str
        That pressure's unknown, for instance ``P_LV:CLH``.
    """

    def write(to: Equations, at: Ports) -> None:
        i, o, (volume,) = at.inlets[0], at.outlets[0], at.inner
        to.row(
            {o.p: 1.0, i.p: -1.0, i.q: Ram + Ra, o.q: Rv},
            {i.p: -Ram * Ca, i.q: Ram * Ra * Ca},
        )
        to.row({i.q: 1.0, o.q: -1.0}, {i.p: -Ca, i.q: Ca * Ra, volume: -1.0})
        row = to.row({o.p: Cim, o.q: Cim * Rv, volume: -1.0})
        to.element(LAGGED, [to.circuit.names.index(muscle)], [row], [], [-Cim * share])

    return Block(name, "ClosedLoopCoronary", 1, 1, write, ("volume_im",))
