"""Findings as JSON: ``carna.findings/1``, canonical, with larger arrays as
``blobs/<sha256>.npy``.

This is the only complete round trip: whatever `Findings` can say comes back equal. The text is
canonical (sorted keys, shortest floats, UTF-8), so equal findings are equal bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from carna.codes import Concept
from carna.errors import ContractError, InputError
from carna.findings import items
from carna.findings.model import Findings, Input, Manifest, Review, sha256
from carna.space import Grid, Mesh, Surface, VesselTree

SCHEMA = "carna.findings/1"
# An array of no more values than this stands in the text itself.
INLINE = 64
# Every class that may appear in the file; a name that is not here is refused, never imported.
_CLASSES: dict[str, type] = {
    c.__name__: c
    for c in (
        *(items.Measurement, items.Region, items.Shape, items.Field, items.Curve, items.Events),
        *(items.Statement, items.Absent, items.Evidence, items.Segment),
        *(items.Sd, items.Interval, items.Samples, items.Unknown),
        *(Findings, Manifest, Input, Review, Grid, Surface, Mesh, VesselTree),
    )
}
# Fields that differ between two runs that say the same; they are in the file but in no UID.
_OF_THE_RUN = {"seconds", "started", "hardware", "packages", "time"}


def to_json(findings: Findings) -> tuple[str, dict[str, bytes]]:
    """Return the canonical text and the blobs it refers to, by sha256."""
    blobs: dict[str, bytes] = {}
    body = {"schema": SCHEMA, "uid": findings.uid, "findings": _encode(findings, blobs)}
    return _canonical(body), blobs


def from_json(text: str, blob: Callable[[str], bytes]) -> Findings:
    """Return the findings of a text; ``blob`` is asked for the bytes of each sha256.

    Raises
    ------
    InputError
        If the text is no findings, of a newer schema, or a blob is not what its name says.
    """
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"no JSON: {error}", needed=SCHEMA) from None
    schema = body.get("schema") if isinstance(body, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"a file of schema {schema!r}", needed=SCHEMA, fix="open it with the version of Carna it names"
        )
    try:
        found = _decode(body["findings"], blob)
    except (KeyError, TypeError, ValueError, ContractError) as error:
        raise InputError(f"damaged findings: {error}", needed=SCHEMA) from error
    if not isinstance(found, Findings):
        raise InputError(f"a {type(found).__name__} where findings should be", needed=SCHEMA)
    return found


def save(findings: Findings, folder: Path) -> Path:
    """Write ``findings.json`` and its blobs into a folder, each file whole; return the JSON's path."""
    text, blobs = to_json(findings)
    for digest, data in blobs.items():
        write_whole(folder / "blobs" / f"{digest}.npy", data)
    path = folder / "findings.json"
    write_whole(path, text.encode())
    return path


def load(path: Path) -> Findings:
    """Read ``findings.json``, or the folder it lies in."""
    path = path / "findings.json" if path.is_dir() else path
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", needed="a findings.json") from error

    def blob(digest: str) -> bytes:
        try:
            return (path.parent / "blobs" / f"{digest}.npy").read_bytes()
        except OSError as error:
            raise InputError(
                f"the array {digest} is missing beside {path}", fix="copy the folder blobs too"
            ) from error

    return from_json(text, blob)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a killed run leaves the whole of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def content_digest(findings: Findings) -> str:
    """Return the sha256 of what is said, without when and on which machine it was said."""
    return sha256(_canonical(_encode(findings, {}, skip=_OF_THE_RUN)).encode())


def _canonical(body: Any) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _encode(value: Any, blobs: dict[str, bytes], skip: frozenset[str] | set[str] = frozenset()) -> Any:
    """Return JSON of a value; default fields are written too, so that a reader needs no defaults."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Concept):
        return {"code": value.value, "scheme": value.scheme, "meaning": value.meaning}
    if isinstance(value, np.ndarray) and value.size <= INLINE:
        # JSON has no NaN: what is not known of an array, such as a segment not seen, is null, read as NaN.
        listed = value
        if value.dtype.kind == "f" and np.isnan(value).any():
            listed = value.astype(object)
            listed[np.isnan(value)] = None
        return {"array": listed.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)
        digest = sha256(buffer.getvalue())
        blobs[digest] = buffer.getvalue()
        return {"blob": digest, "shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, tuple | list):
        return [_encode(v, blobs, skip) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _encode(v, blobs, skip) for k, v in value.items()}
    if type(value).__name__ in _CLASSES:
        fields = [f.name for f in dataclasses.fields(value) if f.name not in skip]
        return {"@type": type(value).__name__, **{f: _encode(getattr(value, f), blobs, skip) for f in fields}}
    if isinstance(value, np.generic):
        return _encode(value.item(), blobs, skip)
    raise InputError(f"a {type(value).__name__} in findings", needed="one of the kinds of carna.findings")


def _decode(body: Any, blob: Callable[[str], bytes]) -> Any:
    """Return the value of some JSON: lists become tuples, tagged objects their class."""
    if isinstance(body, list):
        return tuple(_decode(v, blob) for v in body)
    if not isinstance(body, dict):
        return body
    if "@type" in body:
        name = body["@type"]
        if name not in _CLASSES:
            raise InputError(f"an unknown type {name!r}", needed=", ".join(sorted(_CLASSES)))
        return _CLASSES[name](**{k: _decode(v, blob) for k, v in body.items() if k != "@type"})
    if set(body) == {"code", "scheme", "meaning"}:
        return Concept(body["code"], body["scheme"], body["meaning"])
    if set(body) == {"array", "dtype"}:
        return np.array(body["array"], dtype=body["dtype"])
    if set(body) == {"blob", "shape", "dtype"}:
        data = blob(body["blob"])
        if sha256(data) != body["blob"]:
            raise InputError(
                f"the array {body['blob']} was changed", needed="the bytes its name is the hash of"
            )
        return np.load(io.BytesIO(data), allow_pickle=False)
    return {k: _decode(v, blob) for k, v in body.items()}
