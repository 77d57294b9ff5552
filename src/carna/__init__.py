"""Carna: hospital files in, findings with their evidence out.

>>> import carna
>>> reading = carna.read("study/")  # doctest: +SKIP
>>> findings = carna.run(carna.applications()["ecg_reading"], reading.cases[0], uid)  # doctest: +SKIP

Names are imported when first used, so ``import carna`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carna.app import Application as Application
    from carna.app import Job as Job
    from carna.app import application as application
    from carna.app import applications as applications
    from carna.app import ready as ready
    from carna.app import run as run
    from carna.case import Case as Case
    from carna.case import Reading as Reading
    from carna.doors import read as read
    from carna.findings import Findings as Findings
    from carna.study import Study as Study
    from carna.study import fingerprint as fingerprint

_HOME = {
    "Application": "carna.app",
    "Case": "carna.case",
    "Findings": "carna.findings",
    "Job": "carna.app",
    "Reading": "carna.case",
    "Study": "carna.study",
    "application": "carna.app",
    "applications": "carna.app",
    "fingerprint": "carna.study",
    "read": "carna.doors",
    "ready": "carna.app",
    "run": "carna.app",
}
__all__ = [*_HOME]  # noqa: PLE0604 - the names of the table
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'carna' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
