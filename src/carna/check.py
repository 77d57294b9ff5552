"""The contract suite: one check of every promise, passed by every installed application.

>>> from carna.check import check
>>> from carna.app import applications
>>> check(applications()["ecg_reading"]).ok  # doctest: +SKIP
True

The cases are virtual patients, so any application, ours or a stranger's, can be checked
without data. A stranger whose needs no virtual patient meets passes the case it needs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from carna.app import Application, Job, ready, run
from carna.case import Case
from carna.errors import Cancelled, CarnaError, ContractError, RenderError, SettingError
from carna.findings import Absent, Findings, Item, Measurement, Region, Shape, from_json, to_json
from carna.progress import Progress
from carna.space import Floats, rotation
from carna.study import Cine, Geometry, Image, Part, Picture, Planes, Study

__all__ = ["Outcome", "Report", "check"]

# Words that no finding may use: they recommend or reassure (see the design's rule on stakes).
FORBIDDEN_WORDS = (
    "normal heart",
    "safe",
    "excluded",
    "no disease",
    "needs a",
    "should be treated",
    "recommend",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One promise: kept, or what was wrong."""

    promise: str
    kept: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All promises of one application."""

    application: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every promise is kept."""
        return all(o.kept for o in self.outcomes)

    def __str__(self) -> str:
        lines = [
            f"{'kept  ' if o.kept else 'BROKEN'} {o.promise}{': ' + o.detail if o.detail else ''}"
            for o in self.outcomes
        ]
        return "\n".join([self.application, *lines])


def check(app: Application, case: Case | None = None) -> Report:
    """Return which promises of the contract an application keeps.

    Parameters
    ----------
    case : Case or None
        A case the application can run on; by default the virtual patient that meets its needs.
    """
    if case is None:
        case = _meeting(app)
    promises: tuple[tuple[str, Callable[[Application, Case, str], None]], ...] = (
        ("the declaration is complete", _declaration),
        ("it runs on a case that meets its needs", _runs),
        ("settings hold at both ends of their range, and not beyond", _settings),
        ("the same seed gives the same findings", _deterministic),
        ("turning the patient turns the findings", _equivariant),
        ("missing inputs give Absent", _absent),
        ("a cancelled run stops", _cancelled),
        ("progress grows from 0 to 1", _progress),
        ("nothing is written outside the scratch folder", _writes_nothing),
        ("the JSON round trip is exact", _round_trip),
        ("no wording recommends or reassures", _wording),
        ("every renderer draws it or says what it leaves out", _renders),
    )
    study = next((s.uid for s in case.studies if not ready(app, case, s.uid)), case.studies[0].uid)
    outcomes = []
    for promise, test in promises:
        try:
            test(app, case, study)
        except (CarnaError, AssertionError) as error:
            outcomes.append(Outcome(promise, False, str(error)))
        else:
            outcomes.append(Outcome(promise, True))
    return Report(app.name, tuple(outcomes))


def _meeting(app: Application) -> Case:
    """Return the first virtual patient that an application can run on; the last if there is none."""
    from carna.phantom import VIRTUAL_CASES

    for made in VIRTUAL_CASES:
        case = made()
        if any(not ready(app, case, s.uid) for s in case.studies):
            break
    return case


def _need(condition: bool, found: str) -> None:
    if not condition:
        raise ContractError(found)


def _declaration(app: Application, case: Case, study: str) -> None:
    _need(bool(app.title) and len(app.title) <= 100, "its title is missing or longer than 100 characters")
    _need(bool(app.version), "it has no version")
    _need(all(s.need.doc for s in app.slots), "a need has no words for it")
    _need(all(k.setting.doc for k in app.knobs.values()), "a setting has no words for it")
    _need(len(set(app.gives)) == len(app.gives), "a code is given twice")


def _quick(app: Application, case: Case, study: str, job: Job | None = None) -> Findings:
    return run(app, case, study, settings=app.quick, job=job)


def _runs(app: Application, case: Case, study: str) -> None:
    _need(not ready(app, case, study), f"it is not ready: {ready(app, case, study)}")
    found = _quick(app, case, study)
    _need(
        any(not isinstance(i, Absent) for i in found.items),
        "everything is Absent on a case that meets its needs",
    )


def _settings(app: Application, case: Case, study: str) -> None:
    for name, knob in app.knobs.items():
        ends = knob.choices or tuple(v for v in (knob.setting.low, knob.setting.high) if v is not None)
        # What the application says is dear is run at its quick value only.
        for value in () if name in app.quick else ends:
            run(app, case, study, settings={**app.quick, name: knob.kind(value)})
        for limit, step in ((knob.setting.low, -1), (knob.setting.high, 1)):
            if limit is None:
                continue
            try:
                app.settings({name: knob.kind(limit + step)})
            except SettingError:
                continue
            raise ContractError(f"{name} = {limit + step} is taken", needed=knob.wanted)


def _deterministic(app: Application, case: Case, study: str) -> None:
    first, second = (_quick(app, case, study, Job(seed=7)) for _ in range(2))
    _need(first.uid == second.uid, "two runs with one seed differ")


