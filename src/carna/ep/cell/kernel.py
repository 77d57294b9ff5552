"""Kernels: a model compiled to advance blocks of 512 cells by one time step.

>>> from carna.ep.cell import load
>>> kernel = compile_kernel(load("tt2006"), varied=("GKr",))
>>> v, s = kernel.start(n_blocks=2)
>>> v.shape, s.shape == (2, len(kernel.slots), 512)
((2, 512), True)

The source is generated (:mod:`carna.ep.cell.lowering`, :mod:`carna.ep.cell.emit`), written to the user's
cache folder under a hash of model, varied parameters, precision and generator, and compiled by numba, which
keeps its machine code beside it: the second start of the same model takes no time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt

from carna.ep.cache import cache_folder
from carna.ep.cell.emit import LANES, cpu_source, cuda_source
from carna.ep.cell.lowering import check_varied, lower
from carna.ep.cell.model import CellModel
from carna.errors import InputError

__all__ = ["Kernel", "Precision", "compile_cuda", "compile_kernel"]

Precision = Literal["float32", "float64"]
Floats = npt.NDArray[Any]


@final
@dataclass(frozen=True)
class Kernel:
    """A compiled model.

    Parameters
    ----------
    model, varied, precision
        What it was compiled from.
    slots
        What is stored per node besides V: the other states, the varied parameters, and in float32 the
        rounding errors (``Nai.rest``) that the concentrations carry along.
    dt_max_ms
        The longest time step.
    code
        The module generated: ``advance`` for tissue, ``pace`` for single cells.
    """

    model: CellModel
    varied: tuple[str, ...]
    precision: Precision
    slots: tuple[str, ...]
    dt_max_ms: float
    code: ModuleType

    @property
    def lanes(self) -> int:
        """Nodes per block."""
        return LANES

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number format of V and the states."""
        return np.dtype(self.precision)

    def start(self, n_blocks: int) -> tuple[Floats, Floats]:
        """Return V and the rest at the model's initial state.

        Returns
        -------
        v
            (n_blocks, 512), mV.
        s
            (n_blocks, n_slots, 512), in the order of ``slots``.
        """
        initial = {s.name: s.initial for s in self.model.states}
        column = [
            initial.get(name, self.model[name].value if name in self.varied else 0.0) for name in self.slots
        ]
        v = np.full((n_blocks, LANES), initial["V"], self.dtype)
        s = np.empty((n_blocks, len(self.slots), LANES), self.dtype)
        s[:] = np.array(column)[:, None]
        return v, s

    def advance(
        self, v: Floats, s: Floats, stimulus: Floats, dt_ms: float, blocks: npt.NDArray[np.int32]
    ) -> None:
        """Advance the blocks listed by one reaction step, in place.

        Parameters
        ----------
        v, s
            As :meth:`start` gave them.
        stimulus
            (n_blocks, 512), A/F, positive depolarises.
        dt_ms
            The step, at most ``dt_max_ms``.
        blocks
            Indices of the blocks to advance.

        Raises
        ------
        InputError
            If the step is too long or an array is not what :meth:`start` gave.
        """
        if not 0 < dt_ms <= self.dt_max_ms:
            raise InputError(
                f"a step of {dt_ms:g} ms",
                needed=f"more than 0 and at most {self.dt_max_ms:g} ms",
                fix="shorten it, or compile the kernel with a larger dt_max_ms",
            )
        for array, shape in (
            (v, (len(v), LANES)),
            (s, (len(v), len(self.slots), LANES)),
            (stimulus, v.shape),
        ):
            if array.shape != shape or array.dtype != self.dtype or not array.flags.c_contiguous:
                raise InputError(
                    f"an array of shape {array.shape} and type {array.dtype}",
                    needed=f"{shape} {self.dtype}, C-contiguous, as Kernel.start gives",
                )
        self.code.advance(v, s.reshape(len(v), -1), stimulus, self.dtype.type(dt_ms), blocks)


def compile_kernel(
    model: CellModel,
    varied: tuple[str, ...] = (),
    precision: Precision = "float32",
    *,
    dt_max_ms: float = 0.2,
) -> Kernel:
    """Compile a model; cached per model, varied parameters, precision and longest step.

    Parameters
    ----------
    varied
        Parameters (or labels such as ``g_Kr``) that each node has its own value of; all others become
        numbers in the code.
    precision
        ``float32`` is proven against ``float64`` by the tests; use float64 for a reference.
    dt_max_ms
        The longest step the kernel will be used with; longer ones make slow gates a little dearer.

    Raises
    ------
    InputError
        If a varied parameter is unknown.
    """
    return _compiled(model, check_varied(model, varied), precision, float(dt_max_ms))


@cache
def _compiled(model: CellModel, varied: tuple[str, ...], precision: Precision, dt_max_ms: float) -> Kernel:
    if precision not in ("float32", "float64"):
        raise InputError(f"precision {precision!r}", needed="float32 or float64")
    step = lower(model, varied, precision, dt_max_ms)
    source = cpu_source(
        step, precision, f"Generated from {model.name} {model.variant}; see carna.ep.cell.emit."
    )
    _full_width_vectors()
    return Kernel(model, varied, precision, step.slots, dt_max_ms, _module(source, model.name))


def compile_cuda(
    model: CellModel,
    varied: tuple[str, ...] = (),
    precision: Precision = "float32",
    *,
    dt_max_ms: float = 0.2,
) -> tuple[Callable[..., None], tuple[str, ...]]:
    """Return the GPU kernel of a model and its slots.

    The kernel is launched as ``advance[len(blocks), 512](v, s, stimulus, dt, blocks)`` on device arrays
    v (n_blocks, 512), s (n_blocks, n_slots * 512), stimulus (n_blocks, 512), dt in the kernel's precision,
    blocks int32.
    """
    varied = check_varied(model, varied)
    step = lower(model, varied, precision, dt_max_ms)
    source = cuda_source(
        step, precision, f"Generated from {model.name} {model.variant}; see carna.ep.cell.emit."
    )
    advance: Callable[..., None] = _module(source, model.name + "_cuda").advance
    return advance, step.slots


def _module(source: str, name: str) -> ModuleType:
    """Write the source to the cache folder, unless it is there, and import it."""
    vector = (files("carna.ep.cell") / "vector.py").read_bytes()
    key = hashlib.sha256(source.encode() + vector).hexdigest()[:20]
    path = cache_folder("kernels") / f"{name}_{key}.py"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(source)
        os.replace(file.name, path)  # two processes may write the same kernel at once
    spec = importlib.util.spec_from_file_location(f"carna_kernel_{key}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported", needed="a readable cache folder")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # numba's cache finds functions by the name of their module
    spec.loader.exec_module(module)
    return module


def _full_width_vectors() -> None:
    """Let LLVM use 512-bit registers on Intel chips, where it prefers 256 unless told (a third faster)."""
    import llvmlite.binding as llvm
    from numba import config

    have = llvm.get_host_cpu_features()
    if have.get("avx512f") and not config.CPU_FEATURES and not config.CPU_NAME:
        config.CPU_NAME = llvm.get_host_cpu_name()
        config.CPU_FEATURES = have.flatten() + ",-prefer-256-bit"
