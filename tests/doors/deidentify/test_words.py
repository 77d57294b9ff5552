"""Text: what identifies goes, what is known to be harmless stays."""

from __future__ import annotations

import pytest

from carna.doors.deidentify.words import is_identity, known, safe

NOBODY = known((), ())
PATIENT = known(("Zhang^San Feng=張^三丰", "Li^Wei", "O'Neil^Mary^J"), ("MR-77123", "12"))


@pytest.mark.parametrize(
    "number, right",
    [
        ("11010519491231002X", True),  # the example of GB 11643 itself
        ("440524188001010014", True),
        ("110105194912310021", True),  # mistyped, and still somebody's
        ("123456789012345678", False),
        ("999999999999999999", False),
    ],
)
def test_identity_numbers(number, right):
    assert is_identity(number) is right


@pytest.mark.parametrize(
    "text",
    [
        "ID 11010519491231002X",
        "id:11010519491231002x,",
        "110105 19491231 002X",
        "身份证１１０１０５１９４９１２３１００２Ｘ",
        "old form 110105491231002",
        "tel 13812345678",
        "+86 138-1234-5678",
        "mail zhang.san@hospital.cn",
        "seen by Dr. A. Smith",
        "姓名:王小明",
        "患者 王小明 检查",
        "王主任会诊",
        "报告者：欧阳修",
    ],
)
def test_identities_go_wherever_they_stand(text):
    left = NOBODY.scrub(text)
    for piece in ("1101", "1949", "1381", "1234", "@", "Smith", "王", "小明", "欧阳", "１１"):
        assert piece not in left


@pytest.mark.parametrize(
    "text",
    [
        "Zhang San Feng",
        "zhang sanfeng",
        "ZHANG",
        "SanFeng^Zhang".replace("SanFeng", "San Feng"),
        "張三丰",
        "心脏 張三丰 复查",
        "三丰",
        "Li Wei",
        "wei li",
        "Mary O'Neil",
        "record MR-77123 x",
    ],
)
def test_what_is_known_of_the_patient_goes(text):
    left = PATIENT.scrub(text).lower()
    for piece in ("zhang", "張", "三丰", "wei", "o'neil", "mary", "77123"):
        assert piece not in left


@pytest.mark.parametrize(
    "text",
    [
        "Lead II",
        "T1 MOLLI 256x256",
        "1.2.840.10008.5.1.4.1.1.2",
        "series 12",
        "心脏短轴 电影",
        "ＳＡＸ",
        "Zhangjiajie scan",
    ],
)
def test_the_rest_stays_as_it_was_written(text):
    assert PATIENT.scrub(text) == text


def test_safe_words():
    assert safe("cine SAX 8mm Dr Schmidt 12/03/1957 heart Zhang 555 123 4567") == "cine SAX 8mm heart"
    assert safe("张三冠状动脉增强CT") == "冠状动脉 增强 CT"
    assert safe("tf2d14_retro_iPAT_SAX") == "retro SAX"
    assert safe("MRN 0012345 born 1957") == ""
    assert safe("12 03 57") == ""
