"""Findings as a report on paper: one PDF, and the same inside a DICOM object for a PACS.

What a reader must know before any number stands in bands at the top: research use, synthetic,
preliminary. Then the values with their uncertainty and where they were seen, conclusions with their
rule, what could not be obtained and why, the pictures, the method and its sources. Every page ends with
the UID of the findings. The same findings are the same bytes: no clock, no chance.

Words come from `carna.render.words`. Text is set in DejaVu Sans, which is embedded; Chinese in STSong-Light,
one of the fonts every PDF reader brings for itself.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, assert_never, final
from xml.sax.saxutils import escape

from carna import codes
from carna.findings import (
    Absent,
    Curve,
    Events,
    Field,
    Findings,
    Item,
    Measurement,
    Region,
    Shape,
    Statement,
)
from carna.render import say
from carna.render.carries import left_out
from carna.render.dicom_common import algorithm, banner, begin, coded, examined
from carna.render.words import Language, Words, words

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from carna.case import Case
    from carna.study import Part, Study

__all__ = ["CARRIES", "to_encapsulated_pdf", "to_pdf"]

CARRIES: frozenset[type] = frozenset({Measurement, Statement, Absent})
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
NO_PICTURES: Mapping[str, bytes] = MappingProxyType({})
INK, GREY, LINE, BAND = "#1b2733", "#5b6875", "#c9d2da", "#f1f4f7"
WARNING, VIRTUAL = "#b45309", "#6d28d9"
# Points: A4 less margins of 18 mm.
PAGE, MARGIN = (595.28, 841.89), 51.0
WIDTH = PAGE[0] - 2 * MARGIN
# What reportlab leaves free inside its frame.
FRAME = 6.0
TALLEST_PICTURE = 230.0
# What is read line by line, and so may fill a page.
_LARGE, TALLEST_LARGE = frozenset({"median", "strips", "holter", "disclosure"}), 620.0
# The figures of carna.render.figures by the first word of their name; any other name is its own caption.
_CAPTIONS = {
    "ecg": "figure_ecg",
    "short-axis": "figure_montage",
    "long-axis": "figure_long_axis",
    "curve": "figure_curve",
    "tachogram": "figure_tachogram",
    "median": "figure_median",
    "strips": "figure_strips",
    "holter": "figure_holter",
    "disclosure": "figure_disclosure",
    "vessels": "figure_vessels",
    "pullback": "figure_pullback",
    "sac": "figure_sac",
    "twin": "figure_twin",
    "bullseye": "figure_bullseye",
}
# Runs that DejaVu Sans has no glyphs for: Chinese, its punctuation and full-width forms.
_CJK = re.compile(r"([\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]+)")


@final
@dataclass(frozen=True, slots=True)
class _Setter:
    """Sets text: the words of a language and the paragraph styles."""

    words: Words
    styles: Mapping[str, Any]

    def text(self, text: str, style: str = "cell") -> Any:
        """Return a paragraph; what is not ours can hold no markup."""
        from reportlab.platypus import Paragraph

        return Paragraph(_CJK.sub(r'<font name="STSong-Light">\1</font>', escape(text)), self.styles[style])

    def word(self, key: str, style: str = "cell") -> Any:
        """Return a paragraph of one of the words."""
        return self.text(self.words.text(key), style)


def to_pdf(
    findings: Findings,
    case: Case,
    language: Language = "en",
    pictures: Mapping[str, bytes] = NO_PICTURES,
) -> bytes:
    """Return some findings as a PDF report, A4.

    Parameters
    ----------
    findings : Findings
    case : Case
        Holds the study the findings are on.
    language : "en" or "zh"
    pictures : mapping of str to bytes
        Name to PNG, in the order they shall appear: those of `carna.render.figures`, or any other with
        its caption for a name.

    Raises
    ------
    RenderError
        If the case is of another patient, or does not hold the study.
    """
    study = examined(findings, case)
    _, pages = _build(findings, case, study, language, pictures, 0)
    data, _ = _build(findings, case, study, language, pictures, pages)
    return data


def to_encapsulated_pdf(
    findings: Findings,
    case: Case,
    language: Language = "en",
    pictures: Mapping[str, bytes] = NO_PICTURES,
) -> Dataset:
    """Return the PDF report as a DICOM object (Encapsulated PDF Storage); parameters as `to_pdf`."""
    return encapsulated(to_pdf(findings, case, language, pictures), findings, case, language)


def encapsulated(data: bytes, findings: Findings, case: Case, language: Language = "en") -> Dataset:
    """Return a DICOM object that holds the bytes of a PDF report made by `to_pdf`."""
    from pydicom.dataset import Dataset

    out = begin(
        findings, case, sop_class=ENCAPSULATED_PDF, modality="DOC", what=f"pdf/{language}", number=9003
    )
    out.ConversionType = "WSD"
    out.AcquisitionDateTime = ""
    out.BurnedInAnnotation = "YES"
    title = words(language).text("report")
    out.DocumentTitle = f"{banner(findings)} {title}: {findings.manifest.application}".strip()
    out.ConceptNameCodeSequence = [coded(codes.IMAGING_MEASUREMENT_REPORT)]
    out.MIMETypeOfEncapsulatedDocument = "application/pdf"
    out.EncapsulatedDocumentLength = len(data)
    out.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
    sources = {s.uid: s for p in _inputs(findings, case) for s in p.origin.sources if s.sop_class}
    if sources:
        out.SourceInstanceSequence = []
        for source in sources.values():
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class, source.uid
            out.SourceInstanceSequence.append(item)
    return out


def _inputs(findings: Findings, case: Case) -> list[Part]:
    """Return the parts the run read."""
    study = examined(findings, case)
    return [part for i in findings.manifest.inputs if (part := study.part(i.uid)) is not None]


def _build(
    findings: Findings,
    case: Case,
    study: Study,
    language: Language,
    pictures: Mapping[str, bytes],
    pages: int,
) -> tuple[bytes, int]:
    """Return the file and its number of pages; ``pages`` is what the footer says of it."""
    from reportlab.platypus import SimpleDocTemplate

    setter = _Setter(words(language), _styles())
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer,
        pagesize=PAGE,
        leftMargin=MARGIN - FRAME,
        rightMargin=MARGIN - FRAME,
        topMargin=40,
        bottomMargin=48,
        invariant=1,
        title=f"{setter.words.text('report')}: {findings.manifest.application}",
        author="Carna",
        subject=findings.uid,
        lang="zh-CN" if language == "zh" else "en",
    )
    footer = _footer(findings, setter, pages)
    story = [
        *_head(findings, case, study, setter),
        *_said(findings, study, setter),
        *_pictures(pictures, setter),
        *_method(findings, setter),
    ]
    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return buffer.getvalue(), int(document.page)


def _styles() -> dict[str, Any]:
    from pathlib import Path

    from matplotlib import get_data_path
    from reportlab.lib.colors import HexColor, white
    from reportlab.lib.enums import TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont

    fonts = Path(get_data_path()) / "fonts" / "ttf"
    registered = pdfmetrics.getRegisteredFontNames()
    for name, file in (("Carna", "DejaVuSans.ttf"), ("CarnaBold", "DejaVuSans-Bold.ttf")):
        if name not in registered:
            pdfmetrics.registerFont(TTFont(name, fonts / file))
    if "STSong-Light" not in registered:
        pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    ink, grey = HexColor(INK), HexColor(GREY)

    def style(name: str, size: float, colour: Any, font: str = "Carna", **more: Any) -> ParagraphStyle:
        return ParagraphStyle(
            name, fontName=font, fontSize=size, leading=1.35 * size, textColor=colour, **more
        )

    return {
        "title": style("title", 15, ink, "CarnaBold"),
        "under": style("under", 8, grey),
        "band": style("band", 8.5, white, "CarnaBold"),
        "section": style("section", 9, ink, "CarnaBold", spaceBefore=9, spaceAfter=3, keepWithNext=1),
        "cell": style("cell", 7.4, ink),
        "strong": style("strong", 7.4, ink, "CarnaBold"),
        "label": style("label", 6.8, grey),
        "small": style("small", 6.6, grey),
        "right": style("right", 6.6, grey, alignment=TA_RIGHT),
    }


def _head(findings: Findings, case: Case, study: Study, setter: _Setter) -> list[Any]:
    """Return title, bands, and whose findings they are."""
    from reportlab.platypus import Spacer

    said, manifest, patient = setter.words, findings.manifest, case.patient
    made = " · ".join(
        filter(None, (manifest.application, said.text("version").format(version=manifest.version)))
    )
    story: list[Any] = [setter.word("report", "title"), setter.text(made, "under"), Spacer(1, 5)]
    if not findings.validated:
        story += [_band(setter, said.text("research_use"), WARNING)]
    if findings.synthetic:
        story += [_band(setter, said.text("synthetic"), VIRTUAL)]
    story += [_band(setter, _status(findings, said), GREY if findings.status == "preliminary" else INK)]
    years = say.age(case, study)
    device = next((p.origin.device for p in study.parts if p.origin.device), "")
    born = patient.birth_date or said.text("unknown")
    if years is not None:
        born += f" ({said.text('years').format(years=years)})"
    facts = (
        ("name", patient.name.replace("^", " ").strip() or said.text("unknown")),
        ("study_date", study.time.replace("T", " ")[:16] or said.text("unknown")),
        ("patient_id", f"{patient.id} {f'({patient.issuer})' if patient.issuer else ''}".strip()),
        ("description", study.description or said.text("unknown")),
        ("birth_date", born),
        ("accession", study.accession or said.text("unknown")),
        ("sex", said.text(patient.sex or "unknown")),
        ("device", device or said.text("unknown")),
    )
    cells = [
        setter.word(key, "label") if n == 0 else setter.text(value) for key, value in facts for n in (0, 1)
    ]
    rows = [cells[i : i + 4] for i in range(0, len(cells), 4)]
    grid = _table(rows, (0.13, 0.35, 0.13, 0.39), header=False)
    return [*story, Spacer(1, 5), grid]


def _status(findings: Findings, said: Words) -> str:
    review = findings.review
    if review is None:
        text = said.text("preliminary")
    else:
        key = "final" if findings.status == "final" else "reviewed"
        text = said.text(key).format(author=review.author.replace("^", " "), time=review.time)
    return f"{text} {said.text('high_stakes')}" if findings.high_stakes else text


def _band(setter: _Setter, text: str, colour: str) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table

    return Table(
        [[setter.text(text, "band")]],
        colWidths=[WIDTH],
        style=[
            ("BACKGROUND", (0, 0), (-1, -1), HexColor(colour)),
            ("TOPPADDING", (0, 0), (-1, -1), 2.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
            ("LINEBELOW", (0, 0), (-1, -1), 1.5, HexColor("#ffffff")),
        ],
    )


def _table(rows: list[list[Any]], widths: tuple[float, ...], header: bool = True) -> Any:
    """Return a table whose columns take fractions of the width; the header repeats on each page."""
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table

    style: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 1.8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.2),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("LINEBELOW", (0, 0), (-1, -1), 0.35, HexColor(LINE)),
    ]
    if header:
        style.append(("BACKGROUND", (0, 0), (-1, 0), HexColor(BAND)))
    return Table(rows, colWidths=[w * WIDTH for w in widths], style=style, repeatRows=int(header))


def _said(findings: Findings, study: Study, setter: _Setter) -> list[Any]:
    """Return the tables of numbers, conclusions and absences."""
    numbers: list[list[Any]] = []
    conclusions: list[list[Any]] = []
    absences: list[list[Any]] = []
    for item in findings.items:
        match item:
            case Measurement():
                numbers.append(_number(item, study, setter))
            case Statement():
                conclusions.append(_conclusion(item, study, setter))
            case Absent():
                absences.append([_name(item, setter), setter.text(item.why)])
            case Region() | Shape() | Field() | Curve() | Events():
                continue  # named under "left out"; a picture may show it
            case _:
                assert_never(item)
    story: list[Any] = []
    for title, columns, rows, widths in (
        ("measurements", ("quantity", "value", "uncertainty", "evidence"), numbers, (0.31, 0.14, 0.22, 0.33)),
        ("statements", ("statement", "verdict", "rule", "evidence"), conclusions, (0.24, 0.16, 0.32, 0.28)),
        ("absences", ("quantity", "why"), absences, (0.31, 0.69)),
    ):
        if rows:
            head = [setter.word(column, "label") for column in columns]
            story += [setter.word(title, "section"), _table([head, *rows], widths)]
    return story


def _name(item: Item, setter: _Setter) -> Any:
    name = say.name(item, setter.words)
    if item.site is not None:
        name += f" · {setter.words.meaning(item.site)}"
    return setter.text(name)


def _seen(item: Item, study: Study, setter: _Setter) -> Any:
    lines = [say.evidence(evidence, study, setter.words) for evidence in item.evidence]
    if item.of:
        lines.append(setter.words.text("derived_from").format(ids=", ".join(item.of)))
    return [setter.text(line, "small") for line in lines]


def _number(item: Measurement, study: Study, setter: _Setter) -> list[Any]:
    said = setter.words
    name = [_name(item, setter)]
    if item.method is not None:
        name.append(setter.text(f"{said.text('method')}: {said.meaning(item.method)}", "small"))
    value = f"{say.numbers((item.value,), say.spread(item.uncertainty))[0]} {said.unit(item.unit)}".strip()
    spread = say.uncertainty(item.uncertainty, said)
    return [name, setter.text(value, "strong"), setter.text(spread), _seen(item, study, setter)]


def _conclusion(item: Statement, study: Study, setter: _Setter) -> list[Any]:
    said = setter.words
    rule = [setter.text(item.rule)]
    if item.probability is not None:
        text = said.text("probability").format(p=item.probability, record=item.calibration)
        rule.append(setter.text(text, "small"))
    return [_name(item, setter), setter.word(item.verdict, "strong"), rule, _seen(item, study, setter)]


def _pictures(pictures: Mapping[str, bytes], setter: _Setter) -> list[Any]:
    from reportlab.lib.utils import ImageReader
    from reportlab.platypus import Image, KeepTogether

    story: list[Any] = []
    for name, png in pictures.items():
        across, down = ImageReader(io.BytesIO(png)).getSize()
        what = name.split(".", 1)[0]
        scale = min(WIDTH / across, (TALLEST_LARGE if what in _LARGE else TALLEST_PICTURE) / down)
        drawn = Image(io.BytesIO(png), across * scale, down * scale, hAlign="LEFT")
        key = _CAPTIONS.get(what)
        caption = setter.words.text(key) if key else name
        story.append(KeepTogether([setter.text(caption, "section"), drawn]))
    return story


def _method(findings: Findings, setter: _Setter) -> list[Any]:
    """Return how it was made, from which sources, and what is not shown."""
    from reportlab.platypus import KeepTogether

    said = setter.words
    name, version, parameters = algorithm(findings)
    rows = [[setter.word("application", "label"), setter.text(f"{name} {version}")]]
    if parameters:
        rows.append([setter.word("settings", "label"), setter.text("; ".join(parameters))])
    if findings.manifest.cites:
        rows.append([setter.word("sources", "label"), setter.text("; ".join(findings.manifest.cites))])
    missing = left_out(findings, CARRIES)
    if missing:
        text = f"{', '.join(missing)}. {said.text('complete')}"
        rows.append([setter.word("left_out", "label"), setter.text(text)])
    rows.append([setter.word("study_uid", "label"), setter.text(findings.study, "small")])
    if findings.parent:
        rows.append([setter.word("parent", "label"), setter.text(findings.parent, "small")])
    return [KeepTogether([setter.word("method", "section"), _table(rows, (0.15, 0.85), header=False)])]


def _footer(findings: Findings, setter: _Setter, pages: int) -> Any:
    uid = f"{setter.words.text('findings_uid')} {findings.uid}"

    def draw(canvas: Any, document: Any) -> None:
        page = setter.words.text("page_of").format(page=document.page, pages=pages)
        canvas.saveState()
        for text, style, left, wide in ((uid, "small", 0.0, 0.8), (page, "right", 0.8, 0.2)):
            line = setter.text(text, style)
            _, tall = line.wrap(wide * WIDTH, 40)
            line.drawOn(canvas, MARGIN + left * WIDTH, 30 - tall)
        canvas.setStrokeColor(LINE)
        canvas.setLineWidth(0.4)
        canvas.line(MARGIN, 36, PAGE[0] - MARGIN, 36)
        canvas.restoreState()

    return draw
