"""ECGs in CSV: one column a lead, with the rate and the unit stated in the file or beside it.

A stated rate is a line such as ``# rate_hz=500, unit=mV`` before the header, a column
``Time [s]``, or a sidecar (see `carna.doors.ecg.mat`); a unit may also stand in the header of
each lead, as ``II [mV]``. Nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from carna.doors.ecg.leads import canonical, is_other_signal, millivolts
from carna.doors.ecg.mat import sidecar_of
from carna.doors.ecg.recording import Recording, Wave, check_wave, number, scaled, study_uid
from carna.doors.files import Blob
from carna.errors import InputError
from carna.study import Ecg, Lazy, Patient

__all__ = ["is_ecg_table", "read_table", "write_csv"]

HOW = 'begin the file with a line "# rate_hz=500, unit=mV", with the right numbers'
_KEY = re.compile(r"(rate_hz|unit|patient)\s*[=:]\s*([^,;\s]+)")
_UNIT = re.compile(r"(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]\s*")
# A table of a person has many columns, of which one may say ECG; a recording has a time, a lead or two.
_FEW = 3
_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6}


@dataclass(slots=True)
class _Top:
    """The lines before the numbers."""

    stated: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    lines: int = 0
    delimiter: str = ","


def _top(text: str) -> _Top:
    top = _Top()
    for raw in text.splitlines()[:50]:
        line = raw.lstrip("\ufeff").strip()
        if line.startswith("#"):
            top.stated.update((key, value) for key, value in _KEY.findall(line[:2000]))
        elif line:
            top.delimiter = max(",;\t", key=line.count)
            cells = [cell.strip().strip("\"'") for cell in line[:20000].split(top.delimiter)]
            if all(number(cell) is not None for cell in cells if cell):
                return top  # numbers at once: a file without a header
            pairs = [_UNIT.fullmatch(cell[:200]) for cell in cells]
            top.names = [pair[1] if pair else cell for pair, cell in zip(pairs, cells, strict=True)]
            top.units = [pair[2] if pair else "" for pair in pairs]
            top.lines += 1
            return top
        top.lines += 1
    return top


def is_ecg_table(head: bytes) -> bool:
    """Return True if a table's first lines state a rate, or name leads.

    Columns x, y and z are points far more often than Frank's leads, and a single I is a current, so
    they count for nothing here.
    """
    top = _top(head.decode("utf-8", "replace"))
    leads = {canonical(name) for name in top.names} - {None, "X", "Y", "Z"}
    # One lead beside a time is enough, unless it may be a current.
    enough = 1 if _time_column(top) is not None and leads != {"I"} else 2
    named = len(top.names) <= _FEW and any(name.lower() in ("ecg", "ekg") for name in top.names)
    return "rate_hz" in top.stated or len(leads) >= enough or named or bool(leads and _voltages(top))


def _voltages(top: _Top) -> bool:
    return any(canonical(n) and millivolts(u) for n, u in zip(top.names, top.units, strict=True))


def _time_column(top: _Top) -> int | None:
    for n, (name, unit) in enumerate(zip(top.names, top.units, strict=True)):
        if name.lower() in ("time", "t") and unit.lower() in _SECONDS:
            return n
    return None


def read_table(blob: Blob) -> Recording:
    """Return the recording of a CSV file.

    Raises
    ------
    InputError
        If rate or unit are stated nowhere, or no column is an ECG lead; the fix says how to state them.
    """
    data = blob.load()
    text = data.decode("utf-8", "replace")
    top, sidecar = _top(text), sidecar_of(blob)
    cells = _cells(text, top)
    names = top.names or (list(sidecar.leads) if sidecar else [])
    if not names:
        names = [f"column {n + 1}" for n in range(cells.shape[1])] if cells.shape[1] > 1 else ["ECG"]
    if len(names) != cells.shape[1]:
        raise InputError(f"{len(names)} names for {cells.shape[1]} columns", needed="one a column")
    time = _time_column(top)
    rate = (sidecar.rate_hz if sidecar else None) or number(top.stated.get("rate_hz"))
    notes: list[str] = []
    if rate is None and time is not None:
        rate = _rate_of(cells[:, time] * _SECONDS[top.units[time].lower()])
    columns = [
        n for n, name in enumerate(names) if n != time and not _elsewhere(name, top, n, sidecar is not None)
    ]
    if not columns:
        raise InputError(f"columns {', '.join(names)[:200]}", needed="at least one ECG lead")
    units = [(top.units[n] if top.units else "") or (sidecar.unit if sidecar else "") for n in columns]
    units = [unit or top.stated.get("unit", "") for unit in units]
    if rate is None or not all(units):
        lost = [
            what for what, gone in (("the sampling rate", rate is None), ("the unit", not all(units))) if gone
        ]
        raise InputError(f"{' and '.join(lost)} stated nowhere", needed="rate and unit", fix=HOW)
    factors = [millivolts(unit) for unit in units]
    if any(factor is None for factor in factors):
        raise InputError(f"the units {', '.join(sorted(set(units)))}", needed="mV, uV or V", fix=HOW)
    check_wave(len(columns), len(cells), rate)
    others = [name for n, name in enumerate(names) if n not in columns and n != time]
    if others:
        notes.append(f"columns that are no ECG lead were left out: {', '.join(others)}")
    values = np.ascontiguousarray(scaled(cells[:, columns], np.array(factors, np.float64)).T)
    study = study_uid(data, repr(sidecar).encode())
    wave = Wave("rhythm", Lazy.of(values), tuple(names[n] for n in columns), rate, notes=tuple(notes))
    return Recording(study, "CSV", blob.stem, (wave,), Patient(top.stated.get("patient", blob.stem)))


def _elsewhere(name: str, top: _Top, n: int, all_leads: bool) -> bool:
    """Return True for a column that is no lead: by name, or by a unit that is no voltage."""
    if canonical(name) is not None:
        return False
    unit = top.units[n] if top.units else ""
    if unit:
        return millivolts(unit) is None or is_other_signal(name)
    # Without a unit of its own, an unknown name among known leads is left out.
    return is_other_signal(name) or (not all_leads and any(canonical(other) for other in top.names))


def _cells(text: str, top: _Top) -> npt.NDArray[np.float64]:
    """Return the numbers, ``(rows, columns)``; an empty or other cell is NaN."""
    body = io.StringIO(text)
    for _ in range(top.lines):
        body.readline()
    width = len(top.names)
    rows: list[list[float]] = []
    try:
        for row in csv.reader(body, delimiter=top.delimiter):
            if row and not row[0].startswith("#"):
                rows.append([_cell(value) for value in row])
                width = width or len(row)
    except csv.Error as error:
        raise InputError(f"damaged CSV: {error}", needed="a plain table") from None
    if not rows or width == 0:
        raise InputError("a table without numbers", needed="one row a sample")
    if width > 1000:
        raise InputError(f"{width} columns", needed="one a lead")
    out = np.full((len(rows), width), np.nan)
    for n, values in enumerate(rows):
        out[n, : len(values)] = values[:width]
    return out


def _cell(text: str) -> float:
    value = number(text)
    return np.nan if value is None else value


def _rate_of(seconds: npt.NDArray[np.float64]) -> float | None:
    """Return the rate of a time column, to the nearest plain number that explains it.

    Printed times are rounded, so each may lie up to three quarters of a sample from its place.
    """
    last = len(seconds) - 1
    if last < 1 or not np.isfinite(seconds).all():
        return None
    # Two rows of one printed time are rounded; times that go back are no clock.
    back = np.flatnonzero(np.diff(seconds) < 0)
    if back.size:
        row = int(back[0]) + 2
        raise InputError(
            f"a time column that does not go forward: {seconds[row - 1]:g} s in row {row} after "
            f"{seconds[row - 2]:g} s",
            needed="times that grow from row to row",
            fix=f"sort the rows by time, or {HOW}",
        )
    if seconds[-1] == seconds[0]:
        return None
    rate = float(last / (seconds[-1] - seconds[0]))
    if np.abs((seconds - seconds[0]) * rate - np.arange(last + 1)).max() > 0.75:
        raise InputError("an uneven time column", needed="evenly sampled rows", fix=HOW)
    near = float(round(rate, 3))
    return near if abs(near - rate) < 1e-3 * rate else rate


def write_csv(ecg: Ecg, *, patient: str = "") -> bytes:
    """Return a table that `read_table` reads back equal; a sample that was not recorded is empty."""
    out = io.StringIO()
    who = f", patient={patient}" if patient else ""
    out.write(f"# rate_hz={ecg.rate_hz!r}, unit=mV{who}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(ecg.leads)
    for row in np.asarray(ecg.values.array).T:
        writer.writerow(["" if np.isnan(v) else str(v) for v in _floats(row)])
    return out.getvalue().encode()


def _floats(row: npt.NDArray[np.float32]) -> Sequence[np.float32]:
    return list(row)
