"""Text: what of it may stay.

Two ways. `safe` keeps only words that are known to name no one (the option Clean Descriptors): an unknown
word goes, whatever it is. `Known.scrub` is for text that the standard keeps: out of it goes what is known
of this patient (names in every order, Chinese names, numbers), and what is an identity wherever it stands:
Chinese identity and telephone numbers, e-mail addresses, names after a title or before one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from itertools import permutations
from typing import Final, final

HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff"
_HAN: Final = re.compile(f"[{HAN}]")
# Resident identity number, GB 11643-1999: province, place, birth date, order, check character (ISO 7064
# MOD 11-2). The form before 1999 has 15 digits, a birth year of two digits and no check.
_IDENTITY: Final = re.compile(r"(?<!\d)(\d{6})[ \-]?(\d{8})[ \-]?(\d{3}[\dXx])(?![\dA-Za-z])")
_IDENTITY_15: Final = re.compile(r"(?<!\d)(\d{6})(\d{6})(\d{3})(?!\d)")
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
# The first two digits are a province.
_PROVINCES: Final = frozenset((
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54,
    61, 62, 63, 64, 65, 71, 81, 82, 83,
))  # fmt: skip
_TELEPHONE: Final = re.compile(r"(?<!\d)(?:\+?86[ \-]?)?1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}(?!\d)")
_MAIL: Final = re.compile(r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+")
_TITLED: Final = re.compile(
    r"\b(?:Dr|Mr|Mrs|Ms|Prof|Herr|Frau)\b\.?\s+(?:[A-Z]\.\s*)*[A-Z][\w'\-]+(?:\s+[A-Z][\w'\-]+)?"
)
_LABELLED: Final = re.compile(
    "(姓名|患者|病人|病员|受检者|被检者|家属|联系人|医师|医生|技师|操作者|审核者|审核|报告者)"
    f"([:：][\\s]*|\\s+)[{HAN}]{{2,4}}"
)
_BEFORE_TITLE: Final = re.compile(
    "[赵钱孙李周吴郑王冯陈蒋沈韩杨朱秦许何吕张孔曹严金魏陶姜谢邹喻苏潘葛范彭郎鲁韦马苗方俞任袁柳唐罗薛雷贺汤"
    "殷毕郝安常于傅康余顾孟黄萧尹姚邵汪祁毛狄宋庞熊纪项董梁杜阮蓝贾江童颜郭梅林钟徐邱骆高夏蔡田樊胡霍万卢莫"
    f"房解丁邓洪包左石崔吉龚程邢裴陆荣翁段侯温武刘龙叶][{HAN}]{{0,2}}?(?=医生|医师|主任|教授|先生|女士|护士|大夫)"
)
_UNITS: Final = "mm|cm|m|ms|s|sec|min|h|hz|khz|mhz|kv|kvp|mv|uv|ma|mas|ml|mg|deg|d|t|th|x|ch|bpm|mmhg|kg|%"
_NUMBER: Final = re.compile(rf"\d{{1,4}}(?:[.,]\d{{1,3}})?(?:{_UNITS})|\d{{1,3}}(?:[.,]\d{{1,3}})?")
_DATE: Final = re.compile(r"\d{1,4}([.\-/年])\d{1,2}([.\-/月])\d{1,4}日?")
_PIECE: Final = re.compile(f"[{HAN}]+|[^\\W{HAN}_]+(?:[.,]\\d+)?[^\\W{HAN}_]*", re.UNICODE)


@final
@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one patient, ready to be looked for.

    Parameters
    ----------
    pattern : Pattern or None
        Everything that is known, longest first.
    raw : Pattern
        The same for bytes, and digits that may be an identity: a quick look whether `scrub` has work.
    """

    pattern: re.Pattern[str] | None
    raw: re.Pattern[bytes]

    def may_be_in(self, data: bytes) -> bool:
        """Whether ASCII bytes have to be looked at closely."""
        return self.raw.search(data) is not None

    def is_in(self, data: bytes) -> bool:
        """Whether bytes hold a name or a number that is known of the patient."""
        return self.pattern is not None and self.pattern.search(data.decode("latin-1")) is not None

    def scrub(self, text: str) -> str:
        """Return a text without what identifies."""
        plain = unicodedata.normalize("NFKC", text)
        clean = without_identities(plain)
        if self.pattern is not None:
            clean = self.pattern.sub("", clean)
        # A text with nothing in it stays as it was written, full-width letters and all.
        return text if clean == plain else " ".join(clean.split())


