"""Drugs: how much of each current a free concentration blocks, and how sure that is.

A channel is blocked by 1 / (1 + (IC50 / C)^h) of its conductance (Hill); what is left multiplies ``g_Kr`` and
its like. The binding of hERG blockers also depends on voltage and time: `Drug.binding` carries the rates of
the trapping model of Li et al. 2017, which a cell with those states (ORd-CiPA) uses in place of the Hill
block. The spread of log10 IC50 comes from bootstrapping the patch-clamp points; where the points never came
near half block it is huge, and `Block.known` says so: nothing is drawn from such a number.

Sources: 12 training drugs, Li et al. 2017, doi:10.1161/CIRCEP.116.004628 (IC50, Hill); binding and the 16
validation drugs, Li et al. 2019, doi:10.1002/cpt.1184, as transcribed in one public source (no second one was
found: Hill coefficients there are not checked). Risk classes: the CiPA expert ranking in the same paper.
Nothing here advises on a drug; concentrations are free plasma concentrations in nmol/L.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import numpy.typing as npt

from carna.ep.change import Change
from carna.errors import InputError

Risk = Literal["high", "intermediate", "low"]
KNOWN_SD = 0.5  # log10; beyond it the points do not fix the IC50
ASSUMED_SD = 0.18  # log10 between assays and laboratories, where no points are at hand
TRAPPING_PER_MS = 3.5e-5  # of a bound channel, one rate for all drugs (Li 2017)
CHANNELS = ("Kr", "NaL", "CaL", "Na", "to", "K1", "Ks")


@dataclass(frozen=True, slots=True)
class Block:
    """How a drug blocks one current.

    Attributes
    ----------
    ic50_nM : float
        Half block, nmol/L, > 0.
    hill : float
        Steepness, > 0.
    sd_log10 : float or None
        Standard deviation of log10 IC50 from the points behind it; None where none are at hand.
    most : float, 0 to 1
        Block at high concentration; 1 unless a plateau was measured.
    """

    ic50_nM: float
    hill: float = 1.0
    sd_log10: float | None = None
    most: float = 1.0

    def at(self, concentration_nM: float) -> float:
        """Return the blocked share, 0 to 1.

        >>> Block(100.0).at(100.0)
        0.5
        """
        if concentration_nM == 0:
            return 0.0
        return self.most / float(1 + (self.ic50_nM / concentration_nM) ** self.hill)

    @property
    def known(self) -> bool:
        """Whether the points fix the IC50."""
        return self.sd_log10 is None or self.sd_log10 <= KNOWN_SD


@dataclass(frozen=True, slots=True)
class Binding:
    """Rates of a drug at the open and inactivated hERG channel (Li 2017, doi:10.1161/CIRCEP.116.004628).

    Attributes
    ----------
    kmax : float
        Binding at saturation, of ``ku``.
    ku_per_ms : float
        Unbinding.
    half : float
        Concentration of half saturation to the power ``n``, (nmol/L)^n.
    n : float
    vhalf_mV : float
        Trapping: where half of the bound channels may close.
    """

    kmax: float
    ku_per_ms: float
    half: float
    n: float
    vhalf_mV: float


@dataclass(frozen=True, slots=True)
class Drug:
    """One drug: its blocks by current, the concentration patients reach, its class of risk.

    Attributes
    ----------
    cmax_nM : float or None
        Free peak plasma concentration at therapeutic dose, nmol/L; None where no source gives one.
    risk : str or None
        Torsade class of the CiPA expert panel; None for a drug outside it.
    group : str
        ``train``, ``validation`` or ``other``.
    """

    name: str
    blocks: Mapping[str, Block]
    cmax_nM: float | None = None
    risk: Risk | None = None
    group: Literal["train", "validation", "other"] = "other"
    binding: Binding | None = None
    values: Mapping[str, float] | None = None
    source: str = ""

    def at(self, concentration_nM: float, *, dynamic_hERG: bool = False) -> Change:
        """Return what the drug does to a cell at a free concentration.

        Parameters
        ----------
        concentration_nM : float
            Free concentration, nmol/L, >= 0.
        dynamic_hERG : bool
            Use the binding rates for IKr, for a model that has them, in place of the Hill block.

        Raises
        ------
        InputError
            If the concentration is negative, or no binding rates are known.
        """
        if not concentration_nM >= 0:
            raise InputError(f"{self.name} at {concentration_nM:g} nmol/L", needed="at least 0")
        factors = {f"g_{k}": 1 - b.at(concentration_nM) for k, b in self.blocks.items()}
        name = f"{self.name} {concentration_nM:g} nmol/L"
        if not dynamic_hERG:
            return Change(name, factors, self.values or {}, optional=frozenset(factors), source=self.source)
        if self.binding is None:
            raise InputError(
                f"no binding rates of {self.name}", needed="a drug with them", fix="use its Hill block"
            )
        factors.pop("g_Kr", None)
        b = self.binding
        rates = {
            "D": concentration_nM,
            "Kmax": b.kmax,
            "Ku": b.ku_per_ms,
            "halfmax": b.half,
            "n": b.n,
            "Vhalf": b.vhalf_mV,
            "Kt": TRAPPING_PER_MS,
        }
        return Change(name, factors, rates, optional=frozenset(factors), source=self.source)

    def drawn(self, rng: np.random.Generator, sd_log10: float = ASSUMED_SD) -> Drug:
        """Return the drug with its IC50 values drawn from what is known of them.

        Each log10 IC50 is normal about the published one. A channel whose points do not fix the IC50 keeps
        the published number: to draw from it would invent block or its absence.

        Parameters
        ----------
        sd_log10 : float
            Used for a channel with no points at hand, and added in quadrature to the others: points of one
            laboratory do not show how laboratories differ.
        """
        blocks = {
            k: b
            if not b.known
            else Block(
                b.ic50_nM * 10 ** rng.normal(0, math.hypot(b.sd_log10 or 0.0, sd_log10)),
                b.hill,
                b.sd_log10,
                b.most,
            )
            for k, b in self.blocks.items()
        }
        return Drug(
            self.name, blocks, self.cmax_nM, self.risk, self.group, self.binding, self.values, self.source
        )


def fit_hill(
    concentration_nM: npt.ArrayLike, block: npt.ArrayLike, *, draws: int = 200, seed: int = 0
) -> Block:
    """Return the Hill block that fits measured points best, with the bootstrap spread of its IC50.

    Parameters
    ----------
    concentration_nM : (n,) float
        nmol/L; points at 0 or below and points that are not finite are left out.
    block : (n,) float
        Blocked share, 0 to 1; negative where noise made it so.
    draws : int
        Bootstrap draws over points; the spread is half of the 16-84 % range of log10 IC50.

    Raises
    ------
    InputError
        If fewer than four points are left.
    """
    from scipy.optimize import least_squares

    x, y = np.asarray(concentration_nM, float), np.asarray(block, float)
    keep = (x > 0) & np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 4:
        raise InputError(f"{len(x)} points of block", needed="at least 4 with a concentration above 0")

    def fit(weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        def off(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.asarray(weight * (1 / (1 + (10 ** p[0] / x) ** p[1]) - y))

        best = least_squares(off, (float(np.log10(np.median(x))), 1.0), bounds=((-3.0, 0.2), (12.0, 5.0)))
        return np.asarray(best.x)

    centre = fit(np.ones(len(x)))
    rng = np.random.default_rng(seed)
    even = np.full(len(x), 1 / len(x))
    drawn = [fit(np.sqrt(rng.multinomial(len(x), even)))[0] for _ in range(draws)]
    low, high = np.percentile(drawn, (16, 84)) if draws else (0.0, 0.0)
    return Block(float(10 ** centre[0]), float(centre[1]), float(high - low) / 2 if draws else None)


_LI2017 = "Li et al. 2017, doi:10.1161/CIRCEP.116.004628"
_LI2019 = "Li et al. 2019, doi:10.1002/cpt.1184"


@cache
def cipa() -> Mapping[str, Drug]:
    """Return the 28 drugs of the CiPA initiative: 12 to train on, 16 to validate with."""
    found = {}
    with files("carna.ep").joinpath("drugs.csv").open(encoding="utf-8") as text:
        for row in csv.DictReader(text):
            blocks = {
                k: Block(
                    float(row[f"{k}_ic50_nM"]),
                    float(row[f"{k}_hill"]),
                    float(row[f"{k}_sd_log10"]) if row[f"{k}_sd_log10"] else None,
                )
                for k in CHANNELS
                if row[f"{k}_ic50_nM"]
            }
            rates = (float(row[k]) for k in ("kmax", "ku_per_ms", "half_nM_n", "n", "vhalf_mV"))
            found[row["drug"]] = Drug(
                row["drug"],
                blocks,
                float(row["cmax_nM"]),
                row["risk"],  # type: ignore[arg-type]
                row["set"],  # type: ignore[arg-type]
                Binding(*rates),
                source=_LI2017 if row["set"] == "train" else _LI2019,
            )
    return found


@cache
def named() -> Mapping[str, Drug]:
    """Return the drugs of the ischaemic-sheet study; where sources compete, each is a drug of its own.

    amiodarone
        Several targets; IC50 of INa, ICaL and hERG as in Mirams et al. 2011, doi:10.1093/cvr/cvr044.
    telmisartan (IKur), telmisartan (IKr)
        Two published hypotheses: the late block of hKv1.5 at 0.82 umol/L, and hERG at 24.35 umol/L
        (Tu et al. 2008, Acta Pharmacol Sin 29:913).
    potassium-channel block
        A pure IKr blocker, dofetilide's hERG IC50 alone.
    glibenclamide
        IKATP, Kd 0.5 umol/L with Hill 0.5 (inside-out patches, Circ Res 1991;69:623), at most half blocked in
        whole cells (51 +- 10 %); atrial Ito and IKur 76 umol/L (Br J Pharmacol 1999;128:1175).
    """
    dofetilide = cipa()["dofetilide"].blocks["Kr"]
    mirams = "Mirams et al. 2011, doi:10.1093/cvr/cvr044"
    tu = "Tu et al. 2008, Acta Pharmacol Sin 29:913"
    return {
        d.name: d
        for d in (
            Drug(
                "amiodarone",
                {"Na": Block(4800.0), "CaL": Block(270.0), "Kr": Block(30.0)},
                0.5,
                source=mirams,
            ),
            Drug("telmisartan (IKur)", {"Kur": Block(820.0)}, source=tu),
            Drug("telmisartan (IKr)", {"Kr": Block(24350.0)}, source=tu),
            Drug("potassium-channel block", {"Kr": dofetilide}, source=_LI2017),
            Drug(
                "glibenclamide",
                {"KATP": Block(500.0, 0.5, most=0.51), "to": Block(76000.0), "Kur": Block(76000.0)},
                source="Circ Res 1991;69:623; Br J Pharmacol 1999;128:1175",
            ),
        )
    }
