"""The published test networks of arteries, as the openBF project stores them, and its stored answers.

Read are the network files (a small subset of YAML, both spellings of the velocity profile's key, numbers that
may be quoted, an inlet file that may go unnamed) and the reference waves (serialised matrices of 100 samples
by time and five places). Those references are another solver's answers, not measurements, and three of its
habits show in them: the taper of every vessel is practically off (its slope per cell was multiplied by a
distance in metres); an outlet given one resistance R and a compliance has R before the compliance and R - Z
behind it, Z the vessel's impedance, where the sum should be R; and they stop as soon as two beats differ by
less than one percent, which from empty outlets is before they repeat. `read` gives the network as it was
meant, or ``as_stored``; `compare` the same beat after the same start, or the one that repeats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.flow.blood import MMHG, Blood
from carna.flow.boundary import Outlet, Wave
from carna.flow.oned.arteries import Arteries, Drain, Inlet, Reflection, Vessel, Wall
from carna.flow.oned.pulse import Pulse
from carna.progress import SILENT, Progress

Floats = npt.NDArray[np.float64]
_PER: Final = 1e6 * MMHG  # Pa s/m3 to mmHg s/mL
_MATRIX: Final = bytes.fromhex("3164000000E5")
_ROWS, _COLUMNS, _MIDDLE = 100, 6, 3


@final
@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network as it was published.

    Attributes
    ----------
    name : str
    arteries : Arteries
    blood : Blood
    notes : tuple of str
        What in the file had to be interpreted.
    """

    name: str
    arteries: Arteries
    blood: Blood
    notes: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Score:
    """Pressure at the middle of every vessel against the stored reference, and what the last beat cost.

    Attributes
    ----------
    name : str
    rms, rms_worst : float
        Root mean square of the relative difference, mean and largest over vessels.
    systolic : float
        Largest relative difference of a peak.
    cells, steps, beats : int
    cpu_s : float
        Of the last beat.
    status : str
    """

    name: str
    rms: float
    rms_worst: float
    systolic: float
    cells: int
    steps: int
    beats: int
    cpu_s: float
    status: str


def read(path: Path, *, as_stored: bool = False) -> Case:
    """Return the network of a file, ``<name>.yaml`` with its ``<name>_inlet.dat``.

    Parameters
    ----------
    path : Path
    as_stored : bool
        With the references' habits: no taper, and single resistances counted almost twice.

    Raises
    ------
    InputError
        If a vessel lacks a length, radius or modulus, or the inlet's wave is missing.
    """
    top, rows = _parse(path.read_text(encoding="utf-8"))
    name = top.get("project_name", path.stem)
    notes: list[str] = []
    inlet = path.parent / top.get("inlet_file", f"{name}_inlet.dat")
    if "inlet_file" not in top:
        notes.append(f"no inlet file is named: {inlet.name} is taken")
    if not inlet.exists():
        raise InputError(
            f"no {inlet.name} beside {path.name}", needed="the flow into the network, s and m3/s"
        )
    spelled = {k for row in rows for k in row if k.replace("_", " ") == "gamma profile"}
    if spelled:
        notes.append(f"the velocity profile is under {' and '.join(sorted(map(repr, spelled)))}")
    blood = Blood(float(top.get("rho", 1060.0)), float(top.get("mu", 4e-3)) * 1e3)
    vessels = tuple(_vessel(row, not as_stored) for row in rows)
    heads, tails = {v.head for v in vessels}, {v.tail for v in vessels}
    series = np.loadtxt(inlet)
    # A time that stands twice is a step: the later value holds.
    keep = np.append(np.diff(series[:, 0]) > 0, True)
    if not keep.all():
        notes.append(f"{(~keep).sum()} times of the inlet stand twice")
        series = series[keep]
    wave = Wave(series[:, 0] - series[0, 0], np.append(series[:-1, 1], series[0, 1]) * 1e6)
    outlets = {
        v.tail: _outlet(row, v, blood, as_stored)
        for row, v in zip(rows, vessels, strict=True)
        if v.tail not in heads or "R1" in row
    }
    arteries = Arteries(vessels, {n: Inlet(wave) for n in sorted(heads - tails)}, outlets, tuple(notes))
    return Case(name, arteries, blood, tuple(notes))


def compare(
    path: Path,
    reference: Path,
    *,
    as_stored: bool = True,
    cell_mm: float = 2.0,
    settled: bool = False,
    progress: Progress = SILENT,
) -> Score:
    """Solve a case and return how far it is from its reference, and its cost (compiled beforehand).

    With ``settled`` the beat that repeats is compared, not the reference's own.
    """
    from carna.flow.oned.solve import solve

    case = read(path, as_stored=as_stored)
    solve(case.arteries, case.blood, cell_mm=20.0, beats=1, junction="static")
    truth = stored(reference)
    times = next(iter(truth.values()))["P"][:, 0]
    pulse = solve(
        case.arteries,
        case.blood,
        cell_mm=cell_mm,
        beats=60 if settled else round(times[-1] / case.arteries.period_s),
        tolerance=2e-3 if settled else 0.0,
        junction="static",
        start_mmHg=None if settled else case.arteries.vessels[0].reference_mmHg,
        progress=progress,
    )
    return score(case, pulse, truth)


