"""Results: segmentations and reports that arrive become prior findings, never parts of a study.

A prior is named after its sender, ``prior: MAKER/ALGORITHM``. It is final only when the document
says that a named person verified it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from pydicom.uid import UID

from carna.case import Problem
from carna.doors.arrive import Arrival, Delivery
from carna.doors.dicom import report, segmentation
from carna.doors.dicom.header import BROKEN, Header, arrival, quiet
from carna.errors import InputError

SEGMENTATION: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
# Basic text to extensible reports; key object selections have the same tree and no result in it.
_REPORT_ROOT: Final = "1.2.840.10008.5.1.4.1.1.88."
_KEY_OBJECTS: Final = "1.2.840.10008.5.1.4.1.1.88.59"


def is_result(sop_class: str) -> bool:
    """Whether objects of this class are read here: segmentations and structured reports."""
    return sop_class in SEGMENTATION or (sop_class.startswith(_REPORT_ROOT) and sop_class != _KEY_OBJECTS)


def read(headers: Sequence[Header]) -> Delivery:
    """Return the findings in segmentations and structured reports.

    Parameters
    ----------
    headers : sequence of Header
        Of any class; what is no result becomes a problem that names it.

    Returns
    -------
    Delivery
        One `Findings` for each report and each segmentation; segmentations of one series that
        Carna wrote, one a moment, come back as one. Problems say what could not be carried.
    """
    with quiet():
        return _read(headers)


def _read(headers: Sequence[Header]) -> Delivery:
    arrivals: list[Arrival] = []
    problems: list[Problem] = []
    groups: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for header in headers:
        if header.sop_class in SEGMENTATION:
            groups[segmentation.belongs(header)].append(header)
        elif is_result(header.sop_class):
            groups["report", header.uid].append(header)
        else:
            name = UID(header.sop_class).name if header.sop_class else "DICOM object without a class"
            problems.append(Problem(header.name, f"a {name}", "a segmentation or a structured report"))
    for (kind, _), members in groups.items():
        name = members[0].name
        try:
            made = report.findings(members[0]) if kind == "report" else segmentation.findings(members)
        except InputError as error:
            problems.append(Problem(name, error.found, error.needed, error.fix))
            continue
        except BROKEN as error:
            problems.append(Problem(name, f"a damaged result: {error}", "an intact one", "send it again"))
            continue
        said, notes = made
        fix = "the rest was read; look at the report itself for this"
        problems += [Problem(name, note, "something findings can carry", fix) for note in notes]
        if said.items:
            arrivals.append(arrival(members[0].ds, findings=said))
        else:
            problems.append(
                Problem(
                    name, "a result that says nothing", "a number, a statement or a region", "leave it out"
                )
            )
    return Delivery(tuple(arrivals), tuple(problems))
