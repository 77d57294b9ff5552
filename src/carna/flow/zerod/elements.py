"""Codes that the compiled time loop shares with what writes equations and what calls it."""

from __future__ import annotations

from typing import Final

# Elements whose equations are not linear in the unknowns.
STENOSIS: Final = 0
EXPONENTIAL: Final = 1
SWITCH: Final = 2
LAGGED: Final = 3
TANH: Final = 4
PIECEWISE: Final = 5
SPHERE: Final = 6

# How a march ended.
DONE: Final = 0
PIVOT: Final = 1
STUCK: Final = 2
LOST: Final = 3
