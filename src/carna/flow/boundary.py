"""What happens at the ends of the vessels: one object for every solver.

Pressure, mean or over a beat, at the inlet; at each outlet the small vessels that were not drawn: a
resistance to the veins, with a compliance where time matters, squeezed by the muscle where it is a coronary.
The steady solver reads the resistances only; a rung that needs more refuses a boundary that lacks it.

The presets make these from what is known of a patient. Every default stands below with its source and its
range; `carna.flow.uncertain` draws from the same ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.network import Network

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Known:
    """A default with its range and where both come from."""

    value: float
    low: float
    high: float
    unit: str
    source: str


# Names are those of the presets' parameters.
DEFAULTS: Mapping[str, Known] = MappingProxyType(
    {
        "pressure_mmHg": Known(
            93.0, 60.0, 140.0, "mm[Hg]", "mean aortic pressure; a cuff's mean where there is one"
        ),
        "venous_mmHg": Known(5.0, 0.0, 12.0, "mm[Hg]", "central venous pressure at rest"),
        "perfusion_ml_min_g": Known(
            1.0,
            0.6,
            1.4,
            "mL/min/g",
            "resting myocardial perfusion; positron emission tomography, wide between people",
        ),
        "mass_g": Known(130.0, 60.0, 300.0, "g", "left ventricular mass; sex and size decide, measure it"),
        "hyperaemia": Known(
            0.24, 0.21, 0.28, "1", "microvascular resistance under adenosine, of rest; published 0.21 to 0.28"
        ),
        "exponent": Known(
            2.55,
            2.1,
            2.75,
            "1",
            "outlet flow follows radius to this power; Huo & Kassab 2007 have 7/3, Murray 3",
        ),
        "viscosity_mPas": Known(4.0, 3.3, 4.8, "mPa.s", "whole blood at high shear; haematocrit decides"),
        "expansion": Known(
            1.52, 1.0, 2.0, "1", "jet loss at an expansion; Young & Tsai 1973, range over published fits"
        ),
        "renal_flow_ml_s": Known(
            8.0, 5.0, 11.0, "mL/s", "one kidney at rest; about a tenth of the cardiac output"
        ),
        "renal_reserve": Known(
            1.8, 1.3, 2.4, "1", "hyperaemic over resting renal flow; dopamine or papaverine, wide"
        ),
        "velocity_m_s": Known(
            0.35, 0.2, 0.5, "m/s", "hyperaemic mean velocity, the fixed-flow QFR convention"
        ),
    }
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Wave:
    """One period of something.

    Parameters
    ----------
    time_s : (n,) float
        Growing from 0 to the period, both included.
    value : (n,) float
        Ends where it began.
    """

    time_s: Floats
    value: Floats

    def __post_init__(self) -> None:
        t, y = np.asarray(self.time_s, float), np.asarray(self.value, float)
        if t.ndim != 1 or t.shape != y.shape or len(t) < 3 or t[0] != 0 or (np.diff(t) <= 0).any():
            raise InputError(
                f"a wave of {t.shape} times and {y.shape} values",
                needed="growing times from 0, one value each",
            )
        if abs(y[-1] - y[0]) > 0.05 * np.ptp(y) + 1e-12:
            raise InputError(
                f"a wave that begins at {y[0]:.4g} and ends at {y[-1]:.4g}",
                needed="one whole period",
                fix="give times from 0 to the period, the first value again at the end",
            )

    @property
    def period_s(self) -> float:
        """Length of the period, s."""
        return float(self.time_s[-1])

    @property
    def mean(self) -> float:
        """Mean over the period."""
        return float(np.trapezoid(self.value, self.time_s) / self.period_s)

    def at(self, time_s: npt.ArrayLike) -> Floats:
        """Return the values at any times, s (linear between samples, periodic)."""
        return np.asarray(np.interp(np.asarray(time_s, float) % self.period_s, self.time_s, self.value))


@final
@dataclass(frozen=True, slots=True)
class Outlet:
    """The vessels beyond an outlet.

    Attributes
    ----------
    resistance : float
        Total, to the veins, mmHg s/mL, > 0.
    venous_mmHg : float
        Pressure where they end.
    proximal : float, 0 to 1
        Share of the resistance before the compliance: 0.09 systemic, 0.32 coronary.
    compliance : float or None
        mL/mmHg; None for a plain resistance.
    muscle : Wave or None
        Intramyocardial pressure, mmHg, for a coronary outlet.
    """

    resistance: float
    venous_mmHg: float = 5.0
    proximal: float = 0.09
    compliance: float | None = None
    muscle: Wave | None = None

    def __post_init__(self) -> None:
        if not self.resistance > 0 or not 0 <= self.proximal < 1:
            raise InputError(
                f"an outlet of {self.resistance:g} mmHg s/mL, {self.proximal:g} of it proximal",
                needed="a resistance above 0 and a share from 0 to below 1",
            )


@final
@dataclass(frozen=True, slots=True)
class Boundary:
    """Conditions at all ends of a network.

    Attributes
    ----------
    pressure_mmHg : float or None
        Mean pressure at the inlet; None where the flow is given instead.
    outlets : mapping of segment to Outlet
        One for each segment in `Network.outlets`.
    flow_ml_s : float or None
        Mean flow into the inlet, where that is what is known.
    wave : Wave or None
        Pressure (mmHg) or flow (mL/s) over one beat, of whichever is given; its mean is that number.
    assumed : mapping of str to float
        What the preset took from `DEFAULTS` for lack of a measurement.
    """

    pressure_mmHg: float | None
    outlets: Mapping[int, Outlet]
    flow_ml_s: float | None = None
    wave: Wave | None = None
    assumed: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if (self.pressure_mmHg is None) == (self.flow_ml_s is None):
            raise InputError(
                f"an inlet pressure of {self.pressure_mmHg} and a flow of {self.flow_ml_s}",
                needed="one of the two",
            )
        if self.pressure_mmHg is not None and not 20 <= self.pressure_mmHg <= 250:
            raise InputError(
                f"a mean inlet pressure of {self.pressure_mmHg:g} mmHg",
                needed="20 to 250 mmHg",
                fix="give mmHg; 1 mmHg is 133.3 Pa or 1333 dyn/cm2",
            )
        if self.flow_ml_s is not None and not 0 < self.flow_ml_s <= 600:
            raise InputError(f"an inlet flow of {self.flow_ml_s:g} mL/s", needed="above 0, at most 600 mL/s")

    def with_resistance(self, factor: float) -> Boundary:
        """Return the boundary with every outlet's resistance multiplied."""
        scaled = {k: replace(o, resistance=o.resistance * factor) for k, o in self.outlets.items()}
        return replace(self, outlets=MappingProxyType(scaled))


