"""The source of a kernel: one line per operation, for numba on the CPU and numba.cuda on a GPU.

The CPU kernel is one loop over the 512 lanes of a block, all arithmetic in one precision, no call that
is not inlined and no branch: LLVM turns it into full-width vector code. Two arrays per block (V, and all
else as one) keep the aliasing checks few enough for that.
"""

from __future__ import annotations

from typing import Final

from carna.ep.cell.graph import Graph, in_use
from carna.ep.cell.lowering import Step

__all__ = ["LANES", "cpu_source", "cuda_source"]

LANES: Final = 512

_INFIX: Final = {"add": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "eq": "==", "and": "&", "or": "|"}
# What numba's CUDA target calls the operations that are functions of carna.ep.cell.vector on the CPU.
_CUDA: Final = {
    "sin": "math.sin({0})", "cos": "math.cos({0})", "acos": "math.acos({0})",
    "atan": "math.atan({0})",
    "exp2": "math.exp(LN2 * {0})", "exp2_safe": "math.exp(LN2 * {0})", "decay2": "-math.expm1(-LN2 * {0})",
    "log": "math.log({0})", "sqrt": "math.sqrt({0})", "abs": "abs({0})", "floor": "math.floor({0})",
    "select": "({1} if {0} else {2})", "min": "min({0}, {1})", "max": "max({0}, {1})",
}  # fmt: skip
_CPU: Final = {
    "sin": "REAL(math.sin({0}))", "cos": "REAL(math.cos({0}))", "acos": "REAL(math.acos({0}))",
    "atan": "REAL(math.atan({0}))",
    "exp2": "exp2({0})", "exp2_safe": "exp2_safe({0})", "decay2": "decay2({0})", "log": "log({0})",
    "sqrt": "math.sqrt({0})", "abs": "select({0} < ZERO, -{0}, {0})", "floor": "REAL(math.floor({0}))",
    "select": "select({0}, {1}, {2})", "min": "select({0} < {1}, {0}, {1})",
    "max": "select({0} < {1}, {1}, {0})",
}  # fmt: skip


def cpu_source(step: Step, precision: str, doc: str) -> str:
    """Return the module of the CPU kernel: ``advance(v, s, stimulus, dt, blocks)``."""
    constants, lines = _body(step, _CPU, "{slot} * 512 + i")
    bits = precision.removeprefix("float")
    imports = ", ".join(
        f"{name}{'_' if name.startswith('exp2') else ''}{bits} as {new}"
        for name, new in (("exp2", "exp2"), ("exp2_safe", "exp2_safe"), ("decay", "decay2"), ("log", "log"))
    )
    return "\n".join(
        [
            f'"""{doc}"""',
            "import math",
            "import numpy as np",
            "from numba import njit",
            f"from carna.ep.cell.vector import select, {imports}",
            f"REAL = np.{precision}",
            *(f"{name} = REAL({value!r})" for name, value in constants.items()),
            # Compiled by itself, `block` may stay scalar, and in the session that compiles a kernel that one
            # would be called: ten times slower, until the next session reads the whole from the cache.
            "@njit(forceinline=True, error_model='numpy', fastmath={'contract', 'nsz'})",
            "def block(v, s, stimulus, dt, n):",
            "    for i in range(n):",
            *("        " + line for line in lines),
            _DRIVERS,
        ]
    )


