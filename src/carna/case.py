"""Case: one patient's studies and everything said of them. Reading: what came out of a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace

from carna.findings import Findings
from carna.study import Patient, Study

__all__ = ["Case", "Problem", "Reading"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that could not be read as it is: which file, what was found, what was needed, the fix."""

    file: str
    found: str
    needed: str = ""
    fix: str = ""

    def __str__(self) -> str:
        tail = "".join(
            f"; {word}: {text}" for word, text in (("needed", self.needed), ("fix", self.fix)) if text
        )
        return f"{self.file}: {self.found}{tail}"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One patient's studies and all findings on them, newest last."""

    patient: Patient
    studies: tuple[Study, ...] = ()
    findings: tuple[Findings, ...] = ()

    def study(self, uid: str) -> Study:
        """Return the study with this UID."""
        for study in self.studies:
            if study.uid == uid:
                return study
        raise KeyError(uid)

    def said_of(self, study: str) -> tuple[Findings, ...]:
        """Return the findings on one study."""
        return tuple(f for f in self.findings if f.study == study)

    def only(self, study: str) -> Case:
        """Return the case with one study and what was said of it."""
        return replace(self, studies=(self.study(study),), findings=self.said_of(study))

    def plus(self, *findings: Findings) -> Case:
        """Return the case with more findings on it."""
        return replace(self, findings=(*self.findings, *findings))


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Everything readable, read; the rest is a named problem."""

    cases: tuple[Case, ...] = ()
    problems: tuple[Problem, ...] = ()
