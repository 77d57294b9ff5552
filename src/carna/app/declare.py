"""The declaration: needs, settings, gives, read once from a function's signature.

::

    @application(version="1.0", gives=(codes.HEART_RATE,), cites=("doi:...",))
    def ecg_reading(
        ecg: Annotated[Ecg, Need("a rhythm strip", min_seconds=5)],
        *,
        low_rate: Annotated[float, Setting("/min", 20, 100, "slower than this is bradycardia")] = 60.0,
        job: Job,
    ) -> Items: ...

A positional parameter is a need: a part of the study or an earlier finding. Its type says
what fits: ``X``, ``X | Y``, ``X | None`` (optional) or ``tuple[X, ...]`` (all that fit). A
keyword parameter is a setting with unit, range and default. The command line, the page's
form, the readiness test, the model card and the contract test are derived from this.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from carna.codes import Concept
from carna.errors import ContractError, SettingError
from carna.study import Fingerprint
from carna.study.views import View
from carna.units import dimension

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Need:
    """What a positional parameter asks of a part, or of an earlier finding.

    Parameters
    ----------
    doc : str
        What it is, in words a doctor knows.
    modality, view, technique, ecg
        As in `Fingerprint`; empty means any.
    min_phases, min_slices, min_seconds, leads
        The least that is enough.
    max_seconds : float
        A longer recording is for another application.
    finding : Concept or None
        Ask for earlier findings of this concept instead of a part; where a part's class fits too, it is taken
        if nothing was found.
    earlier : bool
        Ask for the newest part recorded before those of the needs above it, in any study of the patient;
        one without a date is neither earlier nor later.
    vessel : str
        Which vessels a geometry must be of, such as coronary. One that does not say is taken only where a
        person names the application.
    arrived : bool
        Ask for a record that arrived, not for what the images' headers say of the person.
    """

    doc: str
    modality: str = ""
    view: View | None = None
    technique: str = ""
    ecg: str = ""
    min_phases: int = 0
    min_slices: int = 0
    min_seconds: float = 0.0
    max_seconds: float = math.inf
    leads: tuple[str, ...] = ()
    finding: Concept | None = None
    earlier: bool = False
    arrived: bool = False
    vessel: str = ""

    def refuses(self, print_: Fingerprint, *, asked: bool = True) -> str:
        """Return why a part does not fit, "" if it does; ``asked``: a person named the application."""
        missing = [lead for lead in self.leads if lead not in print_.leads]
        reasons = (
            (
                self.modality and print_.modality != self.modality,
                f"modality {print_.modality}, not {self.modality}",
            ),
            (self.view and print_.view != self.view, f"view {print_.view or 'unknown'}, not {self.view}"),
            (
                self.technique and print_.technique != self.technique,
                f"technique {print_.technique or 'unknown'}, not {self.technique}",
            ),
            (
                self.vessel and print_.vessel not in ("", self.vessel),
                f"{print_.vessel} vessels, not {self.vessel}",
            ),
            (
                self.vessel and not print_.vessel and not asked,
                "it does not say which vessels it is of: name the application to run it",
            ),
            (self.ecg and print_.ecg != self.ecg, f"ECG kind {print_.ecg or 'unknown'}, not {self.ecg}"),
            (print_.phases < self.min_phases, f"{print_.phases} phases, fewer than {self.min_phases}"),
            (print_.slices < self.min_slices, f"{print_.slices} slices, fewer than {self.min_slices}"),
            (print_.seconds < self.min_seconds, f"{print_.seconds:g} s, shorter than {self.min_seconds:g} s"),
            (
                print_.seconds > self.max_seconds,
                f"{print_.seconds:g} s, longer than {self.max_seconds:g} s",
            ),
            (missing, f"no lead {', '.join(missing)}"),
        )
        return "; ".join(text for bad, text in reasons if bad)


@dataclass(frozen=True, slots=True)
class Setting:
    """Unit, range and meaning of a keyword parameter; the default is the signature's.

    ``low`` and ``high`` are inclusive, None for no limit; a ``Literal`` type gives choices.
    """

    unit: str = "1"
    low: float | None = None
    high: float | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """One need of an application: its name, the classes that fit, and how many."""

    name: str
    classes: tuple[type, ...]
    need: Need
    optional: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting of an application with its default, type and choices."""

    name: str
    setting: Setting
    default: Value
    kind: type
    choices: tuple[Value, ...] = ()

    def take(self, value: object) -> Value:
        """Return a value, or its text from a command line, as this setting's type.

        Raises
        ------
        SettingError
            If it is of the wrong kind, not a choice or out of range.
        """
        wanted = self.wanted
        parsed = _parse(value, self.kind)
        if parsed is None or (self.choices and parsed not in self.choices):
            raise SettingError(f"{self.name} = {value!r}", needed=wanted)
        low, high = self.setting.low, self.setting.high
        if not isinstance(parsed, str) and (
            (low is not None and parsed < low) or (high is not None and parsed > high)
        ):
            raise SettingError(f"{self.name} = {value!r}", needed=wanted)
        return parsed

    @property
    def wanted(self) -> str:
        """What may be set, in words."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        if self.kind is bool:
            return "yes or no"
        low, high = self.setting.low, self.setting.high
        span = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        unit = "" if self.setting.unit == "1" else f" [{self.setting.unit}]"
        return f"{ {int: 'a whole number', float: 'a number'}.get(self.kind, 'a text') }{span}{unit}"


def _parse(value: object, kind: type) -> Value | None:
    if kind is bool:
        words = {
            "yes": True,
            "true": True,
            "1": True,
            "on": True,
            "no": False,
            "false": False,
            "0": False,
            "off": False,
        }
        return value if isinstance(value, bool) else words.get(str(value).lower())
    if isinstance(value, bool):
        return None
    try:
        parsed: Value = kind(value)
    except (TypeError, ValueError):
        return None
    return None if isinstance(parsed, float) and math.isnan(parsed) else parsed


@dataclass(frozen=True, slots=True, eq=False)
class Application:
    """A function and what its signature declares.

    ``gives`` is always spoken of, as a value or as `Absent`; ``may_give`` only where there is
    something to say, such as the measurements of a lead. ``stakes`` is "high" if the result can
    lead to treatment; ``validated`` says that it was proven on real patients, with the record in
    the documentation. ``models`` are the files of ``carna/models`` it uses; their hashes go into
    the manifest of each run. ``quick`` are settings that make a run of minutes one of seconds, coarse
    and few: the contract suite, which runs it some twenty times, runs it so.
    """

    name: str
    version: str
    doc: str
    gives: tuple[Concept, ...]
    slots: tuple[Slot, ...]
    knobs: Mapping[str, Knob]
    function: Callable[..., Any]
    cites: tuple[str, ...] = ()
    stakes: Literal["high", "low"] = "low"
    validated: bool = False
    takes_job: bool = field(default=False)
    may_give: tuple[Concept, ...] = ()
    models: tuple[str, ...] = ()
    quick: Mapping[str, Value] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The first line of the documentation."""
        return self.doc.strip().splitlines()[0].rstrip(".")

    def settings(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Return all settings, defaults filled in and each one checked."""
        for name in given:
            if name not in self.knobs:
                raise SettingError(
                    f"{self.name} has no setting {name!r}", needed=", ".join(self.knobs) or "none"
                )
        return {name: knob.take(given.get(name, knob.default)) for name, knob in self.knobs.items()}


def application(
    *,
    version: str,
    gives: tuple[Concept, ...],
    cites: tuple[str, ...] = (),
    stakes: Literal["high", "low"] = "low",
    validated: bool = False,
    may_give: tuple[Concept, ...] = (),
    models: tuple[str, ...] = (),
    quick: Mapping[str, Value] = MappingProxyType({}),
) -> Callable[[Callable[..., Any]], Application]:
    """Declare a function as an application.

    Raises
    ------
    ContractError
        If the signature is no complete declaration: a parameter without need or setting, a
        setting without default, a default out of range, no documentation, nothing given.
    """

    def declare(function: Callable[..., Any]) -> Application:
        name = function.__name__
        if not function.__doc__ or not gives:
            raise ContractError(
                f"{name} has no documentation or gives nothing", needed="a docstring and codes"
            )
        hints = get_type_hints(function, include_extras=True)
        slots: list[Slot] = []
        knobs: dict[str, Knob] = {}
        takes_job = False
        for parameter in inspect.signature(function).parameters.values():
            hint = hints.get(parameter.name)
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name == "job":
                takes_job = True
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                knobs[parameter.name] = _knob(name, parameter, hint)
            elif parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
                slots.append(_slot(name, parameter.name, hint))
            else:
                raise ContractError(f"{name} takes *{parameter.name}", needed="named parameters only")
        return Application(
            name, version, inspect.cleandoc(function.__doc__), gives, tuple(slots), MappingProxyType(knobs),
            function, cites, stakes, validated, takes_job, may_give, models,
            MappingProxyType({name: knobs[name].take(value) for name, value in quick.items()}),
        )  # fmt: skip

    return declare


def _annotated(app: str, name: str, hint: Any, kind: type) -> tuple[Any, Any]:
    """Return the plain type and the Need or Setting of ``Annotated[type, Need(...)]``."""
    if get_origin(hint) is Annotated:
        plain, *extras = get_args(hint)
        found = [e for e in extras if isinstance(e, kind)]
        if len(found) == 1:
            return plain, found[0]
    raise ContractError(
        f"{app}: {name} has no {kind.__name__}", needed=f"Annotated[type, {kind.__name__}(...)]"
    )


def _slot(app: str, name: str, hint: Any) -> Slot:
    plain, need = _annotated(app, name, hint, Need)
    many = get_origin(plain) is tuple
    if many:
        plain = get_args(plain)[0]
    classes = get_args(plain) if get_origin(plain) in (Union, types.UnionType) else (plain,)
    optional = type(None) in classes
    return Slot(name, tuple(c for c in classes if c is not type(None)), need, optional, many)


def _knob(app: str, parameter: inspect.Parameter, hint: Any) -> Knob:
    plain, setting = _annotated(app, parameter.name, hint, Setting)
    if parameter.default is inspect.Parameter.empty:
        raise ContractError(
            f"{app}: the setting {parameter.name} has no default", needed="a sensible default"
        )
    choices = get_args(plain) if get_origin(plain) is Literal else ()
    dimension(setting.unit)
    knob = Knob(parameter.name, setting, parameter.default, type(choices[0]) if choices else plain, choices)
    try:
        knob.take(parameter.default)
    except SettingError as error:
        raise ContractError(f"{app}: the default {error.found}", needed=error.needed) from None
    return knob
