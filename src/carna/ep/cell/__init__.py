"""Cell models: from equations as data to thousands of action potentials.

::

    expression   trees of numbers, names and operations
    notation     the text in which models are written, and its parser
    dimensions   are the units of an equation's two sides the same?
    model        CellModel: states, parameters, equations; the float64 reference
    models/      the shipped models, one readable text each
    imported     Myokit .mmt and CellML files into the same CellModel
    ode_file     gotran's .ode files likewise
    lowering     equations into few, cheap operations
    emit         operations into source: numba on the CPU, numba.cuda on a GPU
    kernel       source into a compiled kernel that advances blocks of 512 cells
    pace         pacing protocols and what is measured on an action potential
    clamp        voltage clamp of one channel

``load`` gives a shipped model; nothing here imports numba before a kernel is asked for.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from carna.ep.cell.model import CellModel, Parameter
from carna.ep.cell.notation import parse
from carna.errors import InputError

__all__ = ["CellModel", "Parameter", "load", "shipped"]


@cache
def shipped() -> tuple[str, ...]:
    """Return the names of the shipped models."""
    folder = files("carna.ep.cell") / "models"
    return tuple(sorted(p.name.removesuffix(".cell") for p in folder.iterdir() if p.name.endswith(".cell")))


def _text(name: str) -> str:
    if name not in shipped():
        raise InputError(f"no shipped cell model {name!r}", needed="one of " + ", ".join(shipped()))
    return (files("carna.ep.cell") / "models" / f"{name}.cell").read_text("utf-8")


@cache
def load(name: str, variant: str = "") -> CellModel:
    """Return a shipped cell model.

    Parameters
    ----------
    name
        ``tt2006``, ``ohara2011``, ``ohara_cipa``, ``torord``, ``courtemanche1998`` or ``mitchell_schaeffer``.
    variant
        Cell type, such as ``epi``, ``mid`` or ``endo``; the model's first if empty.

    Raises
    ------
    InputError
        If there is no such model or variant.

    Examples
    --------
    >>> load("tt2006", "epi").scaled(GKr=0.5)["GKr"].value
    0.0765
    """
    return parse(_text(name), variant, find=_text)
