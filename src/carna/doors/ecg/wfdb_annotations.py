"""MIT annotation files as events: beats, waves, rhythm, and everything else an annotator marked.

A file is a row of 16-bit words, little endian: 6 bits say what, 10 bits how many samples later.
59 (SKIP) carries a long interval, 60 (NUM), 61 (SUB), 62 (CHN) and 63 (AUX) say more of the
annotation before. Described in the WFDB Applications Guide, annot(5)
(https://physionet.org/physiotools/wag/annot-5.htm).

What becomes of it (each item with a lead column where the annotator worked lead by lead):

==============  ============================================================================
``beats``       instants of the QRS complexes; types are beat classes. In a file with wave
                boundaries the symbol N marks a QRS complex and says nothing of its class.
``waves.qrs``   and ``.p``, ``.t``, ``.u``: from onset to offset, where both were marked
``peaks.p``     and ``.t``, ``.u``
``starts.t``    and so on: an onset without its offset; ``ends.t`` an offset without its onset
``rhythm``      from each change of rhythm to the next
``marks``       all others
==============  ============================================================================

Types are MDC concepts of `carna.codes` where there is one; otherwise scheme 99CARNA, value
``WFDB-`` and the mnemonic of the format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType

import numpy as np

from carna import codes
from carna.codes import Concept
from carna.doors.ecg.events import WAVE, Gathered, own
from carna.doors.ecg.leads import canonical
from carna.doors.ecg.recording import Prior
from carna.doors.files import Blob
from carna.errors import InputError

__all__ = ["Mark", "annotator_findings", "is_annotation", "parse_annotations"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One annotation: when (in the file's own ticks), which code, and its further fields."""

    tick: int
    code: int
    sub: int = 0
    chan: int = 0
    num: int = 0
    aux: str = ""


_BEAT: Mapping[int, Concept] = MappingProxyType(
    {
        1: codes.NORMAL_BEAT,
        2: codes.LBBB_BEAT,
        3: codes.RBBB_BEAT,
        4: codes.ABERRATED_ATRIAL_BEAT,
        5: codes.VENTRICULAR_PREMATURE_BEAT,
        6: codes.FUSION_BEAT,
        7: codes.JUNCTIONAL_PREMATURE_BEAT,
        8: codes.ATRIAL_PREMATURE_BEAT,
        9: codes.SUPRAVENTRICULAR_PREMATURE_BEAT,
        10: codes.VENTRICULAR_ESCAPE_BEAT,
        11: codes.JUNCTIONAL_ESCAPE_BEAT,
        12: own("PACE", "Paced beat"),
        13: codes.UNCLASSIFIABLE_BEAT,
        25: own("BBB", "Left or right bundle branch block beat"),
        30: own("LEARN", "Beat while learning"),
        34: codes.ATRIAL_ESCAPE_BEAT,
        35: codes.SUPRAVENTRICULAR_ESCAPE_BEAT,
        38: codes.PACEMAKER_FUSION_BEAT,
        41: own("RONT", "R-on-T premature ventricular contraction"),
    }
)
_OTHER: Mapping[int, Concept] = MappingProxyType(
    {
        14: own("NOISE", "Change of signal quality"),
        16: codes.QRS_LIKE_ARTIFACT,
        18: own("STCH", "Change of ST"),
        19: own("TCH", "Change of T wave"),
        20: own("SYSTOLE", "Systole"),
        21: own("DIASTOLE", "Diastole"),
        22: own("NOTE", "Comment"),
        23: own("MEASURE", "Measurement"),
        26: codes.PACE_SPIKE,
        31: own("FLWAV", "Ventricular flutter wave"),
        32: own("VFON", "Start of ventricular flutter or fibrillation"),
        33: own("VFOFF", "End of ventricular flutter or fibrillation"),
        36: own("LINK", "Link"),
        37: codes.BLOCKED_P_WAVE,
    }
)
_PEAK = MappingProxyType({24: "p", 27: "t", 29: "u"})
_ONSET, _OFFSET, _RHYTHM, _NOTE = 39, 40, 28, 22
_BY_NUM = MappingProxyType({0: "p", 1: "qrs", 2: "t", 3: "u"})  # as ecgpuwave and the QT Database do
_NEAR_S = 0.01
_RHYTHMS: Mapping[str, Concept] = MappingProxyType(
    {
        "N": codes.SINUS_RHYTHM,
        "AFIB": codes.ATRIAL_FIBRILLATION,
        "AFL": codes.ATRIAL_FLUTTER,
        "SBR": codes.SINUS_BRADYCARDIA,
        "SVTA": codes.SVT,
        "VT": codes.VT,
        "VF": codes.VF,
        "ASYS": codes.ASYSTOLE,
        "PREX": codes.PREEXCITATION,
        "BII": codes.AV_BLOCK_2,
        "AB": own("RHY-AB", "Atrial bigeminy"),
        "B": own("RHY-B", "Ventricular bigeminy"),
        "T": own("RHY-T", "Ventricular trigeminy"),
        "IVR": own("RHY-IVR", "Idioventricular rhythm"),
        "NOD": own("RHY-NOD", "Nodal (junctional) rhythm"),
        "P": own("RHY-P", "Paced rhythm"),
        "VFL": own("RHY-VFL", "Ventricular flutter"),
    }
)


