"""The keys of a svZeroDSolver case file, and the refusal of what does not fit them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np

from carna.errors import InputError

# fmt: off
PARAMETERS: Final = (
    "number_of_cardiac_cycles", "number_of_time_pts_per_cardiac_cycle", "absolute_tolerance", "rho_infty",
    "maximum_nonlinear_iterations", "steady_initial", "cardiac_period", "use_cycle_to_cycle_error",
    "sim_cycle_to_cycle_percent_error", "output_all_cycles", "output_variable_based", "output_mean_only",
    "output_derivative", "output_interval", "density", "viscosity", "model_name",
)
SECTIONS: Final = (
    "description", "simulation_parameters", "boundary_conditions", "vessels", "junctions", "valves",
    "chambers", "closed_loop_blocks", "external_solver_coupling_blocks", "initial_condition",
    "initial_condition_d", "calibration_parameters", "y", "dy",
)
SPHERE: Final = (
    "rho", "thick0", "radius0", "W1", "W2", "eta", "sigma_max", "alpha_max", "alpha_min", "tsys", "tdias",
    "steepness",
)
_TEXTS: Final = frozenset((
    "bc_name", "bc_type", "vessel_name", "zero_d_element_type", "junction_name", "junction_type", "name",
    "type", "upstream_block", "downstream_block", "location", "connected_block", "closed_loop_type", "inlet",
    "outlet", "model_name",
))
_MAPS: Final = frozenset((
    "simulation_parameters", "initial_condition", "initial_condition_d", "calibration_parameters", "y", "dy",
    "bc_values", "zero_d_element_values", "junction_values", "params", "activation_function", "parameters",
    "values",
))
_LISTS: Final = frozenset((
    "vessels", "junctions", "valves", "chambers", "closed_loop_blocks", "external_solver_coupling_blocks",
    "inlet_vessels", "outlet_vessels", "inlet_blocks", "outlet_blocks", "t",
))
_NUMBERS: Final = frozenset((
    "number_of_cardiac_cycles", "number_of_time_pts_per_cardiac_cycle", "absolute_tolerance", "rho_infty",
    "maximum_nonlinear_iterations", "cardiac_period", "cardiac_cycle_period", "output_interval",
    "sim_cycle_to_cycle_percent_error",
))
# fmt: on
END_KEYS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "FLOW": (("Q",), ("t", "periodic")),
    "PRESSURE": (("P",), ("t", "periodic")),
    "RESISTANCE": (("R", "Pd"), ("t",)),
    "RCR": (("Rp", "C", "Rd"), ("Pd",)),
    "CORONARY": (("Ra1", "Ra2", "Rv1", "Ca", "Cc", "P_v", "Pim"), ("t",)),
    "CORONARY_VAR_RES": (
        ("Ra1", "Ra2_min", "Ra2_max", "T_vc", "T_vr", "Rv1", "Ca", "Cc", "P_v", "Pim"),
        ("t",),
    ),
    "ClosedLoopRCR": (("Rp", "C", "Rd"), ("closed_loop_outlet",)),
    "ClosedLoopCoronaryLeft": (("Ra", "Ram", "Rv", "Ca", "Cim"), ()),
    "ClosedLoopCoronaryRight": (("Ra", "Ram", "Rv", "Ca", "Cim"), ()),
}
VESSEL_KEYS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "BloodVessel": (("R_poiseuille",), ("C", "L", "stenosis_coefficient")),
    "BloodVesselCRL": (("R_poiseuille",), ("C", "L", "stenosis_coefficient")),
    "BloodVesselRC": (("Rpd", "Cp"), ()),
    "ChamberSphere": (SPHERE, ()),
}
CHAMBER_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "ChamberElastanceInductor": ("Emax", "Emin", "Vrd", "Vrs", "Impedance"),
    "ChamberElastanceInductorExponential": ("Emax", "Kxp", "Kxv", "Vaso", "Impedance"),
    "LinearElastanceChamber": ("Emax", "Epass", "Vrest"),
}
VALVE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "ValveTanh": ("Rmax", "Rmin", "Steepness"),
    "PiecewiseValve": ("Rmax", "Rmin"),
}


_JOINED: Final[Mapping[str, type | tuple[type, ...]]] = {
    "inlet_vessels": (int, str),
    "outlet_vessels": (int, str),
    "inlet_blocks": str,
    "outlet_blocks": str,
}


def checked(values: object, where: str, allowed: Iterable[str], needed: Iterable[str] = ()) -> dict[str, Any]:
    """Return a mapping without its comments; refuse what is unknown or missing in it."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where} that is {type(values).__name__}", needed="names with values")
    found = {k: v for k, v in values.items() if not str(k).startswith("_")}
    unknown = sorted(set(found) - set(allowed) - set(needed))
    if unknown:
        known = ", ".join((*needed, *allowed))
        raise InputError(f"{where} with unknown {', '.join(unknown)}", needed=f"one of {known}")
    missing = [k for k in needed if k not in found]
    if missing:
        raise InputError(f"{where} without {', '.join(missing)}", needed="a value for each")
    return found


def shaped(values: Mapping[str, Any], where: str) -> None:
    """Refuse what has the wrong shape for its key, at any depth: a key means the same shape everywhere."""
    for key, value in values.items():
        if str(key).startswith("_"):
            continue
        for keys, kinds, words in (
            (_TEXTS, (str,), "a name"),
            (_MAPS, (Mapping,), "names with values"),
            (_LISTS, (list, tuple), "a list"),
        ):
            if key in keys and not isinstance(value, kinds):
                raise InputError(f"{key} of {where} = {value!r:.60}", needed=words)
        if key in _NUMBERS:
            number(value, f"{key} of {where}")
        if isinstance(value, Mapping):
            shaped(value, key)
        elif isinstance(value, list | tuple):
            for one in value:
                if key in _JOINED and not isinstance(one, _JOINED[key]):
                    raise InputError(f"{key} of {where} with {one!r:.60}", needed="ids or names")
                if isinstance(one, Mapping):
                    shaped(one, key)


def numbers(value: object, where: str) -> list[float]:
    """Return a list of finite numbers."""
    if not isinstance(value, list | tuple):
        raise InputError(f"{where} = {value!r:.60}", needed="a list of numbers")
    return [number(x, where) for x in value]


def number(value: object, where: str) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise InputError(f"{where} = {value!r}", needed="a finite number")
    return float(value)


def kind_of(kind: object, known: Collection[str], where: str) -> str:
    """Return a type that is known."""
    if kind not in known:
        raise InputError(f"{where} of type {kind!r}", needed=" or ".join(known))
    return str(kind)