# The lanes of a last block that no cell uses are skipped (n < 512). In `pace` each lane has its own time:
# the steps since its beat began. What is measured needs no stored trace: the peak so far sets the levels, and
# the last crossing of a level counts, so that a notch or an early afterdepolarisation does not end the beat.
_DRIVERS: Final = """
@njit(cache=True, nogil=True, error_model='numpy', fastmath={'contract', 'nsz'})
def advance(v, s, stimulus, dt, blocks):
    for b in blocks:
        block(v[b], s[b], stimulus[b], dt, 512)


HALF, LEVELS = REAL(0.5), (REAL(0.3), REAL(0.5), REAL(0.9))


@njit(cache=True, nogil=True, error_model='numpy', fastmath={'contract', 'nsz'})
def watch(v, old, count, rest, peak, rise, begin, end30, end50, end90, n):
    for i in range(n):
        count[i] += ONE
        change = v[i] - old[i]
        begin[i] = select(change > rise[i], count[i] - HALF, begin[i])
        rise[i] = select(change > rise[i], change, rise[i])
        peak[i] = select(v[i] > peak[i], v[i], peak[i])
        span = peak[i] - rest[i]
        level = peak[i] - LEVELS[0] * span
        end30[i] = select((old[i] > level) & (v[i] <= level), count[i] + (level - v[i]) / change, end30[i])
        level = peak[i] - LEVELS[1] * span
        end50[i] = select((old[i] > level) & (v[i] <= level), count[i] + (level - v[i]) / change, end50[i])
        level = peak[i] - LEVELS[2] * span
        end90[i] = select((old[i] > level) & (v[i] <= level), count[i] + (level - v[i]) / change, end90[i])


@njit(cache=True, nogil=True, error_model='numpy', fastmath={'contract', 'nsz'})
def pace(v, s, n, dt, cycle, pulse, amplitude, out, every, trace_from, trace):
    '''Pace one block: cycle (beats, 512) steps; out (beats, 7, 512); trace (samples, 512).'''
    old, stimulus, count = v.copy(), np.zeros_like(v), np.zeros_like(v)
    rest, peak, rise, begin = v.copy(), v.copy(), np.zeros_like(v), np.zeros_like(v)
    end30, end50, end90 = np.full_like(v, np.nan), np.full_like(v, np.nan), np.full_like(v, np.nan)
    beat = np.zeros(512, np.int64)
    beats, steps, event = cycle.shape[0], cycle[:, :n].sum(axis=0).max(), cycle[0, :n].min()
    for step in range(steps):
        for i in range(n):
            stimulus[i] = select(count[i] < pulse, amplitude[i], ZERO)
            old[i] = v[i]
        if step >= trace_from and (step - trace_from) % every == 0:
            row = (step - trace_from) // every
            if row < trace.shape[0]:
                trace[row, :n] = v[:n]
        block(v, s, stimulus, dt, n)
        watch(v, old, count, rest, peak, rise, begin, end30, end50, end90, n)
        if step + 1 < event:
            continue
        event = steps
        for i in range(n):
            if beat[i] < beats and count[i] == cycle[beat[i], i]:
                out[beat[i], 0, i], out[beat[i], 1, i] = rest[i], peak[i]
                out[beat[i], 2, i], out[beat[i], 3, i] = rise[i] / dt, begin[i] * dt
                out[beat[i], 4, i], out[beat[i], 5, i] = end30[i] * dt, end50[i] * dt
                out[beat[i], 6, i] = end90[i] * dt
                beat[i] += 1
                rest[i], peak[i], rise[i], begin[i], count[i] = v[i], v[i], ZERO, ZERO, ZERO
                end30[i], end50[i], end90[i] = np.nan, np.nan, np.nan
                if beat[i] == beats:
                    amplitude[i] = ZERO
            if beat[i] < beats:
                event = min(event, step + 1 + cycle[beat[i], i] - np.int64(count[i]))
"""


def cuda_source(step: Step, precision: str, doc: str) -> str:
    """Return the module of the GPU kernel: ``advance[n, 512](v, s, stimulus, dt, blocks)``."""
    constants, lines = _body(step, _CUDA, "{slot} * 512 + i")
    return "\n".join(
        [
            f'"""{doc}"""',
            "import math",
            "import numpy as np",
            "from numba import cuda",
            f"REAL = np.{precision}",
            "LN2 = REAL(0.6931471805599453)",
            *(f"{name} = REAL({value!r})" for name, value in constants.items()),
            "@cuda.jit",
            "def advance(v_all, s_all, stimulus_all, dt, blocks):",
            "    v, s = v_all[blocks[cuda.blockIdx.x]], s_all[blocks[cuda.blockIdx.x]]",
            "    stimulus, i = stimulus_all[blocks[cuda.blockIdx.x]], cuda.threadIdx.x",
            *("    " + line for line in lines),
            "",
        ]
    )


def _body(step: Step, words: dict[str, str], place: str) -> tuple[dict[str, float], list[str]]:
    """Return the constants and the lines of one lane, stores last."""
    graph = step.graph
    constants: dict[str, float] = {"ZERO": 0.0, "ONE": 1.0}
    text: dict[int, str] = {}
    lines: list[str] = []
    for node in in_use(graph, list(step.new.values())):
        at = graph.nodes[node]
        args = [text[a] for a in at.args]
        match at.op:
            case "number":
                name = f"C{len(constants)}"
                constants[name] = at.value
                text[node] = name
                continue
            case "input" if at.name == "dt":
                text[node] = "dt"
                continue
            case "input" if at.name == "Vx":
                constants |= {"V_LOW": -180.0, "V_HIGH": 140.0}
                low = words["max"].format("v[i]", "V_LOW")
                lines += [f"low = {low}", f"t{node} = {words['min'].format('low', 'V_HIGH')}"]
            case "input":
                lines.append(f"t{node} = {_place(step, at.name, place)}")
            case "neg":
                lines.append(f"t{node} = -{args[0]}")
            case "not":
                lines.append(f"t{node} = not {args[0]}")
            case "recip":
                lines.append(f"t{node} = ONE / {args[0]}")
            case op if op in _INFIX:
                lines.append(f"t{node} = {args[0]} {_INFIX[op]} {args[1]}")
            case op:
                lines.append(f"t{node} = {words[op].format(*args)}")
        text[node] = f"t{node}"
    lines += [f"{_place(step, name, place)} = {text[node]}" for name, node in step.new.items()]
    return constants, lines


def _place(step: Step, name: str, place: str) -> str:
    if name == "V":
        return "v[i]"
    if name == "stimulus":
        return "stimulus[i]"
    return f"s[{place.format(slot=step.slots.index(name))}]"


def operations(graph: Graph, outputs: list[int]) -> dict[str, int]:
    """Return how many of each operation one step of one node takes."""
    count: dict[str, int] = {}
    for node in in_use(graph, outputs):
        op = graph.nodes[node].op
        count[op] = count.get(op, 0) + 1
    return count
