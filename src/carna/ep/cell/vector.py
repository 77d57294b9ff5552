"""Exponential and logarithm that LLVM turns into full-width vector code.

numba's wheels carry no vector mathematics library, so a loop that calls ``math.exp`` runs one node at a
time. These are straight-line polynomials on the bits of the number instead:

    2^y = 2^k 2^f,     k = round(y), f = y - k,    2^f a polynomial on [-1/2, 1/2]
    ln x = e ln 2 + ln(1 + z),   x = 2^e (1 + z),  1 + z between sqrt(1/2) and sqrt(2)

Rounding adds and subtracts 1.5 x 2^23 (2^52 in float64), which leaves k in the low bits; the power of two
is then an integer addition to the exponent bits of the polynomial.

The relative errors are below 5e-7 in float32 and 2e-15 in float64 (log: absolute near x = 1).
The ``safe`` forms hold the argument inside the range of the format; the others need |y| < 125 (1000).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "decay32", "decay64", "exp2_32", "exp2_64", "exp2_safe_32", "exp2_safe_64", "log32", "log64", "select",
]  # fmt: skip

_FAST = {"contract", "nsz"}
_I32, _I64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def select(_typing: Any, test: Any, yes: Any, no: Any) -> Any:
    """Return ``yes`` where ``test`` holds, else ``no``, without a branch."""

    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(test, yes, no), code


@intrinsic
def _shifted(_typing: Any, x: Any, t: Any) -> Any:
    """Return x times 2 to the integer in the low bits of t."""

    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, bits = (_I32, 23) if x == types.float32 else (_I64, 52)
        number, power = (builder.bitcast(a, integer) for a in args)
        moved = builder.add(number, builder.shl(power, ir.Constant(integer, bits)))
        return builder.bitcast(moved, args[0].type)

    return x(x, t), code


def _exponent_bits(builder: Any, x: Any, single: bool) -> Any:
    integer, bits, root = (_I32, 23, 0x3F3504F3) if single else (_I64, 52, 0x3FE6A09E667F3BCD)
    above = builder.sub(builder.bitcast(x, integer), ir.Constant(integer, root))
    return builder.ashr(above, ir.Constant(integer, bits))


@intrinsic
def _exponent(_typing: Any, x: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.sitofp(_exponent_bits(builder, args[0], x == types.float32), args[0].type)

    return x(x), code


@intrinsic
def _mantissa(_typing: Any, x: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, bits = (_I32, 23) if x == types.float32 else (_I64, 52)
        e = _exponent_bits(builder, args[0], x == types.float32)
        number = builder.bitcast(args[0], integer)
        return builder.bitcast(builder.sub(number, builder.shl(e, ir.Constant(integer, bits))), args[0].type)

    return x(x), code


# Polynomials fitted for the least largest relative error, lowest power first.
_E0 = np.float32(1.00000007)
_E1 = np.float32(0.693146967)
_E2 = np.float32(0.240221197)
_E3 = np.float32(0.0555071328)
_E4 = np.float32(0.00967554157)
_E5 = np.float32(0.00132764714)
_D0 = np.float32(0.693147188)
_D1 = np.float32(0.240226511)
_D2 = np.float32(0.055503571)
_D3 = np.float32(0.00961803078)
_D4 = np.float32(0.00133908679)
_D5 = np.float32(0.000154697336)
_L0 = np.float32(0.333333168)
_L1 = np.float32(-0.250007966)
_L2 = np.float32(0.200022825)
_L3 = np.float32(-0.166249694)
_L4 = np.float32(0.141814197)
_L5 = np.float32(-0.131252992)
_L6 = np.float32(0.128792047)
_L7 = np.float32(-0.0786544449)
_MAGIC32 = np.float32(12582912.0)  # 1.5 x 2^23
_LN2_32 = np.float32(0.6931471805599453)
_ONE32, _HALF32 = np.float32(1.0), np.float32(0.5)
_LOW32, _HIGH32 = np.float32(-126.0), np.float32(126.9)
# In float64 the Taylor series of 2^f and of ln((1 + s) / (1 - s)).
_T0 = np.float64(1.0)
_T1 = np.float64(0.6931471805599453)
_T2 = np.float64(0.2402265069591007)
_T3 = np.float64(0.055504108664821576)
_T4 = np.float64(0.009618129107628477)
_T5 = np.float64(0.0013333558146428441)
_T6 = np.float64(0.00015403530393381606)
_T7 = np.float64(1.5252733804059838e-05)
_T8 = np.float64(1.3215486790144305e-06)
_T9 = np.float64(1.0178086009239696e-07)
_T10 = np.float64(7.054911620801121e-09)
_T11 = np.float64(4.44553827187081e-10)
_T12 = np.float64(2.5678435993488196e-11)
_T13 = np.float64(1.3691488853904124e-12)
_MAGIC64 = np.float64(6755399441055744.0)  # 1.5 x 2^52
_LN2_HIGH, _LN2_LOW = np.float64(0.693147180369123816490), np.float64(1.90821492927058770002e-10)


@njit(fastmath=_FAST, error_model="numpy")
def exp2_32(y: Any) -> Any:
    """Return 2^y for |y| < 125."""
    t = y + _MAGIC32
    f = y - (t - _MAGIC32)
    return _shifted(_E0 + f * (_E1 + f * (_E2 + f * (_E3 + f * (_E4 + f * (_E5))))), t)


@njit(fastmath=_FAST, error_model="numpy")
def exp2_safe_32(y: Any) -> Any:
    """Return 2^y with y held to -126..126.9."""
    y = select(y < _LOW32, _LOW32, y)
    return exp2_32(select(y > _HIGH32, _HIGH32, y))


@njit(fastmath=_FAST, error_model="numpy")
def decay32(y: Any) -> Any:
    """Return 1 - 2^-y for y >= 0, accurate for small y too."""
    y = select(y > _HIGH32, _HIGH32, y)
    t = _MAGIC32 - y
    f = (_MAGIC32 - t) - y
    scale = _shifted(_ONE32, t)
    return (_ONE32 - scale) - scale * (f * (_D0 + f * (_D1 + f * (_D2 + f * (_D3 + f * (_D4 + f * (_D5)))))))


@njit(fastmath=_FAST, error_model="numpy")
def log32(x: Any) -> Any:
    """Return ln x for normal, positive x."""
    z = _mantissa(x) - _ONE32
    series = (
        z
        * z
        * (
            z * (_L0 + z * (_L1 + z * (_L2 + z * (_L3 + z * (_L4 + z * (_L5 + z * (_L6 + z * (_L7))))))))
            - _HALF32
        )
    )
    return _exponent(x) * _LN2_32 + (z + series)


@njit(fastmath=_FAST, error_model="numpy")
def _series64(f: Any) -> Any:
    """Return (2^f - 1) / f on [-1/2, 1/2]."""
    high = _T7 + f * (_T8 + f * (_T9 + f * (_T10 + f * (_T11 + f * (_T12 + f * (_T13))))))
    return _T1 + f * (_T2 + f * (_T3 + f * (_T4 + f * (_T5 + f * (_T6 + f * high)))))


@njit(fastmath=_FAST, error_model="numpy")
def exp2_64(y: Any) -> Any:
    """Return 2^y for |y| < 1000."""
    t = y + _MAGIC64
    f = y - (t - _MAGIC64)
    return _shifted(_T0 + f * _series64(f), t)


@njit(fastmath=_FAST, error_model="numpy")
def exp2_safe_64(y: Any) -> Any:
    """Return 2^y with y held to -1020..1020."""
    y = select(y < -1020.0, -1020.0, y)
    return exp2_64(select(y > 1020.0, 1020.0, y))


@njit(fastmath=_FAST, error_model="numpy")
def decay64(y: Any) -> Any:
    """Return 1 - 2^-y for y >= 0, accurate for small y too."""
    y = select(y > 1020.0, 1020.0, y)
    t = _MAGIC64 - y
    f = (_MAGIC64 - t) - y
    scale = _shifted(1.0, t)
    return (1.0 - scale) - scale * (f * _series64(f))


@njit(fastmath=_FAST, error_model="numpy")
def log64(x: Any) -> Any:
    """Return ln x for normal, positive x."""
    z = _mantissa(x) - 1.0
    s = z / (z + 2.0)
    w = s * s
    odd = 1 / 3 + w * (
        1 / 5
        + w
        * (
            1 / 7
            + w
            * (
                1 / 9
                + w
                * (
                    1 / 11
                    + w * (1 / 13 + w * (1 / 15 + w * (1 / 17 + w * (1 / 19 + w * (1 / 21 + w * (1 / 23))))))
                )
            )
        )
    )
    e = _exponent(x)
    return e * _LN2_HIGH + (2.0 * s + (2.0 * s * w * (odd) + e * _LN2_LOW))
