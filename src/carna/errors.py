"""Every error Carna raises itself, and the sentence each of them speaks.

::

    CarnaError               found, needed, fix
      InputError             a file, an array or an argument is not usable as it is
      SolverError            a solver can't go on: an unstable step, no convergence, not a number
      UnitError              a unit is unknown, or two units do not convert
      FrameError             two things lie in different frames of reference
      NeedError              a case does not hold what an application needs
      SettingError           a setting is unknown, of the wrong kind or out of range
      ContractError          an application breaks its contract, or an item is no finding (a bug)
      RenderError            findings cannot be rendered in the format asked for
      Cancelled              the run was cancelled from outside

A ``CarnaError`` says what was found, what was needed and how to mend it; all three are
attributes, so the command line, the page and the JSON print the same words.
"""

from __future__ import annotations


class CarnaError(Exception):
    """What was found, what was needed, and the fix, as one sentence."""

    def __init__(self, found: str, *, needed: str = "", fix: str = "") -> None:
        self.found = found
        self.needed = needed
        self.fix = fix
        tail = "".join(f"; {word}: {text}" for word, text in (("needed", needed), ("fix", fix)) if text)
        super().__init__(found + tail)


class InputError(CarnaError):
    """A file, an array or an argument is not usable as it is."""


class SolverError(CarnaError):
    """A solver can't give an answer it could stand by: an unstable step, no convergence, not a number."""


class UnitError(CarnaError):
    """A unit is unknown, or two units do not convert into each other."""


class FrameError(CarnaError):
    """Two things lie in different frames of reference."""


class NeedError(CarnaError):
    """A case does not hold what an application needs, or holds it twice."""


class SettingError(CarnaError):
    """A setting is unknown, of the wrong kind or out of range."""


class ContractError(CarnaError):
    """An application breaks the contract it declared, or makes an item that is no finding: a bug."""


class RenderError(CarnaError):
    """Findings cannot be rendered in the format asked for."""


class Cancelled(CarnaError):
    """The run was cancelled from outside."""

    def __init__(self) -> None:
        super().__init__("the run was cancelled")
