"""How well two measurements or masks of the same things agree: bias, limits, error, ICC(A,1), Dice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from carna.learn.evaluate import by_patient

__all__ = ["dice", "icc", "measures"]


def dice(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Return the overlap of two masks, twice the common over the sum, 0 to 1; 1 where both are empty."""
    both = int(found.sum() + truth.sum())
    return float(2 * (found & truth).sum() / both) if both else 1.0


def icc(found: Sequence[float], truth: Sequence[float]) -> float:
    """Return the intraclass correlation of absolute agreement, single measurement, ICC(A,1).

    McGraw and Wong 1996 (doi:10.1037/1082-989X.1.1.30): two-way, both raters' means count against it.
    """
    x = np.column_stack([found, truth]).astype(float)
    n, k = x.shape
    rows, columns, whole = x.mean(1), x.mean(0), x.mean()
    between = k * float(((rows - whole) ** 2).sum()) / (n - 1)
    raters = n * float(((columns - whole) ** 2).sum()) / (k - 1)
    rest = float(((x - rows[:, None] - columns[None] + whole) ** 2).sum()) / ((n - 1) * (k - 1))
    return float((between - rest) / (between + (k - 1) * rest + k * (raters - rest) / n))


def measures(
    found: Sequence[float], truth: Sequence[float]
) -> Iterator[tuple[str, float, tuple[float, float] | None]]:
    """Yield (metric, value, 95 % interval) of pairs, one pair a patient; fewer than three give the bias
    alone.

    The limits of agreement are bias plus and minus 1.96 standard deviations (Bland and Altman 1986,
    doi:10.1016/S0140-6736(86)90837-8).
    """
    error = np.asarray(found, float) - np.asarray(truth, float)
    if not len(error):
        return
    yield "bias", float(error.mean()), by_patient([[e] for e in error])
    if len(error) < 3:
        return
    sd = float(error.std(ddof=1))
    yield "loa_low", float(error.mean() - 1.96 * sd), None
    yield "loa_high", float(error.mean() + 1.96 * sd), None
    yield "mae", float(np.abs(error).mean()), by_patient([[abs(e)] for e in error])
    yield "icc", icc(found, truth), None
