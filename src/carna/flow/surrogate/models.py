"""The surrogates that come with the package, each with its card: ``models/flow_<name>.npz`` and ``.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np

from carna.errors import InputError
from carna.flow.surrogate.boosted import Boosted
from carna.flow.surrogate.networks import GraphNet, TreeLstm

Surrogate: TypeAlias = Boosted | TreeLstm | GraphNet

NAMES: Final = ("boosted", "tree_lstm", "graph_net")
FORMAT: Final = "carna.flow-surrogate/1"


@cache
def surrogate(name: str) -> Surrogate:
    """Return a taught surrogate: ``boosted``, ``tree_lstm`` or ``graph_net``.

    For comparison with the steady solver, which is exact and faster: nothing in the package computes an FFR
    with them.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in NAMES:
        raise InputError(f"a surrogate named {name!r}", needed=f"one of {', '.join(NAMES)}")
    with (
        as_file(files("carna") / "models" / f"flow_{name}.npz") as path,
        np.load(path, allow_pickle=False) as kept,
    ):
        weights = {key: kept[key] for key in kept.files}
    if name == "boosted":
        return Boosted(weights["feature"].astype(np.int64), weights["limit"], weights["leaf"])
    return TreeLstm(weights) if name == "tree_lstm" else GraphNet(weights)


@cache
def card(name: str) -> Mapping[str, Any]:
    """Return what a surrogate is, what it was taught with, by which recipe, and what it is for."""
    if name not in NAMES:
        raise InputError(f"a surrogate named {name!r}", needed=f"one of {', '.join(NAMES)}")
    text = (files("carna") / "models" / f"flow_{name}.json").read_text(encoding="utf-8")
    body: dict[str, Any] = json.loads(text)
    if body["format"] != FORMAT:
        raise InputError(f"models/flow_{name}.json is {body['format']}", needed=FORMAT)
    return MappingProxyType(body)
