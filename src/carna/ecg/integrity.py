"""Are the electrodes where the names say? Exchanged cables, exchanged chest electrodes, a mirrored heart.

**Limb cables.** Exchanging cables permutes the potentials RA, LA, LL, so every exchange is a signed
permutation of I, II, III that Einthoven's equation survives: it *cannot* see them
(`carna.ecg.quality.einthoven_residual` checks the order, sign and gain of channels, nothing else). Chest
leads do not change, since their reference is the mean of all three. Each exchange is undone in turn, and what
comes out is scored by how much it looks like a heart:

- the QRS of I resembles that of V6 (correlation through zero; weight 2), so does T (1/2) and P (1);
- P points down and to the left: minus ((P axis - 53) / 25)^2 / 4, at least -4;
- QRS points down and to the left, loosely: minus 0.3 ((QRS axis - 40) / 50)^2 / 2.

An exchange is suspected when its score beats that of the leads as named by more than `MARGIN`. LA and LL
exchanged turn a heart that points to 30 degrees into itself: that kind is found seldom. It also follows that
the two cyclic exchanges are often named as the simple one they contain; suspected is suspected.
A cable on the right leg, where the potential is almost that of the left leg, flattens
one limb lead: I, II or III. RL and LL exchanged change nothing that could be seen.

In fibrillation there is no P wave and its two terms fall away; in a paced rhythm nothing is concluded.

**Chest electrodes.** Neighbours see nearly the same. Five distances between neighbouring leads, QRS to the
end of T, each lead at unit norm, are added up; when exchanging two leads shortens that way to less than
`SHORTER` of itself, they are suspected. Neighbours further from the septum differ least: V5 and V6 exchanged
are mostly missed.

**All channels inverted** (the polarity of a recorder): every exchange of cables leaves the chest leads alone,
so P and QRS that point away from the feet and the left *and* from V4 to V6, with T beside them and aVR
upright, are no heart and no cable. It is suspected when, of P, QRS and T in I, II and V4 to V6, at least
`INVERTED` of the waves with a clear direction point down, none of the P waves in II and V5 up.

**Dextrocardia** mirrors the heart: I is upside down with P, and the chest leads shrink from V1 to V6, where
cables exchanged at the arms leave the chest leads alone.

Limits were chosen while looking at the recordings that ``docs/ecg-criteria.md`` reports: development figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carna.ecg.median import Fiducials, MedianBeat
from carna.ecg.quality import Einthoven, LeadQuality
from carna.ecg.traces import Floats
from carna.errors import InputError

Verdict = Literal["met", "not met", "not assessable"]
LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
# Every limb lead in terms of I and II.
OF_I_II: Mapping[str, tuple[float, float]] = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
# What is recorded as I, II, III when cables are exchanged: source lead and sign.
Exchange = tuple[tuple[str, int], tuple[str, int], tuple[str, int]]
EXCHANGES: Mapping[str, Exchange] = {
    "LA/RA": (("I", -1), ("III", 1), ("II", 1)),
    "LA/LL": (("II", 1), ("I", 1), ("III", -1)),
    "RA/LL": (("III", -1), ("II", -1), ("I", -1)),
    "RA to LL to LA": (("III", 1), ("I", -1), ("II", -1)),
    "RA to LA to LL": (("II", -1), ("III", -1), ("I", 1)),
}
MARGIN = {"LA/RA": 1.0, "RA/LL": 0.5, "RA to LL to LA": 2.0, "RA to LA to LL": 2.0, "LA/LL": 2.0}
FLAT = {"I": "both arms with both legs", "II": "RA/RL", "III": "LA/RL"}
FLAT_SHARE = 0.1  # of the largest of the three; among 153 real recordings none is below 0.16
SHORTER = 0.91
BROKEN = 0.2  # residual of Einthoven's equation, of the leads' size: exact files stay below 0.02
INVERTED, FEWEST_WAVES = 0.85, 9
LOOKED_AT = ("I", "II", "V4", "V5", "V6")
LEAST_P_MV, LEAST_T_MV = 0.03, 0.05  # smaller waves have no direction
LEAST_MV = 0.05  # a lead that moves less than this has no shape


@dataclass(frozen=True, slots=True)
class Suspicion:
    """One thing that the tracing suggests about its electrodes.

    Attributes
    ----------
    kind : str
        Cables as "LA/RA", electrodes as "V1/V2", "dextrocardia" or "all channels inverted".
    score, limit : float
        What was found and what was needed to suspect it.
    leads : tuple of str
        Leads that cannot be read under their names while this stands.
    why : str
    """

    kind: str
    score: float
    limit: float
    leads: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Integrity:
    """What can be said about electrodes and channels.

    Attributes
    ----------
    limb, chest : "met", "not met" or "not assessable"
        Whether an exchange is suspected. "Not met" excludes nothing: see the Se of each kind.
    why : tuple of str
        Why something is not assessable.
    suspicions : tuple of Suspicion
    unusable : dict of str to str
        Leads that are flat, clipped, noisy or without signal, and which.
    channels : "met", "not met" or "not assessable"
        Whether limb channels contradict each other (order, sign, gain); blind to exchanged cables.
    """

    limb: Verdict
    chest: Verdict
    why: tuple[str, ...]
    suspicions: tuple[Suspicion, ...]
    unusable: Mapping[str, str]
    channels: Verdict

    @property
    def suspect(self) -> frozenset[str]:
        """Leads that cannot be read under their names."""
        return frozenset(lead for s in self.suspicions for lead in s.leads)


def derive(ecg: NDArray[np.floating], leads: tuple[str, ...]) -> tuple[Floats, tuple[str, ...]]:
    """Add the limb leads that follow from two that are there (Einthoven, Goldberger).

    Parameters
    ----------
    ecg : (leads, samples) float
    leads : tuple of str
        Names of the rows. The first two of I, II, III, aVF, aVL, aVR that are there are used.

    Returns
    -------
    (rows, samples) float64, tuple of str
        The rows given, then those derived, and all names; unchanged with fewer than two limb leads.

    Raises
    ------
    InputError
        If there is not one name for each row.

    Examples
    --------
    >>> values, names = derive(np.array([[1.0], [3.0]]), ("I", "II"))
    >>> dict(zip(names, values[:, 0].tolist()))
    {'I': 1.0, 'II': 3.0, 'III': 2.0, 'aVR': -2.0, 'aVL': -0.5, 'aVF': 2.5}
    """
    values: Floats = np.asarray(ecg, np.float64)
    if values.ndim != 2 or len(values) != len(leads):
        raise InputError(
            f"{values.shape} with {len(leads)} names", needed="(leads, samples), one name per lead"
        )
    basis = [lead for lead in ("I", "II", "III", "aVF", "aVL", "aVR") if lead in leads][:2]
    missing = tuple(lead for lead in LIMB if lead not in leads)
    if len(basis) < 2 or not missing:
        return values, leads
    from_basis = np.linalg.inv(np.array([OF_I_II[lead] for lead in basis]))
    i_ii = from_basis @ values[[leads.index(lead) for lead in basis]]
    more: Floats = np.array([OF_I_II[lead] for lead in missing]) @ i_ii
    return np.concatenate([values, more]), leads + missing


def exchanged(ecg: NDArray[np.floating], leads: tuple[str, ...], kind: str) -> Floats:
    """Return the recording as it would have been with cables or electrodes exchanged.

    Parameters
    ----------
    ecg : (leads, samples) float
        With I, II, III (and whatever else) for cables.
    leads : tuple of str
    kind : str
        A key of `EXCHANGES`, "RA/RL", "LA/RL", "both arms with both legs" (the right leg at the potential of
        the left), or two chest leads as "V1/V2".
    """
    out = np.array(ecg, np.float64)
    rows = {lead: k for k, lead in enumerate(leads)}
    if kind not in EXCHANGES and kind not in FLAT.values():
        a, b = (rows[lead] for lead in kind.split("/"))
        out[[a, b]] = out[[b, a]]
        return out
    old = {lead: np.asarray(ecg[rows[lead]], np.float64) for lead in ("I", "II", "III")}
    none = np.zeros_like(old["I"])
    if kind in EXCHANGES:
        new = [sign * old[source] for source, sign in EXCHANGES[kind]]
    else:
        new = {
            "RA/RL": [-old["III"], none, old["III"]],
            "LA/RL": [old["II"], old["II"], none],
            "both arms with both legs": [none, -old["III"], -old["III"]],
        }[kind]
        # the mean of the three limb electrodes moved, and with it every chest lead
        shift = {"RA/RL": old["II"], "LA/RL": old["III"], "both arms with both legs": old["II"]}[kind]
        for lead in CHEST:
            if lead in rows:
                out[rows[lead]] -= shift / 3
    for lead in ("aVR", "aVL", "aVF"):
        if lead in rows and kind in EXCHANGES:
            out[rows[lead]] = _augmented(ecg, rows, kind, lead)
        elif lead in rows:
            of_i, of_ii = OF_I_II[lead]
            out[rows[lead]] = of_i * new[0] + of_ii * new[1]
    for lead, values in zip(("I", "II", "III"), new, strict=True):
        out[rows[lead]] = values
    return out


def _augmented(
    ecg: NDArray[np.floating], rows: Mapping[str, int], kind: str, lead: str
) -> NDArray[np.floating]:
    """An augmented lead sees one electrode: it moves with the cable."""
    sees = {
        "LA/RA": {"aVR": "aVL", "aVL": "aVR"},
        "LA/LL": {"aVL": "aVF", "aVF": "aVL"},
        "RA/LL": {"aVR": "aVF", "aVF": "aVR"},
        "RA to LL to LA": {"aVR": "aVL", "aVL": "aVF", "aVF": "aVR"},
        "RA to LA to LL": {"aVR": "aVF", "aVL": "aVR", "aVF": "aVL"},
    }[kind]
    return np.asarray(ecg[rows[sees.get(lead, lead)]])


def lead_integrity(
    median: MedianBeat,
    fiducials: Fiducials,
    leads: tuple[str, ...],
    *,
    quality: LeadQuality | None = None,
    einthoven: Einthoven | None = None,
    paced: bool | None = None,
) -> Integrity:
    """Look for exchanged cables and electrodes in a median beat.

    Parameters
    ----------
    median, fiducials
        As from `carna.ecg.median`.
    leads : tuple of str
        Names of the rows, as "I", "aVR", "V1".
    quality : LeadQuality, optional
        Leads that are not "good" or "noisy" are left out.
    einthoven : Einthoven, optional
    paced : bool, optional
        Ventricular pacing: nothing is concluded about limb cables.

    Returns
    -------
    Integrity

    Raises
    ------
    InputError
        If there is not one name for each lead.
    """
    if len(leads) != len(median.mV):
        raise InputError(f"{len(median.mV)} leads with {len(leads)} names", needed="one name per lead")
    kinds = quality.kind if quality is not None else ("good",) * len(leads)
    unusable = {lead: kind for lead, kind in zip(leads, kinds, strict=True) if kind != "good"}
    out = {lead for lead, kind in unusable.items() if kind != "noisy"}
    cut = _Cut(median, fiducials, tuple(lead if lead not in out else "" for lead in leads))
    limb, limb_why = _limb(cut, paced)
    chest, chest_why = _chest(cut)
    found = (*(limb or ()), *(chest or ()))
    return Integrity(
        limb="not assessable" if limb is None else "met" if limb else "not met",
        chest="not assessable" if chest is None else "met" if chest else "not met",
        why=tuple(why for why in (limb_why, chest_why) if why),
        suspicions=found,
        unusable=unusable,
        channels="not assessable"
        if einthoven is None
        else "met"
        if einthoven.relative > BROKEN
        else "not met",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """Waves of a median beat, lead by lead."""

    median: MedianBeat
    fiducials: Fiducials
    leads: tuple[str, ...]

    def has(self, lead: str) -> bool:
        return lead in self.leads and bool(np.isfinite(self.median.mV[self.leads.index(lead)]).all())

    def _at(self, ms: float) -> int:
        return int(
            np.clip(round(self.median.r + ms * self.median.rate_hz / 1000), 0, self.median.mV.shape[1] - 1)
        )

    def wave(self, lead: str, name: str) -> Floats | None:
        """P, QRS, T or "beat" (QRS onset to T end) above its level, mV; None when it was not found."""
        f, x = self.fiducials, self.median.mV[self.leads.index(lead)]
        edges = {
            "p": (f.p_on, f.p_off),
            "qrs": (f.qrs_on, f.qrs_off),
            "t": (f.qrs_off, f.t_off),
            "beat": (f.qrs_on, f.t_off),
        }[name]
        if edges[0] is None or edges[1] is None or f.qrs_on is None:
            return None
        part = x[self._at(edges[0][0]) : self._at(edges[1][0]) + 1]
        if name == "p":
            return np.asarray(part - np.linspace(part[0], part[-1], len(part)))
        onset = self._at(f.qrs_on[0])
        return np.asarray(part - x[max(0, onset - 8) : onset + 1].mean())


def _alike(a: Floats, b: Floats) -> float:
    """Correlation through zero: an upright wave and an inverted one give -1."""
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _limb(cut: _Cut, paced: bool | None) -> tuple[tuple[Suspicion, ...] | None, str]:
    """Suspicions about limb cables, or None and why not."""
    if not all(cut.has(lead) for lead in ("I", "II", "III")) or cut.fiducials.qrs_on is None:
        return None, "limb cables: needs I, II and III"
    qrs = {lead: cut.wave(lead, "qrs") for lead in ("I", "II", "III")}
    if any(wave is None or len(wave) < 4 for wave in qrs.values()):
        return None, "limb cables: no QRS was delineated"
    size = {lead: float(np.ptp(wave)) for lead, wave in qrs.items() if wave is not None}
    flattest = min(size, key=lambda lead: size[lead])
    if max(size.values()) < LEAST_MV:
        return None, "limb cables: all limb leads are flat"
    if size[flattest] < FLAT_SHARE * max(size.values()):
        share = size[flattest] / max(size.values())
        why = f"QRS of {flattest} is {share:.0%} of the largest limb lead: two cables at one potential"
        return (Suspicion(FLAT[flattest], share, FLAT_SHARE, LIMB + CHEST, why),), ""
    left = _left(cut)
    if left is None:
        return None, "limb cables: needs V6 or V5"
    if paced:
        return None, "limb cables: a paced QRS need not agree between I and the left chest"
    upside_down = _inverted(cut)
    if upside_down is not None:
        return (upside_down,), ""
    mirrored = _dextrocardia(cut)
    if mirrored is not None:
        return (mirrored,), ""
    # LA/LL shows in P only
    kinds = [kind for kind in EXCHANGES if kind != "LA/LL" or cut.wave("I", "p") is not None]
    scores = {kind: _score(cut, kind, left) for kind in ("as named", *kinds)}
    best = max(kinds, key=lambda kind: scores[kind] - MARGIN[kind])
    gain = scores[best] - scores["as named"]
    if gain <= MARGIN[best]:
        return (), ""
    why = f"undoing {best} makes the limb leads agree with {left} and the usual axes: score {gain:+.1f}"
    return (Suspicion(best, gain, MARGIN[best], LIMB, why),), ""


def _left(cut: _Cut) -> str | None:
    """The chest lead at the left that moves."""
    for lead in ("V6", "V5"):
        wave = cut.wave(lead, "qrs") if cut.has(lead) else None
        if wave is not None and np.ptp(wave) > LEAST_MV:
            return lead
    return None


def _undone(cut: _Cut, kind: str, name: str) -> dict[str, Floats] | None:
    """I, II, III of one wave as they would be with the exchange undone."""
    waves = {lead: cut.wave(lead, name) for lead in ("I", "II", "III")}
    if any(wave is None for wave in waves.values()):
        return None
    there = {lead: wave for lead, wave in waves.items() if wave is not None}
    if kind == "as named":
        return there
    recorded = zip(("I", "II", "III"), EXCHANGES[kind], strict=True)
    return {source: sign * there[lead] for lead, (source, sign) in recorded}


def _score(cut: _Cut, kind: str, left: str) -> float:
    total = 0.0
    for name, weight in (("qrs", 2.0), ("t", 0.5), ("p", 1.0)):
        waves, side = _undone(cut, kind, name), cut.wave(left, name)
        if waves is not None and side is not None:
            total += weight * _alike(waves["I"], side)
            if name == "p":
                total -= min(((_axis(waves) - 53 + 180) % 360 - 180) ** 2 / 25**2 / 4, 4.0)
            if name == "qrs":
                total -= 0.3 * ((_axis(waves) - 40 + 180) % 360 - 180) ** 2 / 50**2 / 2
    return total


def _axis(waves: Mapping[str, Floats]) -> float:
    """Direction of the net area, degrees."""
    foot = (waves["II"].sum() + waves["III"].sum()) / 2 * 2 / np.sqrt(3)
    return float(np.degrees(np.arctan2(foot, waves["I"].sum())))


def _inverted(cut: _Cut) -> Suspicion | None:
    """P, QRS and T away from the left and the feet in limb and chest leads alike."""
    down = total = 0
    for lead in LOOKED_AT:
        if not cut.has(lead):
            continue
        for name, least in (("p", LEAST_P_MV), ("qrs", 2 * LEAST_MV), ("t", LEAST_T_MV)):
            wave = cut.wave(lead, name)
            if wave is None or not len(wave) or np.ptp(wave) < least:
                continue
            high, low = float(wave.max()), float(-wave.min())
            if max(high, low) < 1.5 * min(high, low):
                continue  # points neither way
            if name == "p" and lead in ("II", "V5", "V6") and high > low:
                return None
            total, down = total + 1, down + (low > high)
    chest = [lead for lead in ("V4", "V5", "V6") if cut.has(lead) and cut.wave(lead, "p") is not None]
    if total < FEWEST_WAVES or len(chest) < 2 or down < INVERTED * total:
        return None
    why = (
        f"{down} of {total} waves of P, QRS and T in I, II and V4 to V6 point down: polarity of the recorder"
    )
    return Suspicion("all channels inverted", down / total, INVERTED, LIMB + CHEST, why)


def _dextrocardia(cut: _Cut) -> Suspicion | None:
    """I inverted with P, chest leads shrinking to the left."""
    if not all(cut.has(lead) for lead in ("V1", "V2", "V6")):
        return None
    p, i = cut.wave("I", "p"), cut.wave("I", "qrs")
    chest = [cut.wave(lead, "qrs") for lead in ("V1", "V2", "V6")]
    if p is None or i is None or any(wave is None for wave in chest):
        return None
    first, second, last = (wave for wave in chest if wave is not None)
    share = float(np.ptp(last) / max(np.ptp(first), np.ptp(second), 1e-9))
    if p.sum() < 0 and i.sum() < 0 and share < 0.5 and last.max() < first.max():
        why = f"P and QRS inverted in I and V6 {share:.0%} of the larger of V1, V2"
        return Suspicion("dextrocardia", share, 0.5, LIMB + CHEST, why)
    return None


def _chest(cut: _Cut) -> tuple[tuple[Suspicion, ...] | None, str]:
    """Suspicions about chest electrodes, or None and why not."""
    waves = [cut.wave(lead, "beat") if cut.has(lead) else None for lead in CHEST]
    there = [wave for wave in waves if wave is not None and np.ptp(wave) > LEAST_MV]
    if len(there) < len(CHEST):
        return None, "chest electrodes: needs V1 to V6, all moving, and the end of T"
    unit = np.stack([wave / np.linalg.norm(wave) for wave in there])
    apart = np.linalg.norm(unit[:, None] - unit[None], axis=2)

    def way(order: list[int]) -> float:
        return float(sum(apart[a, b] for a, b in itertools.pairwise(order)))

    given, ratios = list(range(6)), {}
    for a, b in itertools.combinations(range(6), 2):
        other = given.copy()
        other[a], other[b] = b, a
        ratios[a, b] = way(other) / max(way(given), 1e-12)
    (a, b), ratio = min(ratios.items(), key=lambda item: item[1])
    if ratio >= SHORTER:
        return (), ""
    pair = (CHEST[a], CHEST[b])
    why = f"with {pair[0]} and {pair[1]} exchanged the way from V1 to V6 is {ratio:.0%} as long"
    return (Suspicion("/".join(pair), ratio, SHORTER, pair, why),), ""
