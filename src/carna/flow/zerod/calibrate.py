"""Resistance, compliance, inertance and stenosis coefficient of vessels from observed flows and pressures.

Nothing is marched: the equations of each vessel are evaluated at the observed y and dy/dt, and their
residuals made small by Levenberg and Marquardt's damped least squares (doi:10.1137/0111030). Residuals of one
vessel know only its own numbers, so each step solves many small systems side by side; damping and stopping
are common to all.

Poor for: a steady state, which tells R + S|q| but neither apart, and nothing of C and L (they are left where
they were), and for a stenosis coefficient where flow hardly varies. Judge the fit by the residual before the
numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.zerod.case import Document, read
from carna.flow.zerod.circuit import Circuit, Port
from carna.flow.zerod.fields import numbers

Floats = npt.NDArray[np.float64]

_VESSEL = ("R_poiseuille", "C", "L", "stenosis_coefficient")
_OBSERVED = ("y", "dy", "calibration_parameters")
_BRANCH = ("R_poiseuille", "L", "stenosis_coefficient")


@final
@dataclass(frozen=True, slots=True)
class Calibration:
    """What observed waves say about a circuit.

    Attributes
    ----------
    document : dict
        The case with the numbers found, junctions with several outlets as ``BloodVesselJunction``; without
        the observations.
    residual : float
        Root mean square over all equations and observations, in the units of the case.
    steps : int
    converged : bool
        False where the steps allowed ran out first.
    """

    document: dict[str, Any]
    residual: float
    steps: int
    converged: bool


@final
@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """Observations at the two nodes of some vessels or branches: (vessels, times) each."""

    p_in: Floats
    q_in: Floats
    p_out: Floats
    q_out: Floats
    dp_in: Floats
    dq_in: Floats
    dq_out: Floats


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Normal:
    """J^T J and J^T r of many vessels: (vessels, k, k) and (vessels, k), and the sum of r^2."""

    curve: Floats
    slope: Floats
    squares: float


def calibrate(document: Document) -> Calibration:
    """Return the numbers of vessels and junctions that fit the observations ``y``, ``dy`` of a case.

    Parameters
    ----------
    document : mapping
        A case with ``y``, ``dy`` (lists, one value for each observation, by the name of the unknown) and
        ``calibration_parameters``. Vessels must be ``BloodVessel``; their numbers are the first guess.

    Raises
    ------
    InputError
        If an unknown next to a vessel was not observed, or observations differ in number.
    """
    circuit = read({k: v for k, v in document.items() if k not in _OBSERVED}).circuit
    settings = document.get("calibration_parameters", {})
    stenosis = bool(settings.get("calibrate_stenosis_coefficient", True))
    no_compliance = bool(settings.get("set_capacitance_to_zero", False))
    vessels = list(document["vessels"])
    other = [v["vessel_name"] for v in vessels if v["zero_d_element_type"] != "BloodVessel"]
    if other:
        raise InputError(f"{other[0]!r}, which is no BloodVessel", needed="BloodVessel throughout")
    ports = circuit.ports
    branched = [j for j in document.get("junctions", []) if len(ports[j["junction_name"]].outlets) > 1]
    for one in branched:
        if len(ports[one["junction_name"]].inlets) != 1:
            raise InputError(
                f"junction {one['junction_name']!r} with several inlets and outlets", needed="one inlet"
            )
    ends = [(ports[v["vessel_name"]].inlets[0], ports[v["vessel_name"]].outlets[0]) for v in vessels]
    ways = [
        (ports[j["junction_name"]].inlets[0], o) for j in branched for o in ports[j["junction_name"]].outlets
    ]
    tube = np.array([[_of(v["zero_d_element_values"], k) for k in _VESSEL] for v in vessels]).reshape(-1, 4)
    if no_compliance:
        tube[:, 1] = 0.0
    branch = np.array(
        [
            [float(j["junction_values"][k][n]) if "junction_values" in j else 0.0 for k in _BRANCH]
            for j in branched
            for n in range(len(ports[j["junction_name"]].outlets))
        ]
    ).reshape(-1, 3)
    free = np.array([True, not no_compliance, True, stenosis])
    tube, branch, residual, steps, converged = _descend(
        (_waves(document, circuit, ends), tube, free),
        (_waves(document, circuit, ways), branch, free[[0, 2, 3]]),
        damping=float(settings.get("initial_damping_factor", 1.0)),
        flat=float(settings.get("tolerance_gradient", 1e-5)),
        still=float(settings.get("tolerance_increment", 1e-10)),
        most=int(settings.get("maximum_iterations", 100)),
    )
    return Calibration(_filled(document, circuit, tube, branch), residual, steps, converged)


def _of(values: Mapping[str, Any], key: str) -> float:
    return float(values.get(key, 0.0))


def _waves(document: Document, circuit: Circuit, ends: list[tuple[Port, Port]]) -> Waves:
    lengths = {len(v) for kind in ("y", "dy") for v in document.get(kind, {}).values()}
    if len(lengths) > 1:
        raise InputError(
            f"observations of different lengths, {min(lengths)} to {max(lengths)}",
            needed="as many for each unknown",
        )

    def gather(kind: str, side: int, what: str) -> Floats:
        names = [circuit.names[getattr(e[side], what)] for e in ends]
        missing = [n for n in names if n not in document.get(kind, {})]
        if missing:
            raise InputError(f"no {kind} of {missing[0]}", needed="observations at both ends of each vessel")
        rows = [numbers(document[kind][n], f"{kind} of {n}") for n in names]
        return np.array(rows) if rows else np.zeros((0, 1))

    return Waves(
        gather("y", 0, "p"), gather("y", 0, "q"), gather("y", 1, "p"), gather("y", 1, "q"),
        gather("dy", 0, "p"), gather("dy", 0, "q"), gather("dy", 1, "q"),
    )  # fmt: skip


def _tube(w: Waves, a: Floats) -> _Normal:
    """Both equations of a BloodVessel; columns R, C, L, S."""
    r, c, inertia, s = (a[:, k, None] for k in range(4))
    size = np.abs(w.q_in)
    zero = np.zeros_like(size)
    one = w.p_in - w.p_out - (r + s * size) * w.q_in - inertia * w.dq_out
    slow = (r + 2 * s * size) * w.dq_in
    two = w.q_in - w.q_out - c * w.dp_in + c * slow
    first = np.stack([-w.q_in, zero, -w.dq_out, -size * w.q_in], 1)
    second = np.stack([c * w.dq_in, slow - w.dp_in, zero, 2 * c * size * w.dq_in], 1)
    return _normal(np.concatenate([first, second], 2), np.concatenate([one, two], 1))


def _way(w: Waves, a: Floats) -> _Normal:
    """The equation of one outlet of a BloodVesselJunction; columns R, L, S."""
    r, inertia, s = (a[:, k, None] for k in range(3))
    size = np.abs(w.q_out)
    off = w.p_in - w.p_out - (r + s * size) * w.q_out - inertia * w.dq_out
    return _normal(np.stack([-w.q_out, -w.dq_out, -size * w.q_out], 1), off)


def _normal(columns: Floats, off: Floats) -> _Normal:
    curve = np.einsum("vkt,vlt->vkl", columns, columns)
    return _Normal(curve, np.einsum("vkt,vt->vk", columns, off), float((off**2).sum()))


def _descend(
    tubes: tuple[Waves, Floats, npt.NDArray[np.bool_]],
    ways: tuple[Waves, Floats, npt.NDArray[np.bool_]],
    *,
    damping: float,
    flat: float,
    still: float,
    most: int,
) -> tuple[Floats, Floats, float, int, bool]:
    """Return numbers of vessels and of branches, the residual, the steps taken and whether they settled."""
    (seen, a, free_a), (crossed, b, free_b) = tubes, ways
    a, b = a.copy(), b.copy()
    count = 2 * seen.p_in.size + crossed.p_in.size
    before = 0.0
    for step in range(1, most + 1):
        here, there = _tube(seen, a), _way(crossed, b)
        slope = float(np.sqrt((here.slope[:, free_a] ** 2).sum() + (there.slope[:, free_b] ** 2).sum()))
        if step > 1:
            damping *= slope / before if before > 0 else 0.0
        before = slope
        da, db = _solve(here, free_a, damping), _solve(there, free_b, damping)
        a -= da
        b -= db
        moved = float(np.sqrt((da**2).sum() + (db**2).sum()))
        if slope < flat and moved < still:
            break
    squares = _tube(seen, a).squares + _way(crossed, b).squares
    return a, b, float(np.sqrt(squares / count)), step, slope < flat and moved < still


def _solve(n: _Normal, free: npt.NDArray[np.bool_], damping: float) -> Floats:
    """Return (J^T J + damping diag(J^T J))^-1 J^T r, 0 for what nothing observed depends on."""
    scale = np.sqrt(np.einsum("vkk->vk", n.curve)) * free
    by = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    curve = n.curve * by[:, :, None] * by[:, None, :]
    curve += damping * np.einsum("vk,kl->vkl", (scale > 0).astype(float), np.eye(scale.shape[1]))
    # Columns that cannot be told apart (R and S in steady flow) share the step.
    return np.asarray(
        by * np.einsum("vkl,vl->vk", np.linalg.pinv(curve, rcond=1e-14, hermitian=True), n.slope * by)
    )


def _filled(document: Document, circuit: Circuit, tube: Floats, branch: Floats) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy({k: v for k, v in document.items() if k not in _OBSERVED})
    for one, fitted in zip(found["vessels"], tube.tolist(), strict=True):
        one["zero_d_element_values"] = dict(zip(_VESSEL, fitted, strict=True))
    at = 0
    for one in found.get("junctions", []):
        ways = len(circuit.ports[one["junction_name"]].outlets)
        if ways > 1:
            part = branch[at : at + ways].T.tolist()
            one["junction_type"] = "BloodVesselJunction"
            one["junction_values"] = dict(zip(_BRANCH, part, strict=True))
            at += ways
    return found