def is_annotation(head: bytes, size: int) -> bool:
    """Return True if some first bytes can be an annotation file: small steps, known codes, an end."""
    if size < 2 or size % 2:
        return False
    words = np.frombuffer(head[: len(head) // 2 * 2], "<u2")
    return bool(len(words)) and (size > len(head) or not words[-1])


def parse_annotations(data: bytes) -> list[Mark]:
    """Return the annotations of a file, in its order.

    Raises
    ------
    InputError
        If the file ends within an annotation.
    """
    marks: list[Mark] = []
    tick = at = chan = num = 0
    size = len(data)
    while at + 2 <= size:
        word = data[at] | data[at + 1] << 8
        at += 2
        code, low = word >> 10, word & 0x3FF
        if code == 0 and low == 0:
            return marks
        if code == 59:
            if at + 4 > size:
                break
            # PDP-11 order: the high word first, each little endian.
            high, small = data[at] | data[at + 1] << 8, data[at + 2] | data[at + 3] << 8
            jump = high << 16 | small
            tick += jump - (1 << 32) if jump & 0x80000000 else jump
            at += 4
        elif code == 60:
            num = _signed(low)
            _amend(marks, num=num)
        elif code == 61:
            _amend(marks, sub=_signed(low))
        elif code == 62:
            chan = low
            _amend(marks, chan=chan)
        elif code == 63:
            if at + low > size:
                break
            _amend(marks, aux=data[at : at + low].split(b"\0")[0].decode("utf-8", "replace"))
            at += low + low % 2
        else:
            tick += low
            # NUM and CHN hold until they are set again, SUB does not.
            marks.append(Mark(tick, code, 0, chan, num))
    raise InputError(
        f"an annotation file that ends after {len(marks)} annotations without its end mark",
        needed="two zero bytes at the end",
        fix="send it again",
    )


def _signed(low: int) -> int:
    byte = low & 0xFF
    return byte - 256 if byte > 127 else byte


def _amend(marks: list[Mark], **field: object) -> None:
    if not marks:
        raise InputError("an annotation file that begins with a modifier", needed="an annotation first")
    marks[-1] = replace(marks[-1], **field)  # type: ignore[arg-type]


def annotator_findings(
    blobs: Sequence[Blob], rate_hz: float, frames: int, leads: Sequence[str], part: str
) -> tuple[tuple[Prior, ...], tuple[str, ...]]:
    """Return the findings of each annotator of a record, and notes on files that can't be read.

    An annotator whose files are named after leads (LUDB: ``1.i`` to ``1.v6``) is one annotator.

    Parameters
    ----------
    rate_hz : float
        Ticks of an annotation file that states no resolution of its own.
    frames : int
        Length of the record, for the end of the last rhythm.
    leads : sequence of str
        The record's leads, as the sender writes them.
    part : str
        UID of the wave the annotations speak of.
    """
    known = [canonical(lead) or lead for lead in leads]
    by_annotator: dict[str, Gathered] = {}
    notes: list[str] = []
    for blob in blobs:
        extension = PurePosixPath(blob.file).suffix[1:]
        lead = canonical(extension) or ""
        if lead not in known:
            lead = ""
        name = "WFDB annotations lead by lead" if lead else f"WFDB annotator {extension}"
        try:
            marks = parse_annotations(blob.load())
        except InputError as error:
            notes.append(f"{blob.file} was not read: {error}")
            continue
        _sort_out(marks, lead, rate_hz, frames, by_annotator.setdefault(name, Gathered()))
    priors = tuple(Prior(name, gather.items(part, known)) for name, gather in sorted(by_annotator.items()))
    return priors, tuple(notes)


_RESOLUTION = re.compile(r"## time resolution: ([\d.]+)")
_DEFINITION = re.compile(r"(\d+)\s+(\S+)\s*(.*)")


def _preamble(marks: list[Mark], rate_hz: float) -> tuple[list[Mark], float, dict[int, Concept]]:
    """Return the annotations after the file's own header, its tick rate and the codes it defines."""
    custom: dict[int, Concept] = {}
    ticks_hz, defining, at = rate_hz, False, 0
    for at, mark in enumerate(marks):  # noqa: B007
        if mark.tick != 0 or mark.code != _NOTE:
            break
        if match := _RESOLUTION.match(mark.aux):
            value = float(match[1]) if match[1].count(".") <= 1 and match[1] != "." else 0.0
            ticks_hz = value if value > 0 else rate_hz
        elif mark.aux.startswith("## annotation type definitions"):
            defining = True
        elif mark.aux.startswith("## end of definitions"):
            defining = False
        elif defining and (match := _DEFINITION.match(mark.aux)):
            custom[int(match[1])] = own(match[2], (match[3] or match[2])[:64])
        else:
            break
    else:
        at = len(marks)
    return marks[at:], ticks_hz, custom


def _sort_out(marks: list[Mark], lead: str, rate_hz: float, frames: int, into: Gathered) -> None:
    """Put one file's annotations where they belong."""
    rest, ticks_hz, custom = _preamble(marks, rate_hz)
    delineated = any(mark.code in (_ONSET, _OFFSET) for mark in rest)
    change: tuple[float, Concept] | None = None
    end_s = frames / rate_hz
    for mark in rest:
        at = mark.tick / ticks_hz
        if mark.code in _BEAT:
            only_qrs = delineated and mark.code == 1
            into.add("beats", codes.QRS_COMPLEX if only_qrs else _BEAT[mark.code], lead, at)
        elif mark.code in _PEAK:
            wave = _PEAK[mark.code]
            into.add(f"peaks.{wave}", WAVE[wave], lead, at)
        elif mark.code == _RHYTHM:
            if change is not None:
                into.add("rhythm", change[1], lead, change[0], at)
            change = (at, _rhythm(mark.aux))
        elif mark.code not in (_ONSET, _OFFSET):
            into.add("marks", _mark(mark, custom), lead, at)
    if change is not None:
        into.add("rhythm", change[1], lead, change[0], max(end_s, change[0]))
    for chan in sorted({mark.chan for mark in rest}) if delineated else ():
        _delineate([m for m in rest if m.chan == chan], lead, ticks_hz, into)


def _rhythm(aux: str) -> Concept:
    word = aux.strip().lstrip("(")
    return _RHYTHMS.get(word) or own(f"RHY-{word or 'UNSTATED'}", f"Rhythm: {word or 'not stated'}"[:64])


def _mark(mark: Mark, custom: Mapping[int, Concept]) -> Concept:
    known = custom.get(mark.code) or _OTHER.get(mark.code) or own(str(mark.code), f"Code {mark.code}")
    return replace(known, meaning=f"{known.meaning}: {mark.aux}"[:64]) if mark.aux else known


def _delineate(marks: list[Mark], lead: str, ticks_hz: float, into: Gathered) -> None:
    """Pair onsets and offsets; one without a partner stays alone.

    In a file that numbers its boundaries the number says which wave they belong to; in others it
    is the peak between them, or a peak that an annotator put just before the onset.
    """
    numbered = any(mark.num for mark in marks if mark.code in (_ONSET, _OFFSET))
    opened: Mark | None = None
    wave = ""  # the wave of the open onset, or of the last peak if none is open
    seen: Mark | None = None

    def alone(item: str, what: str, mark: Mark) -> None:
        into.add(f"{item}.{what}", WAVE[what], lead, mark.tick / ticks_hz)

    for mark in marks:
        here = "qrs" if mark.code in _BEAT else _PEAK.get(mark.code, "")
        if mark.code == _ONSET:
            if opened is not None and wave:
                alone("starts", wave, opened)
            near = seen is not None and mark.tick - seen.tick <= _NEAR_S * ticks_hz
            wave = _BY_NUM.get(mark.num, "") if numbered else (wave if opened is None and near else "")
            opened = mark
        elif here:
            seen = mark
            if not numbered:
                if opened is not None and wave and wave != here:
                    alone("starts", wave, opened)
                    opened = None
                wave = here
        elif mark.code == _OFFSET:
            what = _BY_NUM.get(mark.num, "") if numbered else wave
            if what and opened is not None and wave == what:
                at = opened.tick / ticks_hz
                into.add(f"waves.{what}", WAVE[what], lead, at, mark.tick / ticks_hz)
            else:
                if opened is not None and wave:
                    alone("starts", wave, opened)
                if what:
                    alone("ends", what, mark)
            opened, wave, seen = None, "", None
    if opened is not None and wave:
        alone("starts", wave, opened)
