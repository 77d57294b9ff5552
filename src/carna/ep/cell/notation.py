"""The notation of cell models: one line per equation, as in the appendix of a paper.

::

    model tt2006                                 a short name
    title Human ventricular myocyte ...          in words
    doi 10.1152/ajpheart.00109.2006              one line per paper
    variants epi mid endo                        the first is the default
    extends ohara2011                            start from another model's lines
    drop xrf xrs                                 ... without these
    pulse 94 0.5                                 usual stimulus, A/F and ms

    == Slow delayed rectifier, IKs ==            a heading; for the reader
    given GKs = 0.392 [mS/uF] 0..4               a parameter: value, unit, range
    mid: given GKs = 0.098 [mS/uF]               the same for one variant only
    state xs = 0.0095                            a state: initial value, unit ([1] if none)
    xs' = (xs_inf - xs) / xs_tau                 its derivative per ms
    IKs = GKs * xs^2 * (V - EKs)  [A/F]          an equation and its unit
    label I_Ks IKs                               a common name
    # a comment; after a line it becomes the documentation of what the line defines

Lines may stand in any order; a later definition replaces an earlier one; an indented line continues the
one above. Formulas have ``+ - * / ^``, ``a if V < -40 else b``, ``and or not`` and the functions of
:data:`carna.ep.cell.expression.OPERATIONS`. A bare number has the unit that makes its equation right;
what has names only is checked (:mod:`carna.ep.cell.dimensions`). Units are UCUM, and mM.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

from carna.ep.cell.expression import OPERATIONS, Apply, Expression, Name, Number
from carna.ep.cell.model import CellModel, Equation, Parameter, State, in_order
from carna.errors import InputError

__all__ = ["parse", "parse_formula"]


@final
@dataclass
class _Lines:
    """What the lines of one text, and of the texts it extends, define."""

    words: dict[str, str] = field(default_factory=dict)
    doi: list[str] = field(default_factory=list)
    states: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    derivatives: dict[str, Expression] = field(default_factory=dict)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    equations: dict[str, Equation] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    pulse: tuple[float, float] = (60.0, 1.0)


_GIVEN = re.compile(r"(?P<name>\w+)\s*=\s*(?P<value>\S+)(?:\s+(?P<low>[-+.\de]+?)\.\.(?P<high>[-+.\de]+))?")


def parse(text: str, variant: str = "", *, find: Callable[[str], str] | None = None) -> CellModel:
    """Read a model in Carna's notation.

    Parameters
    ----------
    text
        The lines.
    variant
        One of the text's ``variants``; the first if empty.
    find
        Returns the text of another model, for ``extends``.

    Raises
    ------
    InputError
        If a line cannot be read (with its number), or the variant is unknown.
    """
    read = _Lines()
    variant = _collect(text, variant, read, find)
    if missing := sorted(read.states.keys() ^ read.derivatives.keys()):
        raise InputError(
            f"{missing[0]!r} has only one of initial value and derivative", needed="both, for every state"
        )
    return CellModel(
        name=read.words.get("model", "unnamed"),
        title=read.words.get("title", ""),
        doi=tuple(dict.fromkeys(read.doi)),
        states=tuple(
            State(name, unit, value, read.derivatives[name], doc)
            for name, (value, unit, doc) in read.states.items()
        ),
        parameters=tuple(read.parameters.values()),
        equations=in_order(read.equations.values()),
        variant=variant,
        labels=tuple(read.labels.items()),
        pulse=read.pulse,
    )


def _collect(text: str, variant: str, into: _Lines, find: Callable[[str], str] | None) -> str:
    """Read the lines of ``text`` over those already there; return the variant chosen."""
    variants: tuple[str, ...] = ()
    for number, whole in _logical_lines(text):
        line, _, doc = whole.partition("#")
        line = line.strip()
        head, _, rest = line.partition(" ")
        rest = rest.strip()
        if not line or line.startswith("=="):
            continue
        if head == "variants":
            variants = tuple(rest.split())
            variant = variant or variants[0]
            if variant not in variants:
                raise InputError(f"no variant {variant!r}", needed="one of " + ", ".join(variants))
            continue
        if head.endswith(":"):
            if head[:-1] not in variants:
                raise _bad(number, whole, f"a variant named before: {', '.join(variants) or 'none'}")
            if head[:-1] != variant:
                continue
            head, _, rest = (line := rest).partition(" ")
        if head == "extends":
            if find is None:
                raise _bad(number, whole, "a text that stands alone, or a place to find others")
            variant = _collect(find(rest), variant, into, find)
            continue
        try:
            _line(head, rest.strip(), line, doc.strip(), into)
        except (InputError, ValueError, SyntaxError) as error:
            needed = error.found if isinstance(error, InputError) else "a line of the notation"
            raise _bad(number, whole, needed) from error
    return variant


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Join continuation lines to the line they continue."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1].isspace() and line.strip() and lines:
            start, before = lines[-1]
            lines[-1] = (start, before + " " + line.strip())
        else:
            lines.append((number, line))
    return lines


def _bad(number: int, line: str, needed: str) -> InputError:
    return InputError(f"line {number} cannot be read: {line.strip()!r}", needed=needed)


def _line(head: str, rest: str, line: str, doc: str, into: _Lines) -> None:
    match head:
        case "model" | "title":
            into.words.setdefault(head, rest)  # a model keeps its own name over that of the one it extends
        case "doi":
            into.doi.append(rest)
        case "label":
            label, name = rest.split()
            into.labels[label] = name
        case "pulse":
            strength, duration = rest.split()
            into.pulse = float(strength), float(duration)
        case "drop":
            for name in rest.split():
                for table in (into.states, into.derivatives, into.parameters, into.equations):
                    table.pop(name, None)
        case "state":
            body, unit = _unit(rest)
            name, _, value = body.partition("=")
            into.states[name.strip()] = (float(value), unit or "1", doc)
        case "given":
            body, unit = _unit(rest)
            if not (match := _GIVEN.fullmatch(body.strip())):
                raise InputError("given NAME = NUMBER [UNIT] LOW..HIGH")
            low, high = float(match["low"] or "-inf"), float(match["high"] or "inf")
            name = match["name"]
            before = into.parameters.get(name)
            if before is not None:  # a variant's own value keeps the range and the words of the default
                low, high = (before.low, before.high) if match["low"] is None else (low, high)
                unit, doc = unit or before.unit, doc or before.doc
            into.parameters[name] = Parameter(name, float(match["value"]), unit or "1", low, high, doc)
        case _:
            _equation(line, doc, into)


def _unit(text: str) -> tuple[str, str | None]:
    """Cut the ``[unit]`` out of a line; what is left, and the unit."""
    match = re.search(r"\[([^\]]*(?:\[[^\]]*\])?[^\]]*)\]", text)
    if match is None:
        return text, None
    return (text[: match.start()].rstrip() + " " + text[match.end() :].strip()).strip(), re.sub(
        r"\bmM\b", "mmol/L", match[1]
    )


def _equation(line: str, doc: str, into: _Lines) -> None:
    body, unit = _unit(line)
    match = re.fullmatch(r"(\w+)('?)\s*=([^=].*)", body)
    if match is None:
        raise InputError("NAME = FORMULA [UNIT]")
    name, prime, formula = match.groups()
    tree = parse_formula(formula)
    if prime:
        into.derivatives[name] = tree
    else:
        into.equations[name] = Equation(name, tree, unit, doc)


_BINARY: Final = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^"}
_COMPARE: Final = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def parse_formula(text: str) -> Expression:
    """Return the tree of one formula.

    Raises
    ------
    InputError
        If it is not a formula of the notation.
    """
    try:
        return _tree(ast.parse(text.strip().replace("^", "**"), mode="eval").body)
    except SyntaxError as error:
        raise InputError(f"{text.strip()!r} is not a formula") from error


def _tree(node: ast.expr) -> Expression:
    match node:
        case ast.Constant(value=int() | float() as value):
            return Number(float(value))
        case ast.Name(id=name):
            return Name(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _tree(operand)
            return Number(-inner.value) if isinstance(inner, Number) else Apply("neg", (inner,))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _tree(operand)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Apply("not", (_tree(operand),))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Apply(_BINARY[type(op)], (_tree(left), _tree(right)))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return Apply(_COMPARE[type(op)], (_tree(left), _tree(right)))
        case ast.BoolOp(op=op, values=[first, *more]):
            tree = _tree(first)
            for other in more:
                tree = Apply("and" if isinstance(op, ast.And) else "or", (tree, _tree(other)))
            return tree
        case ast.IfExp(test=test, body=body, orelse=other):
            return Apply("if", (_tree(test), _tree(body), _tree(other)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in OPERATIONS:
            if len(args) != OPERATIONS[name][0]:
                raise InputError(f"{name} takes {OPERATIONS[name][0]} arguments, {len(args)} were given")
            return Apply(name, tuple(_tree(arg) for arg in args))
    raise InputError(f"{ast.unparse(node)!r} is not a formula of the notation")