def score(case: Case, pulse: Pulse, reference: Mapping[str, Mapping[str, Floats]]) -> Score:
    """Return how far a pulse is from a reference."""
    rms, peak = [], []
    for v in case.arteries.vessels:
        if v.name not in reference:
            continue
        truth = reference[v.name]["P"]
        time = truth[:, 0] % case.arteries.period_s
        order = np.argsort(time)
        p = truth[order, _MIDDLE] / MMHG
        ours = np.interp(time[order], pulse.time_s, pulse.at(v.name, v.length_mm / 2, "pressure_mmHg"))
        rms.append(float(np.sqrt(np.mean((ours / p - 1) ** 2))))
        peak.append(abs(float(ours.max() / p.max()) - 1))
    if not rms:
        raise InputError(f"a reference without the vessels of {case.name}", needed="the same names")
    return Score(
        case.name,
        float(np.mean(rms)),
        max(rms),
        max(peak),
        len(pulse.vessel),
        pulse.steps,
        pulse.beats,
        pulse.cpu_s,
        pulse.status,
    )


def balance(case: Case, pulse: Pulse) -> tuple[float, float]:
    """Return the worst node's mean imbalance over its flow, and mean outflow over inflow less 1."""
    into: dict[int, Floats] = {}
    size: dict[int, Floats] = {}
    for n, v in enumerate(case.arteries.vessels):
        for node, sign, k in ((v.head, -1.0, 0), (v.tail, 1.0, 1)):
            q = pulse.node_flow_ml_s[:, n, k]
            into[node] = into.get(node, 0.0) + sign * q
            size[node] = size.get(node, 0.0) + np.abs(q)
    inner = [m for m in into if m not in case.arteries.inlets and m not in case.arteries.outlets]
    worst = max((float(np.abs(into[m]).mean() / (0.5 * size[m].mean())) for m in inner), default=0.0)
    entered = -sum(float(pulse.mean(into[m])) for m in case.arteries.inlets)
    left = sum(float(pulse.mean(into[m])) for m in case.arteries.outlets)
    return worst, left / entered - 1


def stored(path: Path) -> dict[str, dict[str, Floats]]:
    """Return a file of reference waves: vessel, then quantity (P, Q, A, u), to (100, 6) in SI units.

    Columns are time and five places from head to tail, the third of them the middle.
    """
    raw = path.read_bytes()
    found: dict[str, dict[str, Floats]] = {}
    vessel, last = "", 0
    at = raw.find(_MATRIX)
    while at >= 0:
        words = []
        for m in re.finditer(rb"!(.)", raw[last:at], re.DOTALL):
            size = m.group(1)[0]
            word = raw[last + m.end() : last + m.end() + size]
            if len(word) == size and re.fullmatch(rb"[\w\-]+", word):
                words.append(word.decode())
        names = [w for w in words if w not in ("P", "Q", "A", "u")]
        quantities = [w for w in words if w in ("P", "Q", "A", "u")]
        vessel = names[-1] if names else vessel
        begin = at + len(_MATRIX)
        last = begin + 8 * _ROWS * _COLUMNS
        table = np.frombuffer(raw[begin:last], "<f8").reshape(_COLUMNS, _ROWS).T
        found.setdefault(vessel, {})[quantities[-1]] = table
        at = raw.find(_MATRIX, last)
    return found


def _parse(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Split the file into its settings (sections flattened) and its vessels."""
    top: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        body = line.split("#")[0].rstrip()
        if not body:
            continue
        item = re.fullmatch(r"(\s*)(- )?\s*([\w ]+?)\s*:\s*(.*)", body)
        if item is None:
            raise InputError(f"line {number}: {body.strip()!r}", needed="key: value")
        key, value = item[3], item[4].strip("\"' ")
        if not item[1] and not item[2]:
            inside = key == "network"
        if item[2]:
            rows.append({})
        if inside and rows:
            rows[-1][key] = value
        elif value:
            top[key] = value
    if not rows:
        raise InputError("a file without a network", needed="a list of vessels under network:")
    return top, rows


def _vessel(row: dict[str, str], taper: bool) -> Vessel:
    lacking = [k for k in ("label", "sn", "tn", "L", "E") if k not in row]
    if lacking or not ({"R0", "Rp"} & row.keys()):
        raise InputError(
            f"{row.get('label', 'a vessel')} without {', '.join(lacking) or 'R0 or Rp'}",
            needed="label, sn, tn, L, E and a radius",
        )
    head = float(row.get("Rp", row.get("R0", "0"))) * 1e3
    tail = float(row.get("Rd", row.get("R0", head / 1e3))) * 1e3 if taper else head
    thickness = float(row["h0"]) * 1e3 / head if "h0" in row else None
    profile = float(row.get("gamma_profile", row.get("gamma profile", "9")))
    length = float(row["L"]) * 1e3
    return Vessel(
        row["label"],
        int(row["sn"]),
        int(row["tn"]),
        np.array([0.0, length]),
        np.array([head, tail]),
        Wall(float(row["E"]) / 1e3, thickness),
        float(row.get("Pext", "0")) / MMHG,
        profile,
    )


def _outlet(row: dict[str, str], v: Vessel, blood: Blood, as_stored: bool) -> Drain:
    if "R1" not in row:
        return Reflection(float(row.get("Rt", "0")), v.reference_mmHg)
    compliance = float(row["Cc"]) * _PER if "Cc" in row else None
    if "R2" in row:
        near, far = float(row["R1"]) / _PER, float(row["R2"]) / _PER
    else:
        # One resistance and a compliance: in front of them, one that matches the vessel's impedance.
        r = np.array([v.radius_mm[-1] * 1e-3])
        area = np.pi * r**2
        wave = np.sqrt(v.wall.stiffness(r, blood.density_kg_m3) * np.sqrt(area) / (2 * blood.density_kg_m3))
        match, given = float((blood.density_kg_m3 * wave / area)[0]) / _PER, float(row["R1"]) / _PER
        match = min(match, 0.9 * given)
        near, far = given if as_stored else match, given - match
    return Outlet(near + far, 0.0, near / (near + far), compliance)
