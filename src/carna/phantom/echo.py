"""A virtual patient's echo study: two apical clips on a screen with writing around them, and the truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from carna.case import Case
from carna.findings.model import NAMESPACE
from carna.phantom.apical import EchoCine, View, apical, cine, draw_look
from carna.phantom.chambers import WholeHeart, draw_whole
from carna.study import Lazy, Origin, Patient, Picture, Study

TIME = "2000-01-01T12:00:00"
RR_MS = 850.0
_SCREEN = (240, 320)
_AT = (24, 66)  # of the sector on it


def echo_pair(
    person: WholeHeart, random: np.random.Generator, *, frames: int = 30, care: float = 1.0
) -> dict[View, EchoCine]:
    """Draw a four- and a two-chamber clip of one person, a beat and a quarter each, begun anywhere."""
    views: tuple[View, ...] = ("4CH", "2CH")
    clips: dict[View, EchoCine] = {}
    for view in views:
        fan = apical(person, view, random, care=care)
        look = draw_look(fan, random, int(random.integers(2**31)))
        clips[view] = cine(
            person, fan, look, frames=frames, beats=1.25, begin=float(random.uniform(0.0, 1.0)), rr_ms=RR_MS
        )
    return clips


def screen(made: EchoCine) -> npt.NDArray[np.uint8]:
    """Put a clip on a screen (t, 240, 320, 3) with a bar, ticks, letters, a coloured mark, a moving trace."""
    frames, n = len(made.pictures), made.pictures.shape[1]
    out = np.zeros((frames, *_SCREEN, 3), np.uint8)
    row, column = _AT
    out[:, row : row + n, column : column + n] = made.pictures[..., None]
    out[:, 226:238, 40:280] = (28, 34, 60)
    out[:, row : row + n : 16, 300:303] = 150
    out[:, 5:13, 4:40:4] = 170  # letters, as far as a reader of pixels can tell
    out[:, 18:23, 188:193] = (60, 190, 160)
    for t in range(frames):
        at = 40 + (240 * t) // frames
        out[t, 218 - int(6 * np.cos(t)) : 222, at : at + 3] = (0, 200, 0)
    return out


def echo_case(person: WholeHeart, clips: dict[View, EchoCine], seed: int, *, scaled: bool = True) -> Case:
    """Return clips as the case that a hospital's files become; without ``scaled`` the pixels have no size."""
    import uuid

    def uid(name: str) -> str:
        return f"2.25.{uuid.uuid5(NAMESPACE, f'phantom/echo/{seed}/{name}').int}"

    who = Patient(f"PHANTOM-ECHO-{seed:04}", "CARNA", "CARNA^PHANTOM", "1948-06-15", "female", synthetic=True)
    parts = []
    for number, (view, made) in enumerate(clips.items(), start=1):
        origin = Origin(
            uid(view),
            "US",
            f"apical {view}",
            number,
            TIME,
            "Carna phantom",
            "phantom",
            notes=("virtual patient",),
            facts={"Color": True},
        )
        values = screen(made)
        spacing = (made.mm, made.mm) if scaled else None
        parts.append(
            Picture(origin, Lazy.of(values), spacing_mm=spacing, times_ms=np.array(made.times_ms, np.float64))
        )
    return Case(who, (Study(uid("study"), who, TIME, "Virtual echo", parts=tuple(parts)),))


@cache
def virtual_echo() -> Case:
    """Return the virtual patient in two apical views that the contract suite and the docs use."""
    person, clips = virtual_pair()
    return echo_case(person, clips, 0)


@cache
def virtual_pair() -> tuple[WholeHeart, dict[View, EchoCine]]:
    """Return the heart of `virtual_echo`, and its clips with their labels."""
    random = np.random.default_rng([7, 0])
    person = draw_whole(random, "normal")
    return person, echo_pair(person, random, care=0.6)
