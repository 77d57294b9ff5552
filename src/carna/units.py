"""Units: UCUM spelling, one small parser, one conversion.

A unit is a string in the Unified Code for Units of Measure (https://ucum.org): atoms with
an optional metric prefix, integer exponents, ``.`` for times and ``/`` for per, as in
``mL/min/m2``, ``mm[Hg]``, ``dyn.s/cm5`` or ``{beats}/min``. Annotations in braces carry no
dimension. Atoms are those the heart needs; an unknown one is refused, never guessed.
"""

from __future__ import annotations

import re
from functools import cache

from carna.errors import UnitError

__all__ = ["convert", "dimension", "display"]

# Exponents of (length, mass, time, current, temperature, amount, angle, level).
Dimension = tuple[int, int, int, int, int, int, int, int]
_NONE: Dimension = (0, 0, 0, 0, 0, 0, 0, 0)

_PREFIX = {
    "k": 1e3,
    "h": 1e2,
    "d": 1e-1,
    "c": 1e-2,
    "m": 1e-3,
    "u": 1e-6,
    "n": 1e-9,
    "p": 1e-12,
    "f": 1e-15,
    "M": 1e6,
    "G": 1e9,
}

# atom: (factor to SI, dimension, takes a metric prefix)
_ATOM: dict[str, tuple[float, Dimension, bool]] = {
    "1": (1.0, _NONE, False),
    "%": (1e-2, _NONE, False),
    "[ppth]": (1e-3, _NONE, False),
    "[pH]": (1.0, _NONE, False),
    "[hnsf'U]": (1.0, _NONE, False),
    "[arb'U]": (1.0, _NONE, False),
    "[iU]": (1.0, _NONE, True),
    "U": (1.0 / 60e6, (0, 0, -1, 0, 0, 1, 0, 0), True),
    "m": (1.0, (1, 0, 0, 0, 0, 0, 0, 0), True),
    "L": (1e-3, (3, 0, 0, 0, 0, 0, 0, 0), True),
    "l": (1e-3, (3, 0, 0, 0, 0, 0, 0, 0), True),
    "[in_i]": (0.0254, (1, 0, 0, 0, 0, 0, 0, 0), False),
    "g": (1e-3, (0, 1, 0, 0, 0, 0, 0, 0), True),
    "[lb_av]": (0.45359237, (0, 1, 0, 0, 0, 0, 0, 0), False),
    "s": (1.0, (0, 0, 1, 0, 0, 0, 0, 0), True),
    "min": (60.0, (0, 0, 1, 0, 0, 0, 0, 0), False),
    "h": (3600.0, (0, 0, 1, 0, 0, 0, 0, 0), False),
    "d": (86400.0, (0, 0, 1, 0, 0, 0, 0, 0), False),
    "wk": (604800.0, (0, 0, 1, 0, 0, 0, 0, 0), False),
    "mo": (2629800.0, (0, 0, 1, 0, 0, 0, 0, 0), False),
    "a": (31557600.0, (0, 0, 1, 0, 0, 0, 0, 0), False),
    "Hz": (1.0, (0, 0, -1, 0, 0, 0, 0, 0), True),
    "N": (1.0, (1, 1, -2, 0, 0, 0, 0, 0), True),
    "dyn": (1e-5, (1, 1, -2, 0, 0, 0, 0, 0), True),
    "Pa": (1.0, (-1, 1, -2, 0, 0, 0, 0, 0), True),
    "bar": (1e5, (-1, 1, -2, 0, 0, 0, 0, 0), True),
    "m[Hg]": (133322.387415, (-1, 1, -2, 0, 0, 0, 0, 0), True),
    "m[H2O]": (9806.65, (-1, 1, -2, 0, 0, 0, 0, 0), True),
    "P": (0.1, (-1, 1, -1, 0, 0, 0, 0, 0), True),
    "J": (1.0, (2, 1, -2, 0, 0, 0, 0, 0), True),
    "W": (1.0, (2, 1, -3, 0, 0, 0, 0, 0), True),
    "A": (1.0, (0, 0, 0, 1, 0, 0, 0, 0), True),
    "C": (1.0, (0, 0, 1, 1, 0, 0, 0, 0), True),
    "V": (1.0, (2, 1, -3, -1, 0, 0, 0, 0), True),
    "S": (1.0, (-2, -1, 3, 2, 0, 0, 0, 0), True),
    "F": (1.0, (-2, -1, 4, 2, 0, 0, 0, 0), True),
    "Ohm": (1.0, (2, 1, -3, -2, 0, 0, 0, 0), True),
    "T": (1.0, (0, 1, -2, -1, 0, 0, 0, 0), True),
    "K": (1.0, (0, 0, 0, 0, 1, 0, 0, 0), True),
    "mol": (1.0, (0, 0, 0, 0, 0, 1, 0, 0), True),
    "eq": (1.0, (0, 0, 0, 0, 0, 1, 0, 0), True),
    "rad": (1.0, (0, 0, 0, 0, 0, 0, 1, 0), True),
    "deg": (0.017453292519943295, (0, 0, 0, 0, 0, 0, 1, 0), False),
    # A logarithm: it converts to no plain ratio, so it has a dimension of its own.
    "B": (1.0, (0, 0, 0, 0, 0, 0, 0, 1), True),
    "Gy": (1.0, (2, 0, -2, 0, 0, 0, 0, 0), True),
}
# Scales with a zero of their own: offset to add, in kelvin, after the factor.
_OFFSET = {"Cel": (1.0, 273.15), "[degF]": (5.0 / 9.0, 459.67 * 5.0 / 9.0)}
_KELVIN: Dimension = (0, 0, 0, 0, 1, 0, 0, 0)

