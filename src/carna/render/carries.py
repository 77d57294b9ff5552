"""What a format can carry, and what of some findings it leaves out."""

from __future__ import annotations

from carna.findings import Findings

__all__ = ["left_out"]


def left_out(findings: Findings, carries: frozenset[type]) -> tuple[str, ...]:
    """Return the ids of the items that a format does not carry, each with its kind.

    Parameters
    ----------
    findings : Findings
    carries : frozenset of type
        The ``CARRIES`` of a renderer: the kinds it can say.

    Returns
    -------
    tuple of str
        Such as ``("lv.curve (Curve)",)``, in the order of the items; empty when all is said.
    """
    return tuple(f"{item.id} ({type(item).__name__})" for item in findings.items if type(item) not in carries)
