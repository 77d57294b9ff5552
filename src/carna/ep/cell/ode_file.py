"""Models from ``.ode`` files, the text of gotran and gotranx, into the same :class:`CellModel`.

The notation borrows Python's grammar, so Python's own parser reads it; nothing in the file is run::

    parameters("Potassium", K_o=ScalarParam(5.4, unit="mM"))
    states("Membrane", V=-85.2)
    expressions("Sodium current")
    alpha_h = Conditional(Lt(V, -40), 0.057 * exp(-(V + 80) / 6.8), 0)
    dh_dt = alpha_h * (1 - h) - beta_h * h

What becomes of time, potential and stimulus is as in :mod:`carna.ep.cell.imported`: time is taken to be ms
(the file does not say), the state V, v, Vm or V_m becomes ``V``, and the applied current, by its name,
becomes ``stimulus`` in A/F. Units are those of parameters and states; intermediates have theirs in
comments only, so that units cannot be checked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from carna.ep.cell.expression import OPERATIONS, Apply, Expression, Name, Number, evaluate, names, substitute
from carna.ep.cell.model import STIMULUS, CellModel, Equation, Parameter, State, in_order
from carna.errors import InputError

__all__ = ["read_ode"]

_POTENTIAL: Final = ("V", "v", "Vm", "V_m")
_APPLIED: Final = ("i_stim", "istim", "stim_current", "ist", "i_st")
_OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^", ast.USub: "neg",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_CALLS: Final = {
    "Conditional": "if", "Lt": "<", "Le": "<=", "Gt": ">", "Ge": ">=", "Eq": "==", "Ne": "!=",
    "And": "and", "Or": "or", "Not": "not", "pow": "^", "exp": "exp", "log": "log", "ln": "log",
    "sqrt": "sqrt", "abs": "abs", "Abs": "abs", "fabs": "abs", "floor": "floor", "sin": "sin", "cos": "cos",
    "acos": "acos", "atan": "atan",
}  # fmt: skip


def read_ode(path: str | Path) -> CellModel:
    """Read a gotran model file.

    Raises
    ------
    InputError
        If the file does not follow the notation, has no membrane potential in mV, or leaves a state without a
        derivative.
    """
    try:
        text = Path(path).read_text("utf-8")
        statements = ast.parse(text).body
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} is no .ode model: {error}", needed="the notation of gotran") from error
    try:
        return _model(statements, Path(path).stem)
    except InputError as error:
        raise InputError(f"{path}: {error.found}", needed=error.needed, fix=error.fix) from error


def _model(statements: list[ast.stmt], title: str) -> CellModel:
    parameters: dict[str, Parameter] = {}
    initial: dict[str, Parameter] = {}
    written: dict[str, Expression] = {}
    for statement in statements:
        match statement:
            case ast.Expr(ast.Call(ast.Name("parameters" | "states" as kind), keywords=given)):
                (parameters if kind == "parameters" else initial).update(
                    (p.name, p) for p in _constants(given)
                )
            case ast.Expr(ast.Call(ast.Name("expressions" | "component")) | ast.Constant()):
                pass  # headings
            case ast.Assign([ast.Name(name)], value) if written.setdefault(name, _tree(value)) == _tree(
                value
            ):
                pass  # the same may be said twice
            case _:
                raise InputError(
                    f"line {statement.lineno}: {ast.unparse(statement)!r} cannot be read",
                    needed="parameters(...), states(...), expressions(...) or one assignment to each name",
                )
    found = [n for n in _POTENTIAL if n in initial]
    if len(found) != 1 or initial[found[0]].unit not in ("1", "mV"):
        raise InputError(
            f"{len(found)} states of {', '.join(_POTENTIAL)}", needed="one, the membrane potential in mV"
        )
    lacking = [n for n in initial if f"d{n}_dt" not in written]
    if lacking:
        raise InputError(f"no derivative of {', '.join(lacking)}", needed=f"d{lacking[0]}_dt = ...")
    # Time only says when the file's own stimulus comes: the engine's business.
    own: dict[str, Expression] = {found[0]: Name("V"), "time": Number(0.0), "t": Number(0.0)}
    own = {n: e for n, e in own.items() if n in initial or n not in {*parameters, *written}}
    applied = [n for n in written if n.lower() in _APPLIED]
    if len(applied) != 1:
        return _built(title, parameters, initial, written, own)
    del written[applied[0]]
    asked = _built(title, parameters, initial, written, {**own, applied[0]: Name(STIMULUS)})
    rest, pulsed = (asked.values(asked.initial, stimulus=x)["V'"] for x in (0.0, 1.0))
    if pulsed == rest:
        return asked
    factor = Apply("/", (Name(STIMULUS), Number(float(pulsed - rest))))
    return _built(title, parameters, initial, written, {**own, applied[0]: factor})


def _built(
    title: str,
    parameters: dict[str, Parameter],
    initial: dict[str, Parameter],
    written: dict[str, Expression],
    own: dict[str, Expression],
) -> CellModel:
    put = {n: substitute(e, own) for n, e in written.items()}
    slopes = {f"d{n}_dt" for n in initial}
    read = frozenset[str]().union(*(names(e) for e in put.values()))
    states = []
    for p in initial.values():
        rate = f"d{p.name}_dt"
        potential = own.get(p.name) == Name("V")
        derivative = Name(rate) if rate in read else put[rate]
        states.append(
            State("V" if potential else p.name, "mV" if potential else p.unit, p.value, derivative, p.doc)
        )
    equations = in_order(Equation(n, e) for n, e in put.items() if n not in slopes or n in read)
    model = CellModel(title, title, (), tuple(states), tuple(parameters.values()), equations)
    for state in model.states:  # a model that can't be evaluated at its own start is no use to anybody
        evaluate(state.derivative, model.values(model.initial))
    return model


def _constants(given: list[ast.keyword]) -> Iterator[Parameter]:
    """Return the numbers that a list of parameters or states holds, with their units."""
    for one in given:
        unit, doc, value = "1", "", one.value
        match value:
            case ast.Call(ast.Name("ScalarParam"), [number], keywords):
                said = {k.arg: k.value.value for k in keywords if isinstance(k.value, ast.Constant)}
                unit, doc = _ucum(str(said.get("unit", "1"))), str(said.get("description", ""))
                value = number
        try:
            number_ = float(evaluate(_tree(value), {}))
        except InputError as error:
            raise InputError(
                f"line {value.lineno}: {one.arg} = {ast.unparse(value)}", needed="a number"
            ) from error
        yield Parameter(str(one.arg), number_, unit, doc=doc)


def _ucum(unit: str) -> str:
    """Return the UCUM spelling of ``pA*pF**-1``, ``mM**-1*ms**-1``, ``1/mM/ms``."""
    unit = unit.replace("**", "").replace("*", ".").replace("mole", "mol")
    unit = re.sub(r"\bmM-(\d)", r"mmol-\1.L\1", unit)
    return re.sub(r"\bmM\b", "mmol/L", unit.replace("/mM", ".L/mmol"))


def _tree(node: ast.expr) -> Expression:
    """Return our tree of Python's."""
    match node:
        case ast.Constant(int() | float() as value):
            return Number(float(value))
        case ast.Name("pi"):
            return Number(3.141592653589793)
        case ast.Name(name):
            return Name(name)
        case ast.UnaryOp(ast.UAdd(), inner):
            return _tree(inner)
        case ast.UnaryOp(ast.USub(), inner):
            return Apply("neg", (_tree(inner),))
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            return Apply(_OPERATORS[type(operator)], (_tree(left), _tree(right)))
        case ast.Compare(left, [operator], [right]) if type(operator) in _OPERATORS:
            return Apply(_OPERATORS[type(operator)], (_tree(left), _tree(right)))
        case ast.Call(ast.Name(name), args, []) if name in _CALLS:
            op = _CALLS[name]
            if len(args) == OPERATIONS[op][0]:
                return Apply(op, tuple(map(_tree, args)))
    raise InputError(
        f"line {node.lineno}: {ast.unparse(node)!r} cannot be read",
        needed="arithmetic, " + ", ".join(_CALLS),
    )
