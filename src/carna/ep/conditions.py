"""Diseases of the cell, named and cited: ischaemia by the minute, infarct border, failure, fibrillation.

Each is a `Change` of labelled parameters; `Change.part` interpolates towards health, `together` composes.
What was read in a source says so; where stages were pieced together from several ranges, the text says that
too: they are presets to start from, not a measurement of any heart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from carna.ep.change import Change
from carna.errors import InputError

if TYPE_CHECKING:
    from carna.ep.cell.model import CellModel

HEALTHY: Mapping[str, float] = {"K_o": 5.4, "ATP_i": 6.8}  # mmol/L

# Minutes of acute ischaemia, and what they bring. [K]o rises to a plateau at 5 to 10 minutes and again after
# 15; ATP falls slowly; acidosis halves INa and ICaL by 15 minutes.
_MINUTE = (0.0, 5.0, 10.0, 15.0)
_K_O = (5.4, 7.0, 9.0, 12.5)
_ATP_I = (6.8, 5.4, 4.6, 4.0)
_ACID = (1.0, 0.875, 0.75, 0.5)
_1A = (
    "IKATP: Ferrero et al. 1996, doi:10.1161/01.RES.79.2.208; stages within the ranges of published regional "
    "ischaemia models (MonoAlg3D examples), minutes interpolated linearly"
)


def ischaemia_1a(minute: float) -> Change:
    """Return acute ischaemia of phase 1A at a minute after occlusion.

    Extracellular potassium rises, ATP falls (opening IKATP), acidosis depresses INa and ICaL. Arrhythmia is
    most frequent at minutes 5 and 6.

    Parameters
    ----------
    minute : float, 0 to 15

    Raises
    ------
    InputError
        Outside that range: later stages are `ischaemia_1b` and the border zones.
    """
    if not 0 <= minute <= 15:
        raise InputError(
            f"minute {minute:g} of phase 1A", needed="0 to 15", fix="use ischaemia_1b() for about 45 minutes"
        )
    acid = float(np.interp(minute, _MINUTE, _ACID))
    return Change(
        f"ischaemia 1A, minute {minute:g}",
        {"g_Na": acid, "g_CaL": acid},
        {
            "K_o": float(np.interp(minute, _MINUTE, _K_O)),
            "ATP_i": float(np.interp(minute, _MINUTE, _ATP_I)),
        },
        source=_1A,
    )


def ischaemia_1b() -> Change:
    """Return acute ischaemia of phase 1B, about 45 minutes: as minute 10 of 1A, with gap junctions closing.

    Potassium has partly washed out again, cells uncouple (conductivity x 0.3, published range 0.2 to 0.5) and
    the sodium pump is depressed. Pieced together from ranges; which of them drives 1B is debated.
    """
    return Change(
        "ischaemia 1B, about 45 minutes",
        {"g_Na": 0.5, "g_CaL": 0.5, "g_NaK": 0.7},
        {"K_o": 9.0, "ATP_i": 4.0},
        conduction=0.3,
        source="ranges in de Groot & Coronel 2004, Cardiovasc Res 62:323",
    )


def border_zone_subacute() -> Change:
    """Return the infarct border zone of days to weeks: INa -62, ICaL -69, IKr -70, IKs -80 %, slow coupling.

    The set used in ventricular twins. One public tutorial applies the last factor to IK1; the study it cites
    measured IKr and IKs, so IKs it is here.
    """
    return Change(
        "infarct border zone, subacute",
        {"g_Na": 0.38, "g_CaL": 0.31, "g_Kr": 0.30, "g_Ks": 0.20},
        conduction=0.5,
        source="Pu & Boyden 1997, doi:10.1161/01.RES.81.1.110; Jiang et al. 2000, Cardiovasc Res 48:34",
    )


def border_zone_chronic() -> Change:
    """Return the healed infarct border zone: INa x 0.43, ICaL x 0.70, IKr x 0.89, IK1 x 0.76, INaL x 1.275.

    A set made for ToR-ORd; SERCA is slowed where the model labels it.
    """
    return Change(
        "infarct border zone, chronic",
        {"g_Na": 0.43, "g_CaL": 0.70, "g_Kr": 0.89, "g_K1": 0.76, "g_NaL": 1.275, "J_up": 0.40},
        conduction=0.5,
        optional=frozenset({"g_NaL", "J_up"}),
        source="chronic set of a post-infarction population study, doi:10.7554/eLife.93002",
    )


def heart_failure() -> Change:
    """Return remodelling in heart failure: IK1 and Ito down, late INa and NaCa up, SERCA down, slow coupling.

    Mid-range of human studies gathered in Gomez et al. 2014; single patients differ widely.
    """
    return Change(
        "heart failure",
        {"g_K1": 0.68, "g_to": 0.40, "g_NaK": 0.70, "g_NaCa": 1.75, "g_NaL": 1.8, "J_up": 0.5},
        conduction=0.7,
        optional=frozenset({"g_NaL", "J_up", "g_NaCa", "g_NaK"}),
        source="Gomez et al. 2014, PLoS One 9",
    )


def atrial_fibrillation_strong() -> Change:
    """Return atrial remodelling: ICaL -70, Ito -50, IKur -50 %, IK1 x 2 (Courtemanche: APD90 139 ms)."""
    return Change(
        "atrial fibrillation, strong",
        {"g_CaL": 0.30, "g_to": 0.50, "g_Kur": 0.50, "g_K1": 2.0},
        source="Courtemanche et al. 1999, doi:10.1016/S0008-6363(99)00034-6",
    )


def atrial_fibrillation_wide() -> Change:
    """Return atrial remodelling of a second published set, with IKs doubled (Courtemanche: about 163 ms)."""
    return Change(
        "atrial fibrillation, wide",
        {"g_CaL": 0.45, "g_to": 0.35, "g_Kur": 0.50, "g_K1": 2.0, "g_Ks": 2.0, "g_pCa": 1.5},
        optional=frozenset({"g_pCa"}),
        source="Loewe 2016, doi:10.5445/KSP/1000054615",
    )


def fibrosis() -> Change:
    """Return myocytes within fibrosis (TGF-beta effect): INa x 0.6, ICaL x 0.5, IK1 x 0.5, coupling x 0.5."""
    return Change(
        "fibrosis",
        {"g_Na": 0.6, "g_CaL": 0.5, "g_K1": 0.5},
        conduction=0.5,
        source="Roney et al. 2016, doi:10.1093/europace/euw365",
    )


def graded(
    model: CellModel, stage: Callable[[float], Change], degree: npt.ArrayLike, levels: int = 65
) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Return a condition that differs from place to place, as tissue takes it.

    Parameters
    ----------
    model : CellModel
    stage : callable
        The condition at a degree, such as `ischaemia_1a` of a minute.
    degree : array
        Degree at each place, of any shape; within what ``stage`` accepts.
    levels : int
        Stages that are asked for, from the least to the greatest degree; linear between them.

    Returns
    -------
    varied : dict of str to array, float32
        The model's parameters by their names, in the shape of ``degree``.
    conduction : array, float32
        Factor on the conductivity.

    Examples
    --------
    >>> from carna.ep.cell import load
    >>> varied, _ = graded(load("tt2006_ischaemic"), ischaemia_1a, [0.0, 5.0])
    >>> [round(float(k), 2) for k in varied["Ko"]]
    [5.4, 7.0]
    """
    degree = np.asarray(degree, float)
    at = np.linspace(degree.min(), degree.max(), levels)
    changes = [stage(float(x)) for x in at]
    columns = [c.parameters(model) for c in changes]
    varied = {
        name: np.interp(degree, at, [c[name] for c in columns]).astype(np.float32) for name in columns[0]
    }
    return varied, np.interp(degree, at, [c.conduction for c in changes]).astype(np.float32)
