"""Who may call, which presentation contexts are accepted, who may ask whom (DICOM PS3.7 D.3, PS3.8 7.1).

Every abstract syntax that is not known to be something else is taken as a storage class: waveforms, slides,
reports, what a vendor made and what the standard will bring. Its transfer syntax is the first that the sender
names, because that is how it has the objects; only where that is implicit little endian and explicit is
offered too, explicit is taken: it keeps the types of private elements.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from carna.node.dimse.exchange import Context
from carna.node.dimse.keeper import SERVICES, Keeper, Service
from carna.node.dimse.pdu import (
    ACCEPTED,
    APPLICATION_CONTEXT,
    NO_ABSTRACT,
    NO_SYNTAX,
    USER_REJECTED,
    Answered,
    Associate,
    Proposed,
    Role,
    reject,
)

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2"
FIND, MOVE, GET = ".1", ".2", ".3"  # below either root

_KNOWN: Final[dict[str, Service]] = {
    VERIFICATION: "echo",
    COMMITMENT: "commit",
    PATIENT_ROOT + FIND: "find",
    STUDY_ROOT + FIND: "find",
    PATIENT_ROOT + MOVE: "move",
    STUDY_ROOT + MOVE: "move",
    PATIENT_ROOT + GET: "get",
    STUDY_ROOT + GET: "get",
}
_STANDARD: Final = "1.2.840.10008."
_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)

# (result, source, reason) of PS3.8 table 9-21.
CALLER_UNKNOWN: Final = (1, 1, 3)
NO_APPLICATION_CONTEXT: Final = (1, 1, 2)
NO_PROTOCOL: Final = (1, 2, 2)
BUSY: Final = (2, 3, 2)  # transient: local limit exceeded


def service_of(abstract: str) -> Service | None:
    """Return the service that an abstract syntax belongs to, or None for one that is not offered.

    >>> service_of("1.2.840.10008.5.1.4.1.1.9.1.1"), service_of("1.3.12.2.1107.5.9.1")
    ('store', 'store')
    >>> service_of("1.2.840.10008.5.1.4.31") is None  # modality worklist
    True
    """
    from pydicom.uid import UID

    if abstract in _KNOWN:
        return _KNOWN[abstract]
    if not _UID.fullmatch(abstract):
        return None
    if abstract.startswith(_STANDARD):
        uid = UID(abstract)
        if uid.name == abstract:  # newer than the dictionary
            return "store"
        if uid.type != "SOP Class" or "Storage" not in uid.name:
            return None
        if "Commitment" in uid.name or "Directory" in uid.name:
            return None
    return "store"


def negotiate(
    request: Associate, keeper: Keeper, address: str, *, reports: bool, max_pdu: int
) -> tuple[Associate, dict[int, Context]] | bytes:
    """Answer an association request.

    Parameters
    ----------
    request : Associate
    keeper : Keeper
        Asked once for each service.
    address : str
        The caller's.
    reports : bool
        Whether reports of commitments that we asked for are taken.
    max_pdu : int
        What we take, bytes.

    Returns
    -------
    tuple or bytes
        The acceptance with its contexts, or an A-ASSOCIATE-RJ.
    """
    if not request.version & 1:
        return reject(*NO_PROTOCOL)
    if request.application != APPLICATION_CONTEXT:
        return reject(*NO_APPLICATION_CONTEXT)
    may = {s for s in SERVICES if keeper.allows(request.calling, request.called, address, s)}
    if not may:
        return reject(*CALLER_UNKNOWN)
    roles = {role.abstract: role for role in request.roles}
    answers: list[Answered] = []
    accepted: dict[int, Context] = {}
    told: dict[str, Role] = {}
    for one in request.contexts:
        assert isinstance(one, Proposed)  # read_associate gives these for a request
        role = roles.get(one.abstract, Role(one.abstract, True, False))
        context = _context(one, role, may, reports)
        if isinstance(context, int):
            answers.append(Answered(one.id, context, one.syntaxes[0]))
            continue
        accepted[one.id] = context
        answers.append(Answered(one.id, ACCEPTED, context.syntax))
        if one.abstract in roles:
            told[one.abstract] = Role(one.abstract, context.asked, context.asking)
    return Associate(request.called, request.calling, tuple(answers), tuple(told.values()), max_pdu), accepted


def _context(one: Proposed, role: Role, may: set[Service], reports: bool) -> Context | int:
    """Return the accepted context, or the result that refuses it."""
    service = service_of(one.abstract)
    if service is None:
        return NO_ABSTRACT
    syntax = _chosen(one.syntaxes, service)
    if syntax is None:
        return NO_SYNTAX
    asked = role.user and service in may
    # What the peer wants to be asked: to take the objects of its C-GET, or to report on our commitments.
    asking = role.provider and (
        (service == "store" and "get" in may) or (service == "commit" and "commit" in may and reports)
    )
    if not asked and not asking:
        return USER_REJECTED
    return Context(one.id, one.abstract, syntax, service, asked, asking)


def _chosen(syntaxes: Sequence[str], service: Service) -> str | None:
    if EXPLICIT in syntaxes and (service != "store" or syntaxes[0] == IMPLICIT):
        return EXPLICIT
    if service != "store":
        return IMPLICIT if IMPLICIT in syntaxes else None
    return syntaxes[0]