def coronary(
    vessels: Network,
    *,
    pressure_mmHg: float | None = None,
    mass_g: float | None = None,
    flow_ml_s: float | None = None,
    state: Literal["rest", "hyperaemia"] = "hyperaemia",
    hyperaemia: float | None = None,
    exponent: float | None = None,
    reference_mm: npt.ArrayLike | None = None,
) -> Boundary:
    """Return the conditions of a coronary tree from what is known of the patient.

    Resting flow is myocardial mass times perfusion where the mass is given, else what 0.35 m/s through the
    inlet makes under hyperaemia. The resistance that yields it from healthy vessels is shared among outlets
    by their healthy radius to a power, and multiplied under hyperaemia.

    Parameters
    ----------
    vessels : Network
    pressure_mmHg : float, optional
        Mean aortic pressure.
    mass_g : float, optional
        Mass of the muscle that this tree feeds, g.
    flow_ml_s : float, optional
        Measured flow into the tree in this ``state``, mL/s; overrides mass.
    hyperaemia : float, optional
        Microvascular resistance under hyperaemia, of rest.
    exponent : float, optional
        Of radius, for sharing flow among outlets.
    reference_mm : (n,) float, optional
        Healthy radius at each point; `Network.radius_mm` if left out.
    """
    assumed: dict[str, float] = {}

    def or_default(name: str, given: float | None) -> float:
        if given is None:
            assumed[name] = DEFAULTS[name].value
            return DEFAULTS[name].value
        return given

    pressure = or_default("pressure_mmHg", pressure_mmHg)
    venous = or_default("venous_mmHg", None)
    power = or_default("exponent", exponent)
    healthy = vessels.radius_mm if reference_mm is None else np.asarray(reference_mm, float)
    if flow_ml_s is not None:
        total = (pressure - venous) / flow_ml_s
    elif mass_g is not None:
        rest = (pressure - venous) / (or_default("perfusion_ml_min_g", None) * mass_g / 60)
        total = rest * (or_default("hyperaemia", hyperaemia) if state == "hyperaemia" else 1.0)
    else:
        area = np.pi * float(healthy[vessels.segments[0][0]]) ** 2
        hyperaemic = (pressure - venous) / (or_default("velocity_m_s", None) * area)
        rested = hyperaemic / or_default("hyperaemia", hyperaemia) if state == "rest" else hyperaemic
        total = rested
    ends = vessels.outlets
    share = healthy[[vessels.segments[n][-1] for n in ends]] ** power
    outlets = {
        int(n): Outlet(float(total * share.sum() / s), venous, 0.32) for n, s in zip(ends, share, strict=True)
    }
    return Boundary(pressure, MappingProxyType(outlets), assumed=MappingProxyType(assumed))


def renal(
    vessels: Network,
    *,
    pressure_mmHg: float | None = None,
    flow_ml_s: float | None = None,
    state: Literal["rest", "hyperaemia"] = "rest",
    reserve: float | None = None,
    exponent: float | None = None,
    reference_mm: npt.ArrayLike | None = None,
) -> Boundary:
    """Return the conditions of one kidney's artery.

    Parameters
    ----------
    vessels : Network
    pressure_mmHg : float, optional
        Mean aortic pressure.
    flow_ml_s : float, optional
        Resting flow to this kidney without the narrowing, mL/s.
    state : {"rest", "hyperaemia"}
        Hyperaemia, by dopamine for instance, multiplies flow by the reserve.
    reserve : float, optional
        Hyperaemic over resting flow.
    exponent, reference_mm
        As in `coronary`.
    """
    assumed: dict[str, float] = {}
    given = {"pressure_mmHg": pressure_mmHg, "renal_flow_ml_s": flow_ml_s, "exponent": exponent}
    if state == "hyperaemia":
        given["renal_reserve"] = reserve
    for name, value in given.items():
        if value is None:
            given[name] = assumed[name] = DEFAULTS[name].value
    flow = float(given["renal_flow_ml_s"] or 0) * float(given.get("renal_reserve") or 1)
    made = coronary(
        vessels,
        pressure_mmHg=given["pressure_mmHg"],
        flow_ml_s=flow,
        exponent=given["exponent"],
        reference_mm=reference_mm,
    )
    return replace(made, assumed=MappingProxyType({**made.assumed, **assumed}))
