"""Kernels: one step against the float64 reference, float32 over many beats, the GPU source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from carna.ep.cell import load
from carna.ep.cell.expression import evaluate
from carna.ep.cell.kernel import Kernel, _compiled, compile_kernel
from carna.ep.cell.lowering import lower, markov_chains, rush_larsen
from carna.ep.cell.model import CellModel
from carna.ep.cell.pace import pace
from carna.errors import InputError

MODELS = ["tt2006", "mitchell_schaeffer"] + [
    pytest.param(name, marks=pytest.mark.slow) for name in ("courtemanche1998", "ohara_cipa", "torord")
]


def random_states(model: CellModel, n: int, spread: float = 0.2) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(3)
    states = model.initial[:, None] * np.exp(rng.normal(0, spread, (len(model.states), n)))
    for i, state in enumerate(model.states):
        if state.unit == "1":
            states[i] = rng.uniform(0.05, 0.95, n)
    states[model.state_names.index("V")] = rng.uniform(-95, 50, n)
    return states


def stepped(kernel: Kernel, states: npt.NDArray[np.float64], dt: float) -> npt.NDArray[np.float64]:
    names = kernel.model.state_names
    v, s = kernel.start(1)
    v[0] = states[names.index("V")]
    for row, name in enumerate(kernel.slots):
        if name in names:
            s[0, row] = states[names.index(name)]
    kernel.advance(v, s, np.zeros_like(v), dt, np.zeros(1, np.int32))
    return np.stack([v[0] if n == "V" else s[0, kernel.slots.index(n)] for n in names]).astype(float)


def reference_step(model: CellModel, states: npt.NDArray[np.float64], dt: float) -> npt.NDArray[np.float64]:
    """The same step, written from its definition in NumPy."""
    names = list(model.state_names)
    new = states.copy()
    values = model.values(states)
    gates = rush_larsen(model)
    for name, (target, rate) in gates.items():
        end, speed = evaluate(target, values), evaluate(rate, values)
        new[names.index(name)] += (end - states[names.index(name)]) * -np.expm1(-dt * speed)
    for chain in markov_chains(model):
        rows = [names.index(n) for n in chain]
        base = model.rhs(states)[rows]
        matrix = np.stack(
            [model.rhs(states + np.eye(len(names))[r][:, None])[rows] - base for r in rows], axis=1
        )
        lhs = np.eye(len(rows))[:, :, None] - dt * matrix
        solved = np.linalg.solve(np.moveaxis(lhs, 2, 0), states[rows].T[:, :, None])[:, :, 0].T
        whole = model.initial[rows].sum()
        new[rows] = solved * (whole / solved.sum(axis=0))
    rest = [
        i for i, n in enumerate(names) if n not in gates and not any(n in c for c in markov_chains(model))
    ]
    mixed = new.copy()
    mixed[rest] = states[rest]
    new[rest] = states[rest] + dt * model.rhs(mixed)[rest]
    return new


@pytest.mark.parametrize("name", MODELS)
def test_one_step_is_the_step_defined(name: str) -> None:
    model = load(name)
    states = random_states(model, 512)
    kernel = compile_kernel(model, precision="float64")
    found, wanted = stepped(kernel, states, 0.01), reference_step(model, states, 0.01)
    scale = np.maximum(np.abs(wanted), 1e-9)
    assert np.max(np.abs(found - wanted) / scale) < 1e-10


@pytest.mark.parametrize("name", MODELS)
def test_float32_step_is_the_float64_step_rounded(name: str) -> None:
    model = load(name)
    states = random_states(model, 512).astype(np.float32).astype(float)
    found = stepped(compile_kernel(model), states, 0.02)
    wanted = stepped(compile_kernel(model, precision="float64"), states, 0.02)
    change = np.abs(wanted - states)
    # a few last digits of the state, and of the change that was added to it
    assert np.all(np.abs(found - wanted) <= 4e-7 * np.abs(wanted) + 2e-4 * change + 2e-7)


def test_varied_parameters_differ_from_lane_to_lane() -> None:
    model = load("tt2006")
    kernel = compile_kernel(model, ("g_Kr", "Ko"), "float64")
    assert kernel.slots[18:20] == ("GKr", "Ko")
    v, s = kernel.start(2)
    s[:, 18, 0], s[:, 19, 1] = 0.5, 9.0
    v[:] = -40.0
    idle = v.copy()
    kernel.advance(v, s, np.zeros_like(v), 0.01, np.array([1], np.int32))
    assert np.array_equal(v[0], idle[0])  # only the blocks listed
    for lane, other in ((0, model.with_(GKr=0.5)), (1, model.with_(Ko=9.0)), (2, model)):
        own = stepped(compile_kernel(other, precision="float64"), _at(other, -40.0), 0.01)
        assert v[1, lane] == pytest.approx(own[0, 0], rel=1e-12)


def _at(model: CellModel, v: float) -> npt.NDArray[np.float64]:
    states = np.repeat(model.initial[:, None], 512, axis=1)
    states[model.state_names.index("V")] = v
    return states


def test_the_stimulus_depolarises() -> None:
    kernel = compile_kernel(load("tt2006"))
    v, s = kernel.start(1)
    stimulus = np.zeros_like(v)
    stimulus[0, 7] = 30.0
    kernel.advance(v, s, stimulus, 0.1, np.zeros(1, np.int32))
    assert v[0, 7] - v[0, 8] == pytest.approx(3.0, rel=1e-5)


def test_arrays_and_steps_that_do_not_fit_are_refused() -> None:
    kernel = compile_kernel(load("tt2006"))
    v, s = kernel.start(1)
    blocks = np.zeros(1, np.int32)
    with pytest.raises(InputError, match="at most"):
        kernel.advance(v, s, np.zeros_like(v), 0.5, blocks)
    with pytest.raises(InputError, match="float32"):
        kernel.advance(v.astype(float), s, np.zeros_like(v), 0.02, blocks)
    with pytest.raises(InputError, match="GKs"):
        compile_kernel(load("tt2006"), ("Gks",))


def test_few_exponentials_and_divisions_are_left() -> None:
    step = lower(load("tt2006"), (), "float32", 0.2)
    ops = [n.op for n in step.graph.nodes]
    assert sum(op in ("exp2", "exp2_safe", "decay2", "log") for op in ops) < 50  # 80 in the equations
    assert ops.count("recip") < 40  # 90 in the equations


@pytest.mark.slow
def test_markov_chains_keep_their_sum_at_any_rate() -> None:
    model = load("ohara_cipa").with_(
        D=10, Kmax=1e8, Ku=1.79e-5, halfmax=5.483e8, n=0.9999, Vhalf=-1.1, Kt=3.5e-5
    )
    (chain,) = markov_chains(model)
    assert len(chain) == 9
    end = pace(model, 1000, 2, dt_ms=0.05).cells
    assert sum(float(end[n][0]) for n in chain) == pytest.approx(1.0, abs=2e-6)
    assert all(0 <= end[n][0] <= 1 for n in chain)
    assert end["Obound"][0] > 1e-6


@pytest.mark.slow
def test_float32_follows_float64_over_a_thousand_beats() -> None:
    single = pace(load("tt2006"), 1000, 1000, dt_ms=0.05)
    double = pace(load("tt2006"), 1000, 1000, dt_ms=0.05, precision="float64")
    assert np.max(np.abs(single.apd90_ms - double.apd90_ms)) < 0.5
    assert single.cells["Ki"][0] == pytest.approx(double.cells["Ki"][0], abs=0.05)


CUDA = """
import numpy as np
from carna.ep.cell import load
from carna.ep.cell.kernel import compile_cuda, compile_kernel
model = load("tt2006")
kernel = compile_kernel(model)
v, s = kernel.start(1)
v[0] = np.linspace(-95, 50, 512)
cv, cs = v.copy(), s.reshape(1, -1).copy()
kernel.advance(v, s, np.zeros_like(v), 0.02, np.zeros(1, np.int32))
gpu, slots = compile_cuda(model)
assert slots == kernel.slots
gpu[1, 512](cv, cs, np.zeros_like(v), np.float32(0.02), np.zeros(1, np.int32))
assert np.max(np.abs(cv - v)) < 1e-4, np.max(np.abs(cv - v))
assert np.allclose(cs.reshape(s.shape), s, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.slow
def test_the_gpu_source_steps_like_the_cpu() -> None:
    env = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}  # numba's simulator: no GPU is needed
    done = subprocess.run([sys.executable, "-c", CUDA], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_source_is_the_same_in_every_process() -> None:
    """Else kernels would be compiled again and again, and results would differ by rounding between runs."""
    code = (
        "from carna.ep.cell import load; from carna.ep.cell.emit import cpu_source; "
        "from carna.ep.cell.lowering import lower; "
        "print(cpu_source(lower(load('torord'), (), 'float32', 0.2), 'float32', ''))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


@pytest.mark.slow
def test_a_kernel_is_as_fast_when_just_compiled_as_when_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop over the lanes must be part of its callers: alone, LLVM leaves a large model's scalar."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = load("mitchell_schaeffer")
    kernel = _compiled.__wrapped__(model, (), "float32", 0.2)
    v, s = kernel.start(1)
    kernel.advance(v, s, np.zeros_like(v), 0.05, np.zeros(1, np.int32))
    asm = kernel.code.advance.inspect_asm(kernel.code.advance.signatures[0])
    assert "advance" in asm
    assert not [line for line in asm.splitlines() if "block" in line and "NumbaEnv" not in line]