_TERM = re.compile(
    r"(?P<power>10\*-?\d+)|(?P<atom>(?:\[[^\]]*\]|[A-Za-z%'])+|1)?(?P<exp>-?\d+)?(?P<note>\{[^}]*\})?"
)


@cache
def _parse(unit: str) -> tuple[float, Dimension]:
    """Return the factor to SI and the dimension of a UCUM string without offset."""
    if not unit:
        raise UnitError("the unit is empty", needed="a UCUM string", fix='write "1" for a pure number')
    factor, dims = 1.0, list(_NONE)
    for sign, term in re.findall(r"(^|[./])([^./{]*(?:\{[^}]*\})?)", unit):
        if not term and not sign and unit.startswith("/"):
            continue  # UCUM allows a leading solidus: /min
        match = _TERM.fullmatch(term)
        if match is None or not term:
            raise _unknown(unit)
        per = -1 if sign == "/" else 1
        if match["power"]:
            factor *= 10.0 ** (per * int(match["power"][3:]))
            continue
        size, dim = _atom(match["atom"], unit) if match["atom"] else (1.0, _NONE)
        if not match["atom"] and not match["note"]:
            raise _unknown(unit)
        power = per * int(match["exp"] or 1)
        factor *= size**power
        dims = [a + power * b for a, b in zip(dims, dim, strict=True)]
    length, mass, time, current, temperature, amount, angle, level = dims
    return factor, (length, mass, time, current, temperature, amount, angle, level)


def _atom(name: str, unit: str) -> tuple[float, Dimension]:
    if name in _ATOM:
        factor, dim, _ = _ATOM[name]
        return factor, dim
    for prefix, scale in [("da", 10.0), *_PREFIX.items()]:
        if name.startswith(prefix) and name[len(prefix) :] in _ATOM:
            factor, dim, metric = _ATOM[name[len(prefix) :]]
            if metric:
                return scale * factor, dim
    raise _unknown(unit)


def _unknown(unit: str) -> UnitError:
    return UnitError(
        f"unknown unit {unit!r}", needed="a UCUM string", fix="see https://ucum.org for the spelling"
    )


def dimension(unit: str) -> Dimension:
    """Return the exponents of length, mass, time, current, temperature, amount, angle and level.

    >>> dimension("mL") == dimension("mm3")
    True
    """
    return _KELVIN if unit in _OFFSET else _parse(unit)[1]


def convert(value: float, unit: str, to: str) -> float:
    """Return ``value`` [unit] expressed in ``to``.

    Raises
    ------
    UnitError
        If a unit is unknown or the two have different dimensions; mass and amount of
        substance convert into each other for no substance, since that needs a molar mass.

    Examples
    --------
    >>> convert(1500.0, "mm3", "mL")
    1.5
    >>> convert(37.0, "Cel", "[degF]")
    98.6
    """
    if unit == to:
        dimension(unit)
        return value
    if dimension(unit) != dimension(to):
        raise UnitError(f"{unit!r} does not convert to {to!r}", needed="two units of one dimension")
    factor, offset = _scale(unit)
    factor_to, offset_to = _scale(to)
    # 12 significant digits: the rounding of the factors never shows in a printed value.
    return float(f"{(value * factor + offset - offset_to) / factor_to:.12g}")


def _scale(unit: str) -> tuple[float, float]:
    return _OFFSET[unit] if unit in _OFFSET else (_parse(unit)[0], 0.0)


_DISPLAY = {
    "1": "", "mm[Hg]": "mmHg", "[hnsf'U]": "HU", "deg": "°", "Cel": "°C", "mm2": "mm²", "mm3": "mm³",
    "cm2": "cm²", "m2": "m²", "{H.B.}/min": "bpm", "{beats}/min": "bpm", "{beats}": "", "uV": "µV",
    "us": "µs", "um": "µm", "kg/m2": "kg/m²", "mL/m2": "mL/m²", "g/m2": "g/m²", "L/min/m2": "L/min/m²",
    "a": "y",
}  # fmt: skip


def display(unit: str) -> str:
    """Return the unit as a doctor writes it, such as ``mmHg`` for ``mm[Hg]``."""
    return _DISPLAY.get(unit, unit)
