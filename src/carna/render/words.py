"""Words: the texts of reports and pages in each language, from one source, ``carna/strings``.

A text is asked for by its key and filled in by ``str.format`` where it is used. A concept is
read by its code; where a language has no word for it, its English meaning stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, final, get_args

from carna.codes import Concept
from carna.errors import InputError

__all__ = ["LANGUAGES", "Language", "Words", "words"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The words of one language.

    Parameters
    ----------
    language : "en" or "zh"
    texts : mapping
        Key to text; a text may hold ``str.format`` fields.
    concepts : mapping
        ``scheme:value`` to the word of this language; empty for English.
    units : mapping
        UCUM unit to what a doctor of this language writes, where `carna.units.display` differs.
    """

    language: Language
    texts: Mapping[str, str]
    concepts: Mapping[str, str]
    units: Mapping[str, str]

    def text(self, key: str) -> str:
        """Return the text of a key.

        Raises
        ------
        InputError
            If there is no such key.
        """
        if key not in self.texts:
            raise InputError(f"no text {key!r} in {self.language}.json", needed="a key of carna/strings")
        return self.texts[key]

    def meaning(self, concept: Concept) -> str:
        """Return the word for a concept, its English meaning where this language has none."""
        return self.concepts.get(f"{concept.scheme}:{concept.value}", concept.meaning)

    def unit(self, unit: str) -> str:
        """Return a UCUM unit as a doctor writes it, "" for a pure number."""
        from carna.units import display

        return self.units.get(unit, display(unit))


@cache
def words(language: Language) -> Words:
    """Return the words of a language.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if language not in LANGUAGES:
        raise InputError(f"no language {language!r}", needed=f"one of {', '.join(LANGUAGES)}")
    body = json.loads((files("carna") / "strings" / f"{language}.json").read_text(encoding="utf-8"))
    return Words(
        language,
        MappingProxyType(body["texts"]),
        MappingProxyType(body["concepts"]),
        MappingProxyType(body["units"]),
    )
