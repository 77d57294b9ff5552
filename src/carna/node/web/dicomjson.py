"""DICOM JSON (PS3.18 F): of the catalogue's rows, and of whole instances with their bulk data left out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

_NUMBERS: Final = frozenset({"IS", "US", "UL", "SS", "SL", "DS", "FL", "FD"})
_BULK_BYTES: Final = 1024  # a longer binary value is fetched by its own address


def of_row(row: Mapping[str, Any], url: str = "") -> dict[str, Any]:
    """Return an answer of the catalogue as DICOM JSON; ``url`` becomes its Retrieve URL."""
    found: dict[str, Any] = {}
    for keyword, value in row.items():
        tag, vr = _told(keyword)
        found[tag] = {"vr": vr} | _value(keyword, vr, value)
    if url:
        found["00081190"] = {"vr": "UR", "Value": [url]}
    return dict(sorted(found.items()))


def of_file(path: Path, url: str) -> bytes:
    """Return the metadata of an instance, gzipped JSON; bulk data are told by addresses under ``url``."""

    def elsewhere(element: DataElement) -> str:
        return f"{url}/bulkdata/{int(element.tag):08X}"

    ds = dcmread(path, defer_size=_BULK_BYTES, force=True)
    body = ds.to_json_dict(
        bulk_data_threshold=_BULK_BYTES, bulk_data_element_handler=elsewhere, suppress_invalid_tags=True
    )
    return gzip.compress(json.dumps(body, ensure_ascii=False).encode(), 1)


@cache
def _told(keyword: str) -> tuple[str, str]:
    tag = tag_for_keyword(keyword)
    assert tag is not None  # the catalogue's columns are named by keywords
    return f"{tag:08X}", dictionary_VR(tag)


def _value(keyword: str, vr: str, value: Any) -> dict[str, Any]:
    if value in (None, "") or (value == 0 and keyword in ("Rows", "Columns", "NumberOfFrames")):
        return {}
    if vr == "PN":
        groups = str(value).split("=")
        names = ("Alphabetic", "Ideographic", "Phonetic")
        return {"Value": [{n: g for n, g in zip(names, groups, strict=False) if g}]}
    if keyword == "ModalitiesInStudy":
        return {"Value": str(value).split("\\")}
    if vr in _NUMBERS:
        try:
            return {"Value": [float(value) if vr in ("DS", "FL", "FD") else int(value)]}
        except ValueError:
            return {}
    return {"Value": [value]}
