"""The twelve leads of the electrocardiogram, seen from the ventricles.

Electrodes lie where `carna.heart.sites` puts them on a plausible chest, which moves with the base of the
heart but does not turn with it: a heart that lies more upright in the same chest has another axis.

Of the nine potentials, against infinity, come the leads of Einthoven, Goldberger and Wilson
(Kligfield 2007, doi:10.1161/CIRCULATIONAHA.106.180200):

    I = LA - RA, II = LL - RA, III = LL - LA;  aVR = RA - (LA + LL) / 2, and so on;  Vn - (RA + LA + LL) / 3

They can be had of a whole simulation (record `electrodes` with `carna.ep.Leads`, then `twelve`), or in
seconds of arrival times alone (`ecg_of_arrival`): each voxel is given the action potential of its cell
type, begun when the excitation arrives, and the lead fields (`carna.ep.ecg`) do the rest. As V is then
``template(t - arrival)``, a lead is a histogram of arrival times, weighted with the lead's field, convolved
with the template.

The volume around is infinite and homogeneous: no torso's surface (which would about double the voltages), no
blood, no lungs. Shape, polarity and duration can be read; millivolts can't be compared with a patient's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.errors import InputError
from carna.heart.axes import Axes
from carna.heart.scar import SCAR
from carna.heart.sites import ELECTRODES_LPS
from carna.heart.ventricles import Ventricles
from carna.signal import Signal

if TYPE_CHECKING:
    from carna.ep.cell import CellModel

__all__ = [
    "LEADS", "Template", "axis_deg", "ecg_of_arrival", "electrodes", "fields", "qrs", "templates", "twelve",
]  # fmt: skip

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SEEN = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
Floats = npt.NDArray[np.float64]
Point = tuple[float, float, float]


def electrodes(heart: Ventricles) -> dict[str, tuple[Point]]:
    """Return the nine electrodes that the leads need, as `carna.ep.Leads` takes them.

    Points are k, r, c in mm from the first wall of the heart's grid (they lie outside it).
    """
    moved = np.subtract(heart.axes.base_lps, Axes().base_lps)
    found: dict[str, tuple[Point]] = {}
    for name in SEEN:
        index = heart.grid.to_index(np.asarray(ELECTRODES_LPS[name]) + moved)
        k, r, c = ((index + 0.5) * np.asarray(heart.spacing_mm)).tolist()
        found[name] = ((k, r, c),)
    return found


def _derived(seen: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return the twelve leads (12, ...) of the nine potentials (9, ...)."""
    ra, la, ll, *chest = np.asarray(seen, np.float64)
    limb = (la - ra, ll - ra, ll - la, ra - (la + ll) / 2, la - (ra + ll) / 2, ll - (ra + la) / 2)
    terminal = (ra + la + ll) / 3
    return np.asarray([*limb, *(v - terminal for v in chest)], np.float32)


def twelve(potentials: Signal) -> Signal:
    """Return the twelve leads of the potentials of RA, LA, LL and V1 to V6."""
    nine = potentials.pick(SEEN)
    return Signal(_derived(nine.values), LEADS, nine.rate_hz, nine.unit)


