"""Both languages say the same things, and neither recommends or reassures."""

from __future__ import annotations

import re
import string

import pytest

from carna import codes
from carna.app import applications
from carna.codes import ecg_statements
from carna.errors import InputError
from carna.render.words import LANGUAGES, words


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_and_fields():
    en, zh = words("en"), words("zh")
    assert en.texts.keys() == zh.texts.keys()
    for key, text in en.texts.items():
        assert fields(text) == fields(zh.text(key)), key


def test_every_translated_concept_is_one_of_ours():
    known = {f"{c.scheme}:{c.value}" for c in (*codes.ALL.values(), *ecg_statements.every().values())}
    assert set(words("zh").concepts) <= known


@pytest.mark.parametrize("name", ["ecg_reading", "holter_reading"])
def test_all_that_is_said_of_an_electrocardiogram_has_a_chinese_name(name):
    app = applications()[name]
    said = (*app.gives, *app.may_give, *ecg_statements.every().values())
    assert not [c for c in said if f"{c.scheme}:{c.value}" not in words("zh").concepts]


def test_a_concept_without_a_word_is_read_in_english():
    assert words("zh").meaning(codes.VENTRICULAR_RATE) == "心室率"
    assert words("zh").meaning(codes.RAMUS) == codes.RAMUS.meaning


def test_units_are_written_as_doctors_do():
    assert words("en").unit("1") == "" and words("zh").unit("/min") == "次/分"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_recommends_or_reassures(language):
    forbidden = re.compile(r"\bnormal\b|\bsafe\b|excluded|recommend|needs a|建议|安全|排除|正常范围", re.I)
    for key, text in words(language).texts.items():
        assert not forbidden.search(text), key


def test_an_unknown_key_or_language_is_refused():
    with pytest.raises(InputError):
        words("en").text("no such key")
    with pytest.raises(InputError):
        words("fr")


@pytest.mark.parametrize("name", ["aneurysm_flow", "coronary_ffr", "renal_ffr"])
def test_all_that_is_said_of_vessels_has_a_chinese_name(name):
    app = applications()[name]
    said = (*app.gives, *app.may_give)
    assert not [c for c in said if f"{c.scheme}:{c.value}" not in words("zh").concepts]