def _equivariant(app: Application, case: Case, study: str) -> None:
    motion = rotation((0.3, -0.5, 0.8), 23.0, about=(10.0, -20.0, 5.0))
    here = _quick(app, case, study)
    there = _quick(app, _moved(case, motion), study)
    _need([i.id for i in here.items] == [i.id for i in there.items], "a turned patient has other items")
    # A picture or a clip has a place on its screen, none in the patient: it does not turn with him.
    on_screen = {p.origin.uid for s in case.studies for p in s.parts if isinstance(p, Picture)}
    for a, b in zip(here.items, there.items, strict=True):
        match a, b:
            case Region(), Region() if a.evidence and all(e.part in on_screen for e in a.evidence):
                _need(np.array_equal(a.labels, b.labels), f"the labels of {a.id} change")
            case Region(), Region():
                _need(
                    np.array_equal(a.labels, b.labels), f"the labels of {a.id} change when the patient turns"
                )
                turned = all(p.moved(motion).same(q) for p, q in zip(a.planes, b.planes, strict=True))
                _need(turned, f"the planes of {a.id} do not turn with the patient")
            case Shape(), Shape():
                _need(
                    np.allclose(a.shape.moved(motion).points, b.shape.points, atol=1e-3),
                    f"{a.id} does not turn",
                )
            case Measurement(), Measurement():
                _need(bool(np.isclose(a.value, b.value, rtol=1e-6)), f"{a.id} changes when the patient turns")


def _absent(app: Application, case: Case, study: str) -> None:
    empty = Case(case.patient, (Study("1.2.3", case.patient),))
    if not ready(app, empty, "1.2.3"):
        return  # it asks for nothing
    found = _quick(app, empty, "1.2.3")
    _need(all(isinstance(i, Absent) for i in found.items), "it finds something in an empty study")
    _need({i.code for i in found.items} == set(app.gives), "it keeps silent about a code it gives")


def _cancelled(app: Application, case: Case, study: str) -> None:
    _need(app.takes_job, "it takes no job, so it can't be cancelled")
    try:
        _quick(app, case, study, Job(progress=Progress(cancelled=lambda: True)))
    except Cancelled:
        return
    raise ContractError(
        "it runs to the end although it was cancelled", needed="job.progress(...) at least once a second"
    )


def _progress(app: Application, case: Case, study: str) -> None:
    seen: list[float] = []
    _quick(app, case, study, Job(progress=Progress(lambda done, what: seen.append(done))))
    _need(bool(seen), "it reports no progress")
    _need(
        seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1,
        f"its progress goes {seen[:5]} ... {seen[-1]}",
    )


def _writes_nothing(app: Application, case: Case, study: str) -> None:
    with tempfile.TemporaryDirectory() as folder, _watched(Path(folder)) as strays:
        _quick(app, case, study, Job(scratch=Path(folder)))
    _need(not strays, f"it writes to {', '.join(strays[:3])}")


def _round_trip(app: Application, case: Case, study: str) -> None:
    found = _quick(app, case, study)
    text, blobs = to_json(found)
    again, _ = to_json(from_json(text, blobs.__getitem__))
    _need(text == again, "what comes back from JSON differs")


def _wording(app: Application, case: Case, study: str) -> None:
    found = _quick(app, case, study)
    for item in found.items:
        text = " ".join(str(getattr(item, field, "")) for field in ("rule", "why")).lower()
        used = [w for w in FORBIDDEN_WORDS if w in text]
        _need(not used, f"{item.id} says {', '.join(used)}")


def _renders(app: Application, case: Case, study: str) -> None:
    from carna.render import FORMATS
    from carna.render.carries import left_out

    found = _quick(app, case, study)
    for name, form in FORMATS.items():
        try:
            files = form.write((found,), case.only(study))
        except RenderError:
            continue  # it says in a sentence why it can't, such as labels on no DICOM images
        _need(
            bool(files) or bool(left_out(found, form.carries)), f"{name} draws nothing and leaves nothing out"
        )


def _moved(case: Case, motion: Floats) -> Case:
    """Return the case after a rigid motion of the patient; what was said before turns with the patient."""
    return replace(
        case,
        studies=tuple(replace(s, parts=tuple(_turned(p, motion) for p in s.parts)) for s in case.studies),
        findings=tuple(
            replace(f, items=tuple(_turned_item(i, motion) for i in f.items)) for f in case.findings
        ),
    )


def _turned(part: Part, motion: Floats) -> Part:
    match part:
        case Image():
            return replace(part, grid=part.grid.moved(motion))
        case Cine() | Planes():
            return replace(part, planes=tuple(p.moved(motion) for p in part.planes))
        case Geometry():
            return replace(part, shape=part.shape.moved(motion))
        case _:
            return part


def _turned_item(item: Item, motion: Floats) -> Item:
    match item:
        case Region():
            return replace(item, planes=tuple(p.moved(motion) for p in item.planes))
        case Shape():
            return replace(item, shape=item.shape.moved(motion))
        case _:
            return item


_WATCH: ContextVar[tuple[Path, list[str]] | None] = ContextVar("watch", default=None)


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    """Note each file opened for writing outside the scratch folder, while someone watches."""
    watch = _WATCH.get()
    if watch is None or event != "open" or not isinstance(arguments[0], str | bytes):
        return
    scratch, strays = watch
    path, mode = Path(str(arguments[0])), str(arguments[1] or "")
    writes = any(c in mode for c in "wax+")
    if writes and scratch not in path.resolve().parents and path != Path("/dev/null"):
        strays.append(str(path))


@cache
def _hook() -> None:
    """Listen to every file opened; an audit hook can't be removed, so it is added once."""
    sys.addaudithook(_listen)


@contextmanager
def _watched(scratch: Path) -> Iterator[list[str]]:
    """Yield a list that fills with the files written outside ``scratch``."""
    _hook()
    strays: list[str] = []
    token = _WATCH.set((scratch.resolve(), strays))
    try:
        yield strays
    finally:
        _WATCH.reset(token)
