"""Series: frames become parts of a study, by their geometry and time, never by their labels.

::

    one frame a place, places equidistant          Image
    one frame a place, anything else               Planes, and a note that says what
    as many frames at every place, in one beat     Cine
    as many frames at every place, over seconds    Planes with times
    no place                                       Picture

Single-plane cines of different series that are parallel, of one size and one kind, are one
short-axis stack to a doctor and to us: they become one `Cine`, each plane with its own RR.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np

from carna.case import Problem
from carna.doors.dicom.beats import Beat, beat
from carna.doors.dicom.frames import Frame, deep_facts, frames_of
from carna.doors.dicom.header import BROKEN, Header, named_uid, number, origin_of, source_of, text
from carna.doors.dicom.pictures import picture
from carna.doors.dicom.pixels import load, padding_of, unit_of
from carna.errors import InputError
from carna.space import EQUAL_MM, PARALLEL_DEG, Grid, stack
from carna.study import Cine, Image, Lazy, Part, Planes

_SAME_ECHO_MS = 0.3
_PLACED_STACKS = frozenset(("CT", "MR", "PT", "NM"))


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A cine before it is one part: the planes may still be joined by those of other series."""

    beats: tuple[Beat, ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Frame:
        """The first frame of the first plane."""
        return self.beats[0].frames[0]

    @property
    def planes(self) -> tuple[Grid, ...]:
        """The plane of each beat."""
        return tuple(_plane(b.frames[0]) for b in self.beats)


def parts_of(headers: Sequence[Header]) -> tuple[list[Part], list[Problem]]:
    """Return the image parts of one study, and a problem for each object that can't be read."""
    by_series: dict[str, list[Frame]] = {}
    problems: list[Problem] = []
    for header in headers:
        try:
            by_series.setdefault(header.series, []).extend(frames_of(header))
        except InputError as error:
            problems.append(Problem(header.name, error.found, error.needed, error.fix))
        except BROKEN as error:
            problems.append(Problem(header.name, f"a damaged image header: {error}", fix="send it again"))
    made: list[Part] = []
    drafts: list[Draft] = []
    for series, frames in by_series.items():
        kinds: dict[tuple[Any, ...], list[Frame]] = {}
        echo = _echoes(frames)
        for frame in frames:
            kinds.setdefault((*frame.kind, echo[frame.echo_ms], frame.plane is None), []).append(frame)
        split = [f"one of {len(kinds)} kinds of image in the series"] if len(kinds) > 1 else []
        for n, group in enumerate(kinds.values()):
            uid = series if n == 0 else named_uid(series, "kind", str(n))
            try:
                found = _unplaced(group, uid, split) if group[0].plane is None else _placed(group, uid, split)
            except BROKEN as error:
                problems.append(
                    Problem(
                        group[0].header.name,
                        f"a series of {len(group)} frames can't be put together: {error}",
                    )
                )
                continue
            drafts += [f for f in found if isinstance(f, Draft)]
            made += [f for f in found if not isinstance(f, Draft)]
    return _named_once([*made, *(cine_of(d) for d in merged(drafts))]), problems


def _echoes(frames: Iterable[Frame]) -> dict[float | None, int]:
    """Return the number of the echo for each echo time: a new one after a step in time.

    Echo times of one echo may differ a little from slice to slice.
    """
    times = sorted({f.echo_ms for f in frames if f.echo_ms is not None})
    numbers: dict[float | None, int] = {None: 0}
    for n, time in enumerate(times):
        numbers[time] = numbers[times[n - 1]] + (time - times[n - 1] > _SAME_ECHO_MS) if n else 1
    return numbers


def _named_once(parts: list[Part]) -> list[Part]:
    """Return the parts, each with a UID of its own."""
    seen: Counter[str] = Counter()
    out: list[Part] = []
    for part in parts:
        uid = part.origin.uid
        other = replace(part.origin, uid=named_uid(uid, "part", str(seen[uid])))
        out.append(replace(part, origin=other) if seen[uid] else part)
        seen[uid] += 1
    return out


# Without a place -------------------------------------------------------------------------------


def _unplaced(frames: list[Frame], uid: str, notes: Sequence[str]) -> list[Part | Draft]:
    """Return one picture an object; slices that lost their geometry stay one picture together."""
    modality = text(frames[0].header.ds, "Modality")
    by_object: dict[Header, list[Frame]] = {}
    for frame in frames:
        by_object.setdefault(frame.header, []).append(frame)
    lost = frames[0].why if modality in _PLACED_STACKS and not frames[0].store.color else ""
    told = [*notes, f"{lost}: the place in the patient is not known"] if lost else list(notes)
    if len(by_object) == 1 or (lost and len(by_object) == len(frames)):
        return [picture(sorted(frames, key=lambda f: f.order), uid, told)]
    return [picture(group, header.uid, told) for header, group in by_object.items()]


# With a place ----------------------------------------------------------------------------------


def _plane(frame: Frame) -> Grid:
    if frame.plane is None:
        raise InputError("a frame without a place", needed="geometry")
    return frame.plane


def _placed(frames: list[Frame], uid: str, notes: Sequence[str]) -> list[Part | Draft]:
    """Return the parts of frames of one kind that have a place."""
    clusters = _by_orientation(frames)
    sorted_in = [_by_place(cluster) for cluster in clusters]
    if len(clusters) > 1 and not all(min(map(len, places)) > 1 for places in sorted_in):
        ordered = sorted(frames, key=lambda f: f.order)
        return [_planes(ordered, uid, [*notes, f"{len(clusters)} orientations in one series"])]
    told = (
        [*notes, f"one of {len(clusters)} orientations in the series"] if len(clusters) > 1 else list(notes)
    )
    found: list[Part | Draft] = []
    for n, places in enumerate(sorted_in):
        found += _stacked(places, uid if n == 0 else named_uid(uid, "orientation", str(n)), told)
    return found


def _by_orientation(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return frames whose rows and columns point the same way, together."""
    clusters: list[tuple[np.ndarray[Any, Any], list[Frame]]] = []
    near = 2 * np.sin(np.radians(PARALLEL_DEG) / 2)
    for frame in frames:
        axes = _plane(frame).axes
        for known, cluster in clusters:
            if np.abs(axes - known).max() < near:
                cluster.append(frame)
                break
        else:
            clusters.append((axes, [frame]))
    return [cluster for _, cluster in clusters]


def _by_place(frames: list[Frame]) -> list[list[Frame]]:
    """Return parallel frames by their place, sorted along the normal; a place's frames in sent order."""
    normal = _plane(frames[0]).normal
    origins = np.array([_plane(f).origin for f in frames])
    heights = origins @ normal
    places: list[list[int]] = []
    for n in sorted(range(len(frames)), key=lambda i: (heights[i], frames[i].order)):
        level = heights[n] - EQUAL_MM
        beside = takewhile(lambda place, level=level: heights[place[0]] >= level, reversed(places))  # type: ignore[misc]
        home = next((p for p in beside if np.abs(origins[n] - origins[p[0]]).max() <= EQUAL_MM), None)
        if home is None:
            places.append([n])
        else:
            home.append(n)
    return [sorted((frames[n] for n in place), key=lambda f: f.order) for place in places]


def _stacked(places: list[list[Frame]], uid: str, notes: Sequence[str]) -> list[Part | Draft]:
    """Return the parts of parallel places: an image, a cine, planes, and what is left over."""
    counts = Counter(len(group) for group in places)
    if len(counts) == 1:
        return [_moving(places, uid, notes) if counts[1] == 0 else _still([p[0] for p in places], uid, notes)]
    if counts[1] * 2 >= len(places):
        extra = [f for group in places for f in group[1:]]
        told = [*notes, f"{len(extra)} more frames at places of this volume are kept apart"]
        about = "further frames at places of a volume of the same series"
        return [
            _still([group[0] for group in places], uid, told),
            _planes(extra, named_uid(uid, "further"), [about]),
        ]
    # Places with one number of frames belong together; a plane that lost a phase is a cine of its own.
    found: list[Part | Draft] = []
    for n, count in enumerate(sorted(counts, key=lambda c: -counts[c] * c)):
        told = [
            *notes,
            f"{counts[count]} of {len(places)} places of the series: they hold {count} frames each",
        ]
        name = uid if n == 0 else named_uid(uid, "frames", str(count))
        found += _stacked([p for p in places if len(p) == count], name, told)
    return found


def _still(frames: list[Frame], uid: str, notes: Sequence[str]) -> Part:
    """Return one frame a place as an image if the places are equidistant, else as planes."""
    told = [*notes, *spacing_notes(frames)]
    grid = stack(tuple(_plane(f) for f in frames)) if len({_plane(f).frame for f in frames}) == 1 else None
    if grid is None:
        return _planes(frames, uid, told)
    return Image(
        _origin(frames, uid, told), grid, _values(frames, grid.shape), unit_of(f.scale for f in frames)
    )


def _planes(frames: list[Frame], uid: str, notes: Sequence[str], times: Any = None) -> Planes:
    if times is None and all(f.trigger_ms is not None for f in frames):
        times = np.array([f.trigger_ms for f in frames], float)
    shape = (len(frames), *frames[0].store.shape)
    return Planes(
        _origin(frames, uid, notes),
        tuple(_plane(f) for f in frames),
        _values(frames, shape),
        unit_of(f.scale for f in frames),
        times,
    )


def _moving(places: list[list[Frame]], uid: str, notes: Sequence[str]) -> Part | Draft:
    """Return several frames a place as a cine draft, or as planes where they do not share a beat."""
    beats = [beat(group) for group in places]
    known = [b for b in beats if b is not None]
    told = list(dict.fromkeys([*notes, *(note for b in known for note in b.notes)]))
    if len(known) < len(beats):
        recovery = len({f.inversion_ms for f in places[0]}) > 1
        why = (
            "several inversion times a place"
            if recovery
            else "several frames a place that no time tells apart"
        )
        return _planes([f for group in places for f in group], uid, [*notes, why])
    if any(b.dynamic for b in known):
        frames = [f for b in known for f in b.frames]
        times = np.concatenate([b.times_ms for b in known])
        count, seconds = len(known[0].frames), max(float(b.times_ms[-1]) for b in known) / 1000
        why = f"{count} frames a place over {seconds:.1f} s: a series in real time, not one heartbeat"
        return _planes(frames, uid, [*told, why, "times are after the first frame"], times)
    return Draft(tuple(known), tuple(told))


def _values(frames: Sequence[Frame], shape: tuple[int, ...]) -> Lazy:
    wanted = [(f.store, f.index, f.scale) for f in frames]
    return Lazy(shape, lambda: load(wanted, shape))


def _origin(frames: Sequence[Frame], uid: str, notes: Sequence[str]) -> Any:
    """Return the origin of frames: sources with their frame numbers, facts, notes on values."""
    used: dict[Header, list[int]] = {}
    for frame in frames:
        used.setdefault(frame.header, []).append(frame.index + 1)
    headers = list(used)
    sources = [source_of(h, tuple(n) if frames_in(h) > 1 else ()) for h, n in used.items()]
    first = frames[0]
    facts = deep_facts(headers[0])
    told = list(notes)
    if (
        text(first.header.ds, "Modality") == "CT"
        and first.scale.unit == "1"
        and "LOCALIZER" not in first.kind[3]
    ):
        told.append("no rescale to Hounsfield units: values are as stored")
    if first.store.photometric == "MONOCHROME1":
        told.append("MONOCHROME1: low values are meant to look bright; the values are as stored")
    padding = padding_of(first.header, first.scale)
    if padding is not None:
        facts["Padding"] = padding
        told.append(f"pixels of value {padding:g} may be padding, outside what was imaged")
    inversions = sorted({f.inversion_ms for f in frames if f.inversion_ms is not None})
    if len(inversions) > 1:
        facts["InversionTime"] = tuple(inversions)
    return origin_of(headers, uid=uid, sources=sources, notes=told, facts=facts)


def frames_in(header: Header) -> int:
    """Return how many frames the object has."""
    return max(int(number(header.ds, "NumberOfFrames") or 1), 1)


def spacing_notes(frames: Sequence[Frame]) -> list[str]:
    """Return what a reader must know of the distances between parallel planes sorted along the normal."""
    if len(frames) < 2:
        return []
    planes = [_plane(f) for f in frames]
    notes: list[str] = []
    steps = np.diff([p.origin for p in planes], axis=0)
    along = steps @ planes[0].normal
    usual = float(np.median(along))
    if np.ptp(along) > 2 * EQUAL_MM:
        missing = [round(float(step / usual)) - 1 for step in along] if usual > EQUAL_MM else []
        if sum(n > 0 for n in missing):
            wide = [i for i, n in enumerate(missing) if n > 0]
            where = ", ".join(f"{missing[i]} after plane {i + 1}" for i in wide[:5])
            notes.append(f"a gap: {sum(missing[i] for i in wide)} planes seem to be missing ({where})")
        notes.append(f"planes are {along.min():.2f} to {along.max():.2f} mm apart")
    sideways = np.linalg.norm(steps - np.outer(along, planes[0].normal), axis=1).max()
    if usual > 0 and sideways > usual * np.tan(np.radians(PARALLEL_DEG)) and sideways > EQUAL_MM:
        tilt = np.degrees(np.arctan2(sideways, usual))
        notes.append(f"planes are shifted sideways by up to {sideways:.2f} mm ({tilt:.1f} degrees of tilt)")
    stated = number(frames[0].header.ds, "SpacingBetweenSlices")
    if stated and np.ptp(along) <= 2 * EQUAL_MM and abs(abs(stated) - usual) > max(0.05 * usual, EQUAL_MM):
        notes.append(f"the header says {abs(stated):g} mm between slices, the positions {usual:.2f} mm")
    return notes


# Cines -----------------------------------------------------------------------------------------


def cine_of(draft: Draft) -> Cine:
    """Return the cine of a draft: values (t, k, r, c), planes along the normal."""
    frames = [b.frames[t] for t in range(len(draft.beats[0].frames)) for b in draft.beats]
    shape = (len(draft.beats[0].frames), len(draft.beats), *draft.first.store.shape)
    series = list(dict.fromkeys(b.frames[0].header.series for b in draft.beats))
    uid = series[0] if len(series) == 1 else named_uid("stack", *sorted(series))
    notes = [*draft.notes, *spacing_notes([b.frames[0] for b in draft.beats])]
    origin = _origin(frames, uid, notes)
    if len(series) > 1:
        tops = [b.frames[0].header.ds for b in draft.beats]
        label = " | ".join(dict.fromkeys(text(ds, "SeriesDescription") for ds in tops))
        numbers = [int(n) for ds in tops if (n := number(ds, "SeriesNumber")) is not None]
        origin = replace(origin, label=label, number=min(numbers, default=None))
    return Cine(
        origin,
        draft.planes,
        _values(frames, shape),
        np.stack([b.times_ms for b in draft.beats], axis=1),
        np.array([b.rr_ms for b in draft.beats]),
        unit_of(f.scale for f in frames),
    )


def merged(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts, single planes of different series that make one stack joined.

    A plane that was acquired again stays apart, with a note on it; the newest is in the stack.
    """
    groups: list[list[Draft]] = []
    for draft in drafts:
        home = next((g for g in groups if len(draft.beats) == 1 and _stackable(g[0], draft)), None)
        if home is None:
            groups.append([draft])
        else:
            home.append(draft)
    return [draft for group in groups for draft in _joined(group)]


def _stackable(a: Draft, b: Draft) -> bool:
    """Whether two single-plane cines are planes of one stack, or one plane twice."""
    if len(a.beats) != 1 or len(b.beats) != 1 or a.first.header.series == b.first.header.series:
        return False
    one, two = a.planes[0], b.planes[0]
    return (
        len(a.beats[0].frames) == len(b.beats[0].frames)
        and one.frame == two.frame != ""
        and one.shape == two.shape
        and np.allclose(one.spacing_mm, two.spacing_mm, atol=1e-2)
        and bool(np.abs(one.axes - two.axes).max() < 2 * np.sin(np.radians(PARALLEL_DEG) / 2))
        and a.first.scale.unit == b.first.scale.unit
        and _technique(a.first) == _technique(b.first)
        and abs((a.first.echo_ms or 0.0) - (b.first.echo_ms or 0.0)) <= _SAME_ECHO_MS
    )


def _technique(frame: Frame) -> tuple[Any, ...]:
    """Return what makes two acquisitions the same kind of picture."""
    ds = frame.header.ds
    contrast = tuple(text(ds, k) for k in ("Modality", "ScanningSequence", "SequenceVariant"))
    return (*contrast, *frame.kind)


def _joined(group: list[Draft]) -> list[Draft]:
    """Return one draft of all the planes in a group, and one for each older repeat."""
    if len(group) == 1:
        return group
    normal = group[0].planes[0].normal
    newest_first = sorted(group, key=_when, reverse=True)
    kept: list[Draft] = []
    repeats: list[Draft] = []
    for draft in newest_first:
        thick = draft.planes[0].spacing_mm[0]
        same = next(
            (k for k in kept if abs((k.planes[0].origin - draft.planes[0].origin) @ normal) < thick / 2), None
        )
        if same is None:
            kept.append(draft)
        else:
            number_of = text(same.first.header.ds, "SeriesNumber")
            repeats.append(Draft(draft.beats, (*draft.notes, f"the same plane again as series {number_of}")))
    kept.sort(key=lambda d: float(d.planes[0].origin @ normal))
    notes = dict.fromkeys(note for d in kept for note in d.notes)
    if len(kept) > 1:
        numbers = ", ".join(text(d.first.header.ds, "SeriesNumber") or "?" for d in kept)
        notes[f"{len(kept)} parallel planes of series {numbers} put together as one stack"] = None
    return [Draft(tuple(b for d in kept for b in d.beats), tuple(notes)), *repeats]


def _when(draft: Draft) -> tuple[str, float, str]:
    ds = draft.first.header.ds
    return (
        text(ds, "AcquisitionDateTime") or text(ds, "AcquisitionDate") + text(ds, "AcquisitionTime"),
        number(ds, "SeriesNumber") or 0.0,
        draft.first.header.series,
    )