@lru_cache(maxsize=256)
def known(names: tuple[str, ...], numbers: tuple[str, ...]) -> Known:
    """Return what to look for: names in DICOM's writing (``Zhang^San=張^三``), and numbers as they are."""
    wanted = {w for name in names for group in name.split("=") for w in _spellings(group)}
    # A short number is in every text: it names no one alone.
    figures = {re.escape(n.strip()) for n in numbers if len(n.strip()) >= 4}
    found = sorted(wanted | figures, key=len, reverse=True)
    # A name ends where its letters end, a number where its digits do. Chinese has no such ends, and neither
    # have bytes of it that were read in another character set, as happens where a header names none.
    bounded = [
        rf"(?<!\d){w}(?!\d)" if w in figures else rf"(?<![^\W\d_]){w}(?![^\W\d_])" if w.isascii() else w
        for w in found
    ]
    pattern = re.compile("|".join(bounded), re.IGNORECASE) if bounded else None
    ascii_only = [w.encode() for w in found if w.isascii()]
    # Six digits in a row, a title, an at sign, or bytes that are no plain ASCII: worth a close look.
    always = [rb"\d{6}", rb"\d{4}[ \-]\d{4}", rb"@", rb"\b(?:Dr|Mr|Mrs|Ms|Prof|Herr|Frau)\b"]
    return Known(pattern, re.compile(b"|".join(ascii_only + always), re.IGNORECASE))


def _spellings(group: str) -> set[str]:
    """Return patterns for one writing of a name: whole, its parts, and the parts in every order."""
    parts = [p for p in re.split(r"[\^\s,]+", unicodedata.normalize("NFKC", group)) if p]
    if _HAN.search(group):
        whole = "".join(parts)
        return {re.escape(w) for w in (whole, *parts) if len(w) >= 2}
    alone = {re.escape(p) for p in parts if len(p.rstrip(".")) >= 3}
    # An initial counts beside a name, as in SmithJ.
    few = parts[:3] if alone else [p for p in parts[:3] if len(p) >= 2]
    orders = [p for n in range(2, len(few) + 1) for p in permutations(few, n)]
    return alone | {r"[\s^,._\-]*".join(map(re.escape, order)) for order in orders}


def without_identities(text: str) -> str:
    """Return a text without identity numbers, telephone numbers, addresses of mail, titled names."""
    text = _IDENTITY.sub(lambda m: "" if is_identity("".join(m.groups())) else m[0], text)
    text = _IDENTITY_15.sub(lambda m: "" if _old_identity(m) else m[0], text)
    text = _TELEPHONE.sub("", text)
    text = _MAIL.sub("", text)
    text = _TITLED.sub("", text)
    text = _LABELLED.sub(r"\1\2", text)
    return _BEFORE_TITLE.sub("", text)


def is_identity(number: str) -> bool:
    """Whether 18 characters are a Chinese resident identity number.

    One whose check character is right is; one that was mistyped still is if its province and its birth
    date exist.
    """
    number = number.upper()
    total = sum(w * int(d) for w, d in zip(_WEIGHTS, number[:17], strict=True))
    return number[17] == _CHECKS[total % 11] or (
        int(number[:2]) in _PROVINCES and _is_day(number[6:10], number[10:12], number[12:14])
    )


def _old_identity(found: re.Match[str]) -> bool:
    place, birth, _ = found.groups()
    return int(place[:2]) in _PROVINCES and _is_day("19" + birth[:2], birth[2:4], birth[4:])


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        return 1850 <= date(int(year), int(month), int(day)).year <= 2100
    except ValueError:
        return False


def safe(text: str) -> str:
    """Return the known-safe words and short numbers of a text, in their order.

    A number of more than three digits stays only with its unit; three numbers in a row are a date or a
    telephone number more often than anything else, and go.
    """
    kept: list[str] = []
    bare = 0
    for found in _PIECE.finditer(_DATE.sub(" ", unicodedata.normalize("NFKC", text))):
        piece = found[0]
        bare = bare + 1 if piece[0].isdigit() and piece[-1].isdigit() else 0
        if _HAN.match(piece):
            kept.extend(_known_han(piece))
        elif bare == 3:
            del kept[-2:]
        elif bare < 3 and (piece.lower() in _words() or _NUMBER.fullmatch(piece.lower())):
            kept.append(piece)
    return " ".join(kept)


def _known_han(text: str) -> list[str]:
    """Return the known terms of a run of Chinese characters, the longest first at each place."""
    terms, longest = _words(), 8
    kept: list[str] = []
    at = 0
    while at < len(text):
        size = next((n for n in range(min(longest, len(text) - at), 1, -1) if text[at : at + n] in terms), 0)
        if size:
            kept.append(text[at : at + size])
        at += size or 1
    return kept


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    text = (files("carna.doors.deidentify") / "tables" / "words.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
