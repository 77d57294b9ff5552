"""MFER (ISO 22077-1): read only.

A file is tags, lengths and values; a definition holds until it is given again. Samples lie block
by block, channel by channel. The reader was built from the format's description: no file of a
real device was at hand, and every recording says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from carna.doors.ecg.leads import from_scp
from carna.doors.ecg.recording import Recording, Sex, Wave, check_wave, iso_time, scaled, study_uid
from carna.doors.files import Blob
from carna.errors import InputError
from carna.study import Lazy, Patient

__all__ = ["read_mfer"]

_UNSEEN = "read by the description of MFER; no file of a real device was at hand to check it"
_TYPES = {0: "i2", 1: "u2", 2: "i4", 3: "u1", 5: "i1", 6: "u4", 7: "f4", 8: "f8"}


@dataclass(slots=True)
class _Channel:
    """What is defined for one channel, None where the definition for all holds."""

    lead: int | None = None
    rate_hz: float | None = None
    step_mV: float | None = None
    offset: float | None = None
    null: int | None = None
    kind: str | None = None
    length: int | None = None


@dataclass(slots=True)
class _State:
    """Definitions so far, and the samples read with them."""

    order: str = ">"
    length: int = 0
    channels: int = 1
    blocks: int = 1
    common: _Channel = field(default_factory=_Channel)
    own: dict[int, _Channel] = field(default_factory=dict)
    waves: list[Wave] = field(default_factory=list)
    words: dict[int, bytes] = field(default_factory=dict)


def read_mfer(blob: Blob) -> Recording:
    """Return the recording of an MFER file.

    Raises
    ------
    InputError
        If it holds no waveform in volts with a rate, or is packed in a way that is not read here.
    """
    data = blob.load()
    state = _State()
    for tag, value, channel in _fields(data):
        _define(state, tag, value, channel)
    if not state.waves:
        raise InputError("no waveform", needed="waveform data (tag 1E)", fix="send the file again")
    sexes: dict[int, Sex] = {1: "male", 2: "female"}
    sex = sexes.get(state.words[0x84][0]) if state.words.get(0x84) else None
    age = state.words.get(0x83, b"")
    return Recording(
        study_uid(data),
        "MFER",
        blob.file,
        tuple(state.waves),
        Patient(_text(state.words.get(0x82, b"")), "", _text(state.words.get(0x81, b"")), "", sex),
        _moment(state),
        _text(state.words.get(0x17, b"")),
        age_a=float(age[0]) if age and age[0] <= 130 else None,
        notes=(_UNSEEN,),
    )


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode("latin-1").strip()


def _moment(state: _State) -> str:
    value = state.words.get(0x85, b"")
    if len(value) < 7:
        return ""
    year = int.from_bytes(value[:2], "little" if state.order == "<" else "big")
    return iso_time(
        f"{year:04d}-{value[2]:02d}-{value[3]:02d}", f"{value[4]:02d}:{value[5]:02d}:{value[6]:02d}"
    )


def _fields(data: bytes) -> Iterator[tuple[int, bytes, int | None]]:
    """Yield (tag, value, channel) of a file, channel definitions unfolded; ends at tag 80."""
    at = 0
    while at + 2 <= len(data) and data[at] != 0x80:
        tag = data[at]
        at += 1
        channel: int | None = None
        if tag == 0x3F:
            channel = 0
            while at < len(data) and data[at] & 0x80:
                channel = channel << 7 | data[at] & 0x7F
                at += 1
            channel = channel << 7 | (data[at] if at < len(data) else 0)
            at += 1
        if at >= len(data):
            return
        size = data[at]
        at += 1
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        value = data[at : at + size]
        if len(value) < size:
            raise InputError(f"tag {tag:02X} of {size} bytes, {len(value)} there", needed="a whole file")
        at += size
        if channel is None:
            yield tag, value, None
        else:
            for inner, body, _ in _fields(value):
                yield inner, body, channel


def _define(state: _State, tag: int, value: bytes, channel: int | None) -> None:
    order = "little" if state.order == "<" else "big"
    whole = int.from_bytes(value, order)  # type: ignore[arg-type]
    target = state.common if channel is None else state.own.setdefault(channel, _Channel())
    match tag:
        case 0x01:
            state.order = "<" if value[:1] == b"\1" else ">"
        case 0x04 if channel is not None:
            target.length = whole
        case 0x04:
            state.length = whole
        case 0x05:
            state.channels, state.own = whole, {}
        case 0x06:
            state.blocks = whole
        case 0x09:
            target.lead = int.from_bytes(value[:2], order)  # type: ignore[arg-type]
        case 0x0A:
            if value[:1] and value[0] not in _TYPES:
                raise InputError(f"MFER data type {value[0]}", needed=f"one of {sorted(_TYPES)}")
            target.kind = _TYPES[value[0]] if value else "i2"
        case 0x0B:
            unit, power, amount = _scaled(value, state.order)
            if unit > 1 or amount <= 0:
                raise InputError("a sampling that is neither in Hz nor in s", needed="time sampling")
            target.rate_hz = amount * 10.0**power if unit == 0 else 1 / (amount * 10.0**power)
        case 0x0C:
            unit, power, amount = _scaled(value, state.order)
            target.step_mV = amount * 10.0 ** (power + 3) if unit == 0 else None
        case 0x0D:
            target.offset = float(int.from_bytes(value, order, signed=True))  # type: ignore[arg-type]
        case 0x0E if whole:
            raise InputError("packed MFER samples", needed="plain ones", fix="export without compression")
        case 0x12:
            target.null = int.from_bytes(value, order, signed=True)  # type: ignore[arg-type]
        case 0x1E:
            state.waves.append(_wave(state, value))
        case _:
            state.words.setdefault(tag, value)


def _scaled(value: bytes, order: str) -> tuple[int, int, float]:
    if len(value) < 3:
        raise InputError(f"a scale of {len(value)} bytes", needed="unit, exponent and value")
    power = value[1] - 256 if value[1] > 127 else value[1]
    if abs(power) > 20:
        raise InputError(f"a scale of 10^{power}", needed="a power from -20 to 20")
    return value[0], power, float(int.from_bytes(value[2:], "little" if order == "<" else "big"))


def _wave(state: _State, data: bytes) -> Wave:
    """Return the channels of one frame; all must share rate and type."""
    if not 1 <= state.channels <= 256:
        raise InputError(f"{state.channels} channels", needed="1 to 256")
    channels = [_resolved(state.common, state.own.get(n, _Channel())) for n in range(state.channels)]
    rates = {c.rate_hz for c in channels}
    kinds = {c.kind for c in channels}
    lengths = {c.length for c in channels} - {None}
    if len(rates) != 1 or len(kinds) != 1 or lengths - {state.length}:
        raise InputError("channels of several rates or types", needed="one for all")
    rate, kind = channels[0].rate_hz, np.dtype(state.order + (channels[0].kind or "i2"))
    if rate is None or any(c.step_mV is None for c in channels):
        raise InputError(
            "channels without a rate or a scale in V", needed="tags 0B and 0C", fix="send ECG channels"
        )
    size = len(data) // kind.itemsize
    block = state.length or size // (state.channels * max(state.blocks, 1))
    if block < 1 or size < block * state.channels:
        raise InputError(
            f"{size} samples for blocks of {block} in {state.channels} channels", needed="one block"
        )
    blocks = size // (block * state.channels)
    raw = np.frombuffer(data, kind, blocks * block * state.channels).reshape(blocks, state.channels, block)
    samples = raw.transpose(1, 0, 2).reshape(state.channels, -1).astype(np.float64)
    check_wave(state.channels, samples.shape[1], rate)
    values = np.stack(
        [
            scaled(row, c.step_mV or 0.0, offset=c.offset or 0.0)
            for row, c in zip(samples, channels, strict=True)
        ]
    )
    for n, channel in enumerate(channels):
        if channel.null is not None:
            values[n][samples[n] == channel.null] = np.nan
    names = tuple(from_scp(c.lead) if c.lead else f"channel {n + 1}" for n, c in enumerate(channels))
    taken = len(state.waves)
    return Wave(
        f"rhythm {taken + 1}" if taken else "rhythm",
        Lazy.of(values),
        names,
        rate,
        tuple(abs(c.step_mV or 0.0) for c in channels),
    )


def _resolved(common: _Channel, own: _Channel) -> _Channel:
    def pick(name: str) -> object:
        mine = getattr(own, name)
        return getattr(common, name) if mine is None else mine

    return _Channel(**{name: pick(name) for name in _Channel.__slots__})  # type: ignore[arg-type]
