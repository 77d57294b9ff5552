"""Intervals of what was counted."""

from __future__ import annotations

from math import sqrt

from carna.errors import InputError

__all__ = ["wilson"]


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a proportion (doi:10.1080/01621459.1927.10502953).

    Nothing counted (``n`` of 0) leaves all open: 0 to 1.

    Raises
    ------
    InputError
        Not ``0 <= hits <= n``.

    >>> [round(x, 3) for x in wilson(9, 10)]
    [0.596, 0.982]
    """
    if not 0 <= hits <= n:
        raise InputError(f"{hits} of {n}", needed="0 <= hits <= n")
    z = 1.959963984540054
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
