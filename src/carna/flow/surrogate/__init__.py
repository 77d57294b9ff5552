"""Learned stand-ins for the steady solver, kept to compare with it: trees in, ratios at segments' tails out.

The solver needs microseconds a tree and makes no error of its own; what these cost and get wrong stands in
``docs/flow-surrogates.md``.
"""

from carna.flow.surrogate.features import Segments
from carna.flow.surrogate.models import card, surrogate

__all__ = ["Segments", "card", "surrogate"]
