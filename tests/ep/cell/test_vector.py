"""Exponential and logarithm against NumPy's, over their whole range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from carna.ep.cell import vector


def applied(function: Any, x: Any) -> Any:
    @njit
    def loop(x: Any, out: Any) -> None:
        for i in range(len(x)):
            out[i] = function(x[i])

    out = np.empty_like(x)
    loop(x, out)
    return out.astype(float)


@pytest.mark.parametrize(("bits", "error", "edge"), [(32, 5e-7, 120.0), (64, 2e-15, 1000.0)])
def test_exp2_decay_and_log(bits: int, error: float, edge: float) -> None:
    kind = np.dtype(f"float{bits}")
    y = np.linspace(-edge, edge, 200_001).astype(kind)
    for name in ("exp2_", "exp2_safe_"):
        found = applied(getattr(vector, f"{name}{bits}"), y)
        assert np.max(np.abs(found / np.exp2(y.astype(float)) - 1)) < error
    z = np.concatenate([[0.0], np.logspace(-12, 2, 20_001)]).astype(kind)
    wanted = -np.expm1(-z.astype(float) * np.log(2))
    assert (
        np.max(np.abs(applied(getattr(vector, f"decay{bits}"), z) - wanted) / np.maximum(wanted, 1e-30))
        < 3 * error
    )
    x = np.logspace(-30, 30, 200_001).astype(kind)
    wanted = np.log(x.astype(float))
    assert (
        np.max(np.abs(applied(getattr(vector, f"log{bits}"), x) - wanted) / np.maximum(np.abs(wanted), 1))
        < error
    )
