"""Models from files: Myokit's ``.mmt`` and CellML, into the same :class:`CellModel`.

The file's equations are kept; what changes is what the engine is strict about:

- **Time.** Whatever unit the file's time variable has becomes ms: what was written in seconds is paced
  by the same numbers as every other model.
- **Membrane potential.** The variable labelled ``membrane_potential`` (or named V, Vm, v) becomes ``V``, mV.
- **Stimulus.** The variable labelled ``stimulus_current`` (or that reads the pacing signal, or is named like
  a stimulus) is replaced by ``stimulus`` in A/F, positive depolarising; its factor is read off dV/dt.
- **Names.** ``ical.d`` becomes ``ical_d``. Labels are kept.

Literal constants become parameters; what is computed from constants only stays an equation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from carna.ep.cell.dimensions import check_units
from carna.ep.cell.expression import Apply, Expression, Name, Number, evaluate, substitute
from carna.ep.cell.model import STIMULUS, CellModel, Equation, Parameter, State, in_order
from carna.errors import InputError, UnitError
from carna.units import convert

__all__ = ["read_cellml", "read_mmt"]


def read_mmt(path: str | Path, *, strict: bool = True) -> CellModel:
    """Read a Myokit model file.

    Parameters
    ----------
    strict
        Refuse equations that join unlike units.

    Raises
    ------
    InputError
        If the file is no model, its time or potential has another unit than a time or a voltage, or
        (``strict``) an equation joins unlike units.
    """
    import myokit

    try:
        model = myokit.load_model(str(path))
    except (myokit.ParseError, myokit.SectionNotFoundError, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is no Myokit model: {error}", needed="a file with a [[model]] section"
        ) from error
    return _checked(_model(model, str(path)), strict)


def read_cellml(path: str | Path, *, strict: bool = True) -> CellModel:
    """Read a CellML 1.0, 1.1 or 2.0 model file; see :func:`read_mmt`."""
    import myokit.formats

    try:
        model = myokit.formats.importer("cellml").model(str(path))
    except (myokit.formats.cellml.CellMLImporterError, OSError) as error:
        raise InputError(f"{path} is no CellML model: {error}", needed="a valid CellML file") from error
    return _checked(_model(model, str(path)), strict)


def _checked(model: CellModel, strict: bool) -> CellModel:
    if strict:
        try:
            check_units(model)
        except InputError as error:
            known = "strict=False reads a file whose numbers are known to be right"
            raise InputError(error.found, needed=error.needed, fix=known) from error
    return model


def _model(model: Any, path: str) -> CellModel:
    time = model.time()
    if time is None:
        raise InputError(f"{path} has no time variable", needed="a variable bound to time")
    per_ms = _scale(time, "ms", "the time", path)  # ms per unit of the file's time
    potential = _potential(model, path)
    to_mv = _scale(potential, "mV", "the membrane potential", path)
    own: dict[str, Expression] = {}
    name_of = {v: "V" if v is potential and to_mv == 1 else _name(v) for v in model.variables(deep=True)}
    stimulus = _stimulus(model)
    parameters, equations, states = [], [], []
    for variable in model.variables(deep=True):
        name, unit, doc = name_of[variable], _ucum(variable.unit()), (variable.meta.get("desc") or "").strip()
        if variable is time:
            own[name] = Number(0.0)
        elif variable.is_bound():
            own[name] = Number(0.0)  # a pacing signal or a current from neighbours: the engine's business
        elif variable is stimulus:
            continue
        elif variable.is_state():
            slope: Expression = _tree(variable.rhs(), name_of)
            if list(variable.refs_by(state_refs=False)):  # some equation reads dot(x), in the file's time
                equations.append(Equation(name + "_rate", slope))
                slope = Name(name + "_rate")
            slope = Apply("/", (slope, Number(per_ms)))
            states.append(State(name, unit or "1", float(variable.initial_value(as_float=True)), slope, doc))
        elif variable.is_literal():
            parameters.append(Parameter(name, float(variable.rhs().eval()), unit or "1", doc=doc))
        else:
            equations.append(Equation(name, _tree(variable.rhs(), name_of), unit, doc))
    place = {name_of[v]: i for i, v in enumerate(model.states())}
    states.sort(key=lambda s: place[s.name])
    labels = tuple((v.label(), name_of[v]) for v in model.variables(deep=True) if v.label())
    if stimulus is not None:
        own[name_of[stimulus]] = Apply("/", (Name(STIMULUS), Number(1.0)))
    return _assembled(model, states, parameters, equations, own, labels, name_of, potential, to_mv, stimulus)


def _assembled(
    model: Any,
    states: list[State],
    parameters: list[Parameter],
    equations: list[Equation],
    own: dict[str, Expression],
    labels: tuple[tuple[str, str], ...],
    name_of: Mapping[Any, str],
    potential: Any,
    to_mv: float,
    stimulus: Any,
) -> CellModel:
    """Put the parts together, twice where the stimulus has to be scaled: its factor is read off dV/dt."""
    if to_mv != 1:
        own[name_of[potential]] = Apply("/", (Name("V"), Number(to_mv)))

    def build(own: Mapping[str, Expression]) -> CellModel:
        made = []
        for state in states:
            slope = substitute(state.derivative, own)
            if state.name == name_of[potential]:
                slope = slope if to_mv == 1 else Apply("*", (Number(to_mv), slope))
                state = State("V", "mV", to_mv * state.initial, slope, state.doc)  # noqa: PLW2901
            else:
                state = State(state.name, state.unit, state.initial, slope, state.doc)  # noqa: PLW2901
            made.append(state)
        ordered = in_order(Equation(e.name, substitute(e.expression, own), e.unit, e.doc) for e in equations)
        kept = tuple(
            (k, "V" if n == name_of[potential] else n)
            for k, n in labels
            if n not in own or n == name_of[potential]
        )
        name = model.meta.get("name") or model.name() or "imported"
        title = model.meta.get("display_name") or name
        return CellModel(name, title, (), tuple(made), tuple(parameters), ordered, "", kept)

    built = build(own)
    if stimulus is None:
        return _named(built)
    slopes = [float(built.values(built.initial, stimulus=x)["V'"]) for x in (0.0, 1.0)]
    factor = slopes[1] - slopes[0]
    if factor == 0:
        return _named(built)
    return _named(build({**own, name_of[stimulus]: Apply("/", (Name(STIMULUS), Number(factor)))}))


def _named(model: CellModel) -> CellModel:
    for state in model.states:  # a model that can't be evaluated at its own start is no use to anybody
        evaluate(state.derivative, model.values(model.initial))
    return model


def _potential(model: Any, path: str) -> Any:
    found = model.label("membrane_potential")
    if found is None:
        named = [s for s in model.states() if s.name() in ("V", "Vm", "v", "V_m")]
        if len(named) != 1:
            raise InputError(
                f"{path}: {len(named)} states could be the membrane potential",
                needed="one labelled membrane_potential",
                fix="add `label membrane_potential` to it",
            )
        found = named[0]
    return found


def _stimulus(model: Any) -> Any:
    """Return the variable that is the applied current, None if the model has none."""
    labelled = model.label("stimulus_current")
    if labelled is not None:
        return labelled
    pacing = model.binding("pace")
    if pacing is not None:
        direct = [v for v in pacing.refs_by() if not v.is_state()]
        if len(direct) == 1:
            return direct[0]
    words = ("i_stim", "istim", "stim_current", "ist")
    named = [v for v in model.variables(deep=True) if v.name().lower() in words and not v.is_literal()]
    return named[0] if len(named) == 1 else None


def _scale(variable: Any, to: str, what: str, path: str) -> float:
    unit = _ucum(variable.unit())
    if unit is None:
        return 1.0
    try:
        return convert(1.0, unit, to)
    except UnitError as error:
        raise InputError(
            f"{path}: {what} {variable.qname()} has the unit {unit}", needed=f"a unit that converts to {to}"
        ) from error


def _name(variable: Any) -> str:
    return str(variable.qname()).replace(".", "_")


_SI: Final = ("g", "m", "s", "A", "K", "cd", "mol")


def _ucum(unit: Any) -> str | None:
    """Return the UCUM spelling of a Myokit unit: its power of ten and its base units."""
    if unit is None:
        return None
    import myokit

    known = {"mV": "mV", "V": "V", "ms": "ms", "s": "s", "A/F": "A/F", "mM": "mmol/L", "M": "mol/L"}
    known |= {"mS/uF": "mS/uF", "nS/pF": "mS/uF", "mM/ms": "mmol/L/ms", "pF": "pF", "um^3": "um3", "K": "K"}
    for spelling, ucum in known.items():
        if unit == myokit.units.__dict__.get(spelling, myokit.parse_unit(spelling)):
            return ucum
    power = unit.multiplier_log_10()
    parts = [
        f"{n}{int(e) if e != 1 else ''}"
        for n, e in zip(_SI, unit.exponents(), strict=True)
        if e and n != "cd"
    ]
    if abs(power - round(power)) > 1e-9:
        return None  # a factor that is no power of ten has no UCUM prefix
    ten = [f"10*{round(power)}"] if round(power) else []
    return ".".join(ten + parts) or "1"


_WORDS: Final = {
    "Plus": "+", "Minus": "-", "Multiply": "*", "Divide": "/", "Power": "^", "PrefixMinus": "neg",
    "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs", "Floor": "floor", "Sin": "sin", "Cos": "cos",
    "ACos": "acos", "ATan": "atan", "Less": "<", "LessEqual": "<=", "More": ">", "MoreEqual": ">=",
    "Equal": "==", "NotEqual": "!=", "And": "and", "Or": "or", "Not": "not", "If": "if",
}  # fmt: skip


def _tree(tree: Any, name_of: Mapping[Any, str]) -> Expression:
    """Return our tree of a Myokit expression."""
    kind = type(tree).__name__
    match kind:
        case "Number":
            return Number(float(tree.eval()), _ucum(tree.unit()))
        case "Name":
            return Name(name_of[tree.var()])
        case "Derivative":
            return Name(name_of[tree.var()] + "_rate")
        case "PrefixPlus":
            return _tree(tree[0], name_of)
        case "Log" if len(tree) == 2:
            return Apply("/", tuple(Apply("log", (_tree(a, name_of),)) for a in tree))
        case "Log10":
            return Apply("/", (Apply("log", (_tree(tree[0], name_of),)), Apply("log", (Number(10.0),))))
        case "Piecewise":
            *pairs, last = (_tree(a, name_of) for a in tree)
            for test, value in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
                last = Apply("if", (test, value, last))
            return last
    if kind not in _WORDS:
        raise InputError(f"{tree.code()!r} cannot be imported", needed="an operation of the notation")
    return Apply(_WORDS[kind], tuple(_tree(arg, name_of) for arg in tree))