# ---- from arrival times alone ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """The action potential that each voxel is given.

    Attributes
    ----------
    above_mV : (types, samples) float
        V less its resting value, one row a cell type (`carna.heart.ventricles.ENDO`, ``MID``, ``EPI``).
    every_ms : float
    before_ms : float
        How long before its upward crossing of 0 mV the first sample lies.
    """

    above_mV: Floats
    every_ms: float
    before_ms: float


def templates(models: Sequence[CellModel], *, length_ms: float = 600.0, every_ms: float = 0.5) -> Template:
    """Return the first beat from rest of one model for all cell types, or of three (endo, mid, epi)."""
    from carna.ep.cell.pace import pace

    before_ms = 3.0
    rows = []
    for model in models:
        beat = pace(model, length_ms, 1, trace_every_ms=0.1)
        t, v = beat.trace_ms, beat.trace_mv[:, 0]
        up = int(np.argmax(v >= 0.0))
        zero = t[up - 1] + 0.1 * (0.0 - v[up - 1]) / (v[up] - v[up - 1])
        at = np.arange(-before_ms, length_ms - zero - 1.0, every_ms)
        # The stimulus' own foot is no part of a front's: below -60 mV a wave's foot is shorter still.
        rows.append(np.where(at < -1.0, 0.0, np.interp(at + zero, t, v) - v[0]))
    size = min(map(len, rows))
    return Template(np.stack([row[:size] for row in rows]), every_ms, before_ms)


def fields(
    heart: Ventricles,
    *,
    diffusion_mm2_per_ms: tuple[float, float, float] = (0.0953, 0.0126, 0.0126),
    conductivity_S_per_m: float = 0.2,
) -> npt.NDArray[np.float32]:
    """Return by how much each voxel's V counts in each lead, (12, n) mV per mV; scar counts nothing.

    Parameters
    ----------
    heart : Ventricles
    diffusion_mm2_per_ms : 3 floats
        Along the fibre, across, normal (the last two alike); times ``beta Cm`` it is the conductivity that
        makes current of a slope of V. Default: the conductivities of Niederer 2011.
    conductivity_S_per_m : float
        Of the volume around.
    """
    from carna.ep.ecg import lead_weights
    from carna.ep.tissue.grid import organ
    from carna.ep.tissue.layout import lay_out

    mask = heart.mask & (heart.spread(heart.region) != SCAR)
    tissue = organ(mask, heart.spacing_mm, {0: None}, diffusion_mm2_per_ms, heart.fibres)
    layout = lay_out(tissue)
    weights = lead_weights(tissue, layout, list(electrodes(heart).values()), conductivity_S_per_m)
    place = np.full(mask.size, -1, np.int32)
    place[layout.voxel[layout.used]] = np.flatnonzero(layout.used)
    lane = place[heart.at.where]
    return np.where(lane >= 0, _derived(weights)[:, lane], np.float32(0))


def ecg_of_arrival(
    fields: npt.NDArray[np.float32],
    arrival_ms: npt.NDArray[np.floating],
    template: Template,
    cell_type: npt.NDArray[np.integer] | None = None,
    *,
    end_ms: float = 600.0,
) -> Signal:
    """Return the twelve leads of one beat, from when each voxel is reached.

    Parameters
    ----------
    fields : (12, n) float
        From `fields`.
    arrival_ms : (n,) float
        Not finite where nothing arrives: those voxels rest.
    template : Template
    cell_type : (n,) int, optional
        Row of the template, `Ventricles.cell_type`; row 0 everywhere if left out.
    end_ms : float
        Length of the signal, from time 0.
    """
    reached = np.isfinite(arrival_ms)
    step = template.every_ms
    samples = round(end_ms / step)
    at = (np.asarray(arrival_ms, float)[reached] - template.before_ms) / step
    # One bin more at the front, for a first sample before time 0.
    lead_in = int(np.ceil(template.before_ms / step))
    whole = np.floor(at).astype(np.int64)
    part = at - whole
    whole += lead_in
    if len(whole) and whole.min() < 0:
        raise InputError(f"an arrival at {np.min(arrival_ms):g} ms", needed="times of 0 ms or later")
    kinds = np.zeros(len(at), np.int64) if cell_type is None else np.asarray(cell_type, np.int64)[reached]
    if len(kinds) and kinds.max() >= len(template.above_mV):
        raise InputError(
            f"cell type {kinds.max()}", needed=f"one of the template's {len(template.above_mV)} rows"
        )
    size = samples + lead_in + 2
    out = np.zeros((len(fields), samples))
    for kind, shape in enumerate(template.above_mV):
        mine = (kinds == kind) & (whole < size - 1)
        if not mine.any():
            continue
        for n, field in enumerate(fields):
            w = field[reached][mine].astype(np.float64)
            early = np.bincount(whole[mine], w * (1 - part[mine]), size)
            late = np.bincount(whole[mine] + 1, w * part[mine], size)
            out[n] += np.convolve(early + late, shape)[lead_in : lead_in + samples]
    return Signal(np.asarray(out, np.float32), LEADS, 1000.0 / step)


# ---- what is read from a beat ----------------------------------------------------------------------


def qrs(ecg: Signal, last_ms: float, *, share: float = 0.05) -> tuple[float, float]:
    """Return where the QRS begins and ends, ms: where the twelve leads change fastest.

    From the first to the last moment at which the slope of the leads (root mean square over the twelve) is
    above a share of its greatest value. Without noise this needs no delineator; T waves are far slower.

    Parameters
    ----------
    ecg : Signal
        One beat of the twelve leads.
    last_ms : float
        When the last voxel was reached: what comes later is repolarisation.
    share : float
        0.01 to 0.3.
    """
    if not 0.01 <= share <= 0.3:
        raise InputError(f"a share of {share}", needed="0.01 to 0.3")
    values = ecg.pick(LEADS).values.astype(np.float64)
    # 4 ms: arrival times on a grid make a slope that jitters from voxel to voxel.
    width = max(1, round(0.004 * ecg.rate_hz))
    slope = np.sqrt((np.diff(values, axis=1) ** 2).mean(axis=0))
    slope = np.convolve(slope, np.full(width, 1 / width), mode="same")[: round(last_ms / 1e3 * ecg.rate_hz)]
    fast = np.flatnonzero(slope > share * slope.max())
    if not len(fast):
        raise InputError("leads that never change", needed="a beat")
    return float(fast[0] * 1e3 / ecg.rate_hz), float((fast[-1] + 1) * 1e3 / ecg.rate_hz)


def axis_deg(ecg: Signal, last_ms: float) -> float:
    """Return the frontal axis of the QRS, -180 to 180 degrees: 0 to the left, 90 to the feet.

    Of the areas of I and aVF over the QRS; aVF, an augmented lead, counts 2 / sqrt(3).
    """
    begin, end = (round(t / 1e3 * ecg.rate_hz) for t in qrs(ecg, last_ms))
    left, down = (float(ecg.lead(name)[begin:end].sum()) for name in ("I", "aVF"))
    return float(np.degrees(np.arctan2(down * 2 / np.sqrt(3), left)))
