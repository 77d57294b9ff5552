"""svZeroDSolver case files: a document (parsed JSON) to a circuit, settings and the table it asks for.

Everything keeps the units of the file: CGS, SI or mmHg-mL-s, no number is converted. A key beginning with an
underscore is a comment; any other key that is not known is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from carna.errors import InputError
from carna.flow.zerod import heart as muscle
from carna.flow.zerod import vessels as tube
from carna.flow.zerod.circuit import Block, Circuit
from carna.flow.zerod.drive import Series, activation
from carna.flow.zerod.fields import (
    CHAMBER_KEYS,
    END_KEYS,
    PARAMETERS,
    SECTIONS,
    VALVE_KEYS,
    VESSEL_KEYS,
    checked,
    kind_of,
    number,
    numbers,
    shaped,
)
from carna.flow.zerod.simulate import Settings, Simulation, State, simulate
from carna.progress import SILENT, Progress

Document = Mapping[str, Any]

HEART: Final = "CLH"
_IN, _OUT = "J_heart_inlet", "J_heart_outlet"
# Rows of a table by vessel are of these.
_LISTED: Final = (
    "BloodVessel",
    "BloodVesselCRL",
    "ChamberSphere",
    "LinearElastanceChamber",
    "PiecewiseValve",
)


@final
@dataclass(frozen=True, slots=True)
class Case:
    """A case file, ready to run.

    Attributes
    ----------
    circuit : Circuit
    settings : Settings
    start : State
    by_variable, mean_only, derivative : bool
        The table that it asks for.
    every : int
        Rows of the table are every so many points.
    notes : tuple of str
        What was in the file and has no effect.
    """

    circuit: Circuit
    settings: Settings
    start: State
    by_variable: bool
    mean_only: bool
    derivative: bool
    every: int
    notes: tuple[str, ...]

    def run(self, progress: Progress = SILENT) -> Simulation:
        """March it; see `simulate`."""
        return simulate(self.circuit, self.settings, self.start, progress=progress)

    def table(self, found: Simulation) -> dict[str, list[Any]]:
        """Return columns as svZeroDSolver writes them: by unknown or by vessel, of all points or the mean."""
        keep = slice(None, None, self.every)
        time, y, rate = found.time[keep], found.y[keep], found.rate[keep]
        if self.mean_only:
            y, rate = y.mean(0, keepdims=True), rate.mean(0, keepdims=True)
        times: list[float | None] = [None] if self.mean_only else time.tolist()
        groups: list[tuple[str, dict[str, int]]]
        if self.by_variable:
            groups = [(name, {"y": n}) for n, name in enumerate(found.names)]
        else:
            groups = [
                (b.name, dict(zip(("flow_in", "flow_out", "pressure_in", "pressure_out"), at, strict=True)))
                for b in self.circuit.blocks
                if b.kind in _LISTED
                for p in [self.circuit.ports[b.name]]
                for at in [(p.inlets[0].q, p.outlets[0].q, p.inlets[0].p, p.outlets[0].p)]
            ]
        table: dict[str, list[Any]] = {
            "name": [name for name, _ in groups for _ in times],
            "time": times * len(groups),
        }
        for column in groups[0][1] if groups else ():
            table[column] = np.concatenate([y[:, at[column]] for _, at in groups]).tolist()
        if self.derivative:
            for column in groups[0][1] if groups else ():
                name = "ydot" if self.by_variable else f"d_{column}"
                table[name] = np.concatenate([rate[:, at[column]] for _, at in groups]).tolist()
        return table


def read(document: Document) -> Case:
    """Return the case that a parsed svZeroDSolver file describes.

    Parameters
    ----------
    document : mapping
        What ``json.load`` gives.

    Raises
    ------
    InputError
        If a block, a key or a reference is unknown, a number is missing or no number, a port is left open,
        or two periods differ.
    """
    reader = _Reader(document)
    period = _period(document, reader)
    blocks, nodes = reader.build(period)
    circuit = Circuit(tuple(blocks), tuple(nodes), period)
    given = checked(document.get("simulation_parameters", {}), "simulation_parameters", PARAMETERS)
    cycles = int(given.get("number_of_cardiac_cycles", 1))
    until = None
    if given.get("use_cycle_to_cycle_error", False):
        until = number(given.get("sim_cycle_to_cycle_percent_error", 1.0), "the cycle error") / 100
        slowest = max((b.time_constant_s or 0.0 for b in blocks), default=0.0)
        if slowest > 0:
            # The slowest windkessel says beforehand how many cycles it takes; without one they are compared.
            cycles, until = int(np.ceil(-slowest / period * np.log(until))), None
    settings = Settings(
        cycles=cycles,
        points=int(given.get("number_of_time_pts_per_cardiac_cycle", 101)),
        rho=float(given.get("rho_infty", 0.5)),
        tolerance=float(given.get("absolute_tolerance", 1e-8)),
        most=int(given.get("maximum_nonlinear_iterations", 30)),
        steady_start=bool(given.get("steady_initial", True)),
        all_cycles=bool(given.get("output_all_cycles", False)),
        until=until,
    )
    start, notes = _start(document, circuit)
    return Case(
        circuit,
        settings,
        start,
        bool(given.get("output_variable_based", False)),
        bool(given.get("output_mean_only", False)),
        bool(given.get("output_derivative", False)),
        max(1, int(given.get("output_interval", 1))),
        notes,
    )


def _series(values: Mapping[str, Any], name: str, where: str) -> Series:
    given = values[name]
    if not isinstance(given, list | tuple):
        return Series(np.zeros(1), np.array([number(given, f"{name} of {where}")]))
    if not given:
        raise InputError(f"{name} of {where} that is empty", needed="a value at least")
    value = np.array(numbers(given, f"{name} of {where}"))
    if len(value) == 1:
        return Series(np.zeros(1), value)
    if "t" not in values:
        raise InputError(f"{len(value)} values of {name} of {where} without times", needed="their times as t")
    time = np.array(numbers(values["t"], f"t of {where}"))
    return Series(time, value, bool(values.get("periodic", True)))


def _period(document: Document, reader: _Reader) -> float:
    """Return the one period on which everything in a file agrees."""
    found: list[tuple[str, float]] = []
    for name, series in reader.series():
        if series.period_s is not None:
            found.append((f"the series of {name}", series.period_s))
    for block in document.get("closed_loop_blocks", []):
        if "cardiac_cycle_period" in block:
            found.append(("the closed loop", number(block["cardiac_cycle_period"], "cardiac_cycle_period")))
    given = document.get("simulation_parameters", {}).get("cardiac_period")
    if given is not None:
        found.append(("cardiac_period", number(given, "cardiac_period")))
    for name, period in found[1:]:
        if abs(period - found[0][1]) > 1e-9 * abs(found[0][1]):
            raise InputError(
                f"inconsistent cardiac periods: {found[0][1]:g} of {found[0][0]}, {period:g} of {name}",
                needed="one period for the whole circuit",
                fix="stretch the times of one of them, or leave cardiac_period out",
            )
    period = found[0][1] if found else 1.0
    if not period > 0:
        raise InputError(f"a period of {period:g} ({found[0][0]})", needed="a period above 0")
    return period


def _start(document: Document, circuit: Circuit) -> tuple[State, tuple[str, ...]]:
    """Return the state that a file begins with, and what it names in vain."""
    notes: list[str] = []
    state = State(np.zeros(len(circuit.names)), np.zeros(len(circuit.names)))
    at = {name: n for n, name in enumerate(circuit.names)}
    for section, values in (("initial_condition", state.y), ("initial_condition_d", state.rate)):
        given = {
            k: number(v, f"{section} of {k}")
            for k, v in document.get(section, {}).items()
            if not k.startswith("_")
        }
        if section == "initial_condition":
            for every, kinds in (("pressure_all", ("pressure:", "P_c:")), ("flow_all", ("flow:",))):
                if every in given:
                    value = given.pop(every)
                    for name, n in at.items():
                        if name.startswith(kinds):
                            values[n] = value
        for name, value in given.items():
            if name in at:
                values[at[name]] = value
            else:
                notes.append(f"{section} names {name}, which is no unknown of the circuit: left out")
    return state, tuple(notes)


@final
class _Reader:
    """Makes blocks and nodes in the order in which unknowns are numbered."""

    def __init__(self, document: Document) -> None:
        if not isinstance(document, Mapping):
            raise InputError(
                f"a case that is {type(document).__name__}",
                needed="the parsed document",
                fix="json.loads the text of the file first",
            )
        checked(document, "a case", SECTIONS)
        shaped(document, "the case")
        self.document = document
        self.ends = {b["bc_name"]: self._end(b) for b in self._list("boundary_conditions")}
        for v in self._list("vessels"):
            if not isinstance(v["vessel_id"], int | str):
                raise InputError(f"vessel_id {v['vessel_id']!r:.60}", needed="a whole number")
        self.vessels = {v["vessel_id"]: v["vessel_name"] for v in self._list("vessels")}
        self.couplings = {c["name"]: c for c in self._list("external_solver_coupling_blocks")}
        self.loops = self._list("closed_loop_blocks")
        if len(self.loops) > 1:
            raise InputError(f"{len(self.loops)} closed loops", needed="one at most")

    def _list(self, section: str) -> Sequence[Mapping[str, Any]]:
        needed = {
            "boundary_conditions": ("bc_name", "bc_type", "bc_values"),
            "vessels": ("vessel_id", "vessel_name", "zero_d_element_type", "zero_d_element_values"),
            "junctions": ("junction_name", "junction_type"),
            "valves": ("type", "name", "params"),
            "chambers": ("type", "name", "values", "activation_function"),
            "closed_loop_blocks": ("outlet_blocks", "closed_loop_type", "parameters"),
            "external_solver_coupling_blocks": ("name", "type", "location", "connected_block", "values"),
        }[section]
        optional = {
            "vessels": ("boundary_conditions", "vessel_length"),
            "junctions": (
                "inlet_vessels", "outlet_vessels", "inlet_blocks", "outlet_blocks", "junction_values", "areas"
            ),
            "closed_loop_blocks": ("cardiac_cycle_period",),
            "external_solver_coupling_blocks": ("periodic",),
        }.get(section, ())  # fmt: skip
        given = self.document.get(section, [])
        if not isinstance(given, list | tuple):
            raise InputError(f"{section} = {given!r:.60}", needed="a list")
        return [checked(one, f"one of {section}", optional, needed) for one in given]

    @staticmethod
    def _end(one: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        kind = kind_of(one["bc_type"], END_KEYS, f"boundary condition {one['bc_name']!r}")
        needed, optional = END_KEYS[kind]
        return kind, checked(one["bc_values"], f"{kind} {one['bc_name']!r}", optional, needed)

    def series(self) -> Iterable[tuple[str, Series]]:
        """Everything that changes with time."""
        for name, (kind, values) in self.ends.items():
            for key in {"FLOW": ("Q",), "PRESSURE": ("P",), "RESISTANCE": ("R", "Pd")}.get(
                kind, ("Pim",) if kind.startswith("CORONARY") else ()
            ):
                yield name, _series(values, key, name)
        for name, one in self.couplings.items():
            yield name, self._coupled(one)

    @staticmethod
    def _coupled(one: Mapping[str, Any]) -> Series:
        kind = kind_of(one["type"], ("FLOW", "PRESSURE"), f"coupling {one['name']!r}")
        key = "Q" if kind == "FLOW" else "P"
        values = checked(one["values"], f"coupling {one['name']!r}", ("t",), (key,))
        return _series({**values, "periodic": one.get("periodic", True)}, key, one["name"])

    def build(self, period: float) -> tuple[list[Block], list[tuple[str, str]]]:
        """Return blocks and nodes, each in its order."""
        blocks: list[Block] = []
        nodes: list[tuple[str, str]] = []
        inlets: dict[str, bool] = {}
        for one in self._list("vessels"):
            blocks.append(self._vessel(one, period))
            ends = checked(
                one.get("boundary_conditions", {}), f"vessel {one['vessel_name']!r}", ("inlet", "outlet")
            )
            for side in ("inlet", "outlet"):
                if side in ends:
                    if ends[side] not in self.ends:
                        raise InputError(
                            f"vessel {one['vessel_name']!r} with {side} {ends[side]!r}",
                            needed="a boundary condition of that name",
                        )
                    inlets[ends[side]] = side == "inlet"
                    pair = (ends[side], one["vessel_name"])
                    nodes.append(pair if side == "inlet" else pair[::-1])
        for name, one in self.couplings.items():
            kind_of(one["location"], ("inlet", "outlet"), f"the location of {name!r}")
            series, inlet = self._coupled(one), one["location"] == "inlet"
            make = tube.flow if one["type"] == "FLOW" else tube.pressure
            blocks.append(make(name, series, inlet=inlet))
            if inlet:
                nodes.append((name, one["connected_block"]))
            elif one["connected_block"] != "ClosedLoopHeartAndPulmonary":
                nodes.append((one["connected_block"], name))
        for valve in self._list("valves"):
            # A valve may stand right behind a boundary condition.
            inlets.update({valve["params"].get("upstream_block"): True})
        for name in self.ends:
            blocks.append(self._boundary(name, period, inlet=inlets.get(name, False)))
        for one in self._list("junctions"):
            ins = self._joined(one, "inlet")
            outs = self._joined(one, "outlet")
            blocks.append(self._junction(one, len(ins)))
            nodes += [(i, one["junction_name"]) for i in ins] + [(one["junction_name"], o) for o in outs]
        for loop in self.loops:
            self._close(loop, period, blocks, nodes)
        for valve in self._list("valves"):
            blocks.append(self._valve(valve, nodes))
        blocks += [self._chamber(one, period) for one in self._list("chambers")]
        return blocks, nodes

    @staticmethod
    def _numbers(values: Mapping[str, Any], where: str) -> dict[str, float]:
        return {k: number(v, f"{k} of {where}") for k, v in values.items()}

    def _vessel(self, one: Mapping[str, Any], period: float) -> Block:
        name = one["vessel_name"]
        kind = kind_of(one["zero_d_element_type"], VESSEL_KEYS, f"vessel {name!r}")
        needed, optional = VESSEL_KEYS[kind]
        v = self._numbers(checked(one["zero_d_element_values"], f"vessel {name!r}", optional, needed), name)
        if kind == "ChamberSphere":
            return muscle.chamber_sphere(name, period, **v)
        if kind == "BloodVesselRC":
            return tube.vessel_rc(name, v["Rpd"], v["Cp"])
        make = tube.vessel if kind == "BloodVessel" else tube.vessel_crl
        return make(
            name, v["R_poiseuille"], v.get("C", 0.0), v.get("L", 0.0), v.get("stenosis_coefficient", 0.0)
        )

    def _boundary(self, name: str, period: float, *, inlet: bool) -> Block:
        kind, values = self.ends[name]
        if kind == "FLOW":
            return tube.flow(name, _series(values, "Q", name), inlet=inlet)
        if kind == "PRESSURE":
            return tube.pressure(name, _series(values, "P", name), inlet=inlet)
        if kind == "RESISTANCE":
            return tube.resistance(name, _series(values, "R", name), _series(values, "Pd", name))
        v = self._numbers(
            {k: x for k, x in values.items() if k not in ("t", "Pim", "closed_loop_outlet")}, name
        )
        if kind == "RCR":
            return tube.rcr(name, **v)
        if kind == "ClosedLoopRCR":
            return tube.closed_rcr(name, **v)
        if kind.startswith("ClosedLoopCoronary"):
            if not self.loops:
                raise InputError(f"{kind} {name!r} without a heart", needed="a closed loop block")
            side, share = ("LV", "iml") if kind.endswith("Left") else ("RV", "imr")
            beating = self.loops[0]["parameters"]
            return muscle.closed_coronary(name, f"P_{side}:{HEART}", number(beating.get(share), share), **v)
        ram = (
            v["Ra2"]
            if kind == "CORONARY"
            else tube.responsive(period, v["Ra2_min"], v["Ra2_max"], v["T_vc"], v["T_vr"])
        )
        return tube.coronary(
            name, Ra=v["Ra1"], Ram=ram, Rv=v["Rv1"], Ca=v["Ca"], Cim=v["Cc"], Pv=v["P_v"],
            Pim=_series(values, "Pim", name), kind=kind,
        )  # fmt: skip

    def _joined(self, one: Mapping[str, Any], side: str) -> list[str]:
        if f"{side}_blocks" in one:
            return list(one[f"{side}_blocks"])
        found = one.get(f"{side}_vessels", [])
        lost = [n for n in found if n not in self.vessels]
        if lost:
            raise InputError(
                f"junction {one['junction_name']!r} with {side} vessel {lost[0]}",
                needed="the vessel_id of a vessel",
            )
        return [self.vessels[n] for n in found]

    @staticmethod
    def _junction(one: Mapping[str, Any], inlets: int) -> Block:
        name = one["junction_name"]
        known = ("NORMAL_JUNCTION", "internal_junction", "BloodVesselJunction", "resistive_junction")
        kind = kind_of(one["junction_type"], known, f"junction {name!r}")
        if kind in ("NORMAL_JUNCTION", "internal_junction"):
            return tube.junction(name)
        lists = ("R_poiseuille", "L", "stenosis_coefficient") if kind == "BloodVesselJunction" else ("R",)
        values = checked(one.get("junction_values", {}), f"junction {name!r}", (), lists)
        ways = [numbers(values[k], f"{k} of {name}") for k in lists]
        if kind == "BloodVesselJunction":
            return tube.vessel_junction(name, *ways)
        return tube.resistive_junction(name, inlets, ways[0])

    def _close(
        self, loop: Mapping[str, Any], period: float, blocks: list[Block], nodes: list[tuple[str, str]]
    ) -> None:
        kind_of(loop["closed_loop_type"], ("ClosedLoopHeartAndPulmonary",), "a closed loop")
        beating = {k: v for k, v in loop["parameters"].items() if not k.startswith("_")}
        back = [
            name
            for name, (kind, values) in self.ends.items()
            if kind.startswith("ClosedLoopCoronary")
            or (kind == "ClosedLoopRCR" and values.get("closed_loop_outlet", False))
        ]
        blocks += [
            tube.junction(_IN),
            muscle.heart(HEART, period, muscle.HeartNumbers.of(self._numbers(beating, HEART))),
            tube.junction(_OUT),
        ]
        nodes += [(_IN, HEART), *((name, _IN) for name in back)]
        nodes += [(HEART, _OUT), *((_OUT, name) for name in loop["outlet_blocks"])]

    def _valve(self, one: Mapping[str, Any], nodes: list[tuple[str, str]]) -> Block:
        name = one["name"]
        kind = kind_of(one["type"], VALVE_KEYS, f"valve {name!r}")
        ends = ("upstream_block", "downstream_block")
        params = checked(one["params"], f"valve {name!r}", (), (*VALVE_KEYS[kind], *ends))
        nodes += [(params["upstream_block"], name), (name, params["downstream_block"])]
        v = self._numbers({k: params[k] for k in VALVE_KEYS[kind]}, name)
        return muscle.valve_tanh(name, **v) if kind == "ValveTanh" else muscle.valve_piecewise(name, **v)

    def _chamber(self, one: Mapping[str, Any], period: float) -> Block:
        name = one["name"]
        kind = kind_of(one["type"], CHAMBER_KEYS, f"chamber {name!r}")
        v = self._numbers(checked(one["values"], f"chamber {name!r}", (), CHAMBER_KEYS[kind]), name)
        given = {k: x for k, x in one["activation_function"].items() if not k.startswith("_")}
        shape = str(given.pop("type", ""))
        active = activation(shape, period, self._numbers(given, f"{shape} of {name}"))
        if kind == "ChamberElastanceInductor":
            return muscle.chamber_inductor(name, active, **v)
        if kind == "LinearElastanceChamber":
            return muscle.chamber_linear(name, active, **v)
        return muscle.chamber_exponential(name, active, **v)
