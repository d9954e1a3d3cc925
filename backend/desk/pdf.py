"""What PDFs of the desk are made of: A4, one typeface with Latin and Devanagari, tables whose headings are repeated,
pages that are numbered part by part.

Whatever stands in the data is shown, up to MAX_TEXT: a character that the font has not by its code, as [U+0A95].
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import getFont, registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Table,
)

from license.formats import indian

FONTS = Path(__file__).parent / "fonts"
REGULAR, BOLD = "NotoSansDevanagari-Regular", "NotoSansDevanagari-Bold"
INK, FAINT, ACCENT, RULE, SOFT, BAD = map(HexColor, ("#1b1f24", "#59616c", "#0b5cad", "#dcdfe4", "#f4f5f7", "#b3261e"))
SIDE, TOP, BOTTOM = 15 * mm, 20 * mm, 18 * mm
WIDTH = A4[0] - 2 * SIDE
SIZE = 8
MAX_TEXT = 4_000
"""Characters of a text that are shown: about two pages of a column."""

BODY = ParagraphStyle("body", fontName=REGULAR, fontSize=SIZE, leading=11, textColor=INK)
SMALL = ParagraphStyle("small", BODY, fontSize=7, leading=9.5, textColor=FAINT)  # not money: points
LABEL = ParagraphStyle("label", BODY, textColor=FAINT)
STRONG = ParagraphStyle("strong", BODY, fontName=BOLD)
TITLE = ParagraphStyle("title", STRONG, fontSize=17, leading=22)
SUBTITLE = ParagraphStyle("subtitle", BODY, fontSize=10, leading=14, textColor=FAINT, spaceAfter=3 * mm)
SECTION = ParagraphStyle("section", STRONG, fontSize=11, leading=14, spaceBefore=7 * mm, spaceAfter=2 * mm)
HEAD = ParagraphStyle("head", SMALL)
HEAD_RIGHT = ParagraphStyle("head right", HEAD, alignment=TA_RIGHT)
NUMBER = ParagraphStyle("number", BODY, alignment=TA_RIGHT)
STRONG_NUMBER = ParagraphStyle("strong number", NUMBER, fontName=BOLD)
SMALL_NUMBER = ParagraphStyle("small number", SMALL, alignment=TA_RIGHT)
BAD_NUMBER = ParagraphStyle("bad number", SMALL_NUMBER, textColor=BAD)
FIGURE = ParagraphStyle("figure", STRONG, fontSize=12, leading=16)

Cell = str | Flowable | list[Flowable]
PADDING = 2 * mm
PLAIN: list[tuple[Any, ...]] = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
]
"""Of every table."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Pages that are numbered by themselves, with a bookmark."""

    name: str
    foot: str
    """At the foot of each page, to the left: as of when it is."""
    called: str
    """The same in the middle: what it is of."""
    story: list[Flowable]


def document(title: str, parts: Iterable[Part]) -> IO[bytes]:
    """One PDF, each part on pages of its own."""
    templates: list[PageTemplate] = []
    story: list[Flowable] = []
    for number, part in enumerate(parts):
        if templates:
            story += [NextPageTemplate(number), PageBreak()]
        templates.append(_pages(part, f"{number}"))
        story += part.story
    file = BytesIO()
    made = BaseDocTemplate(
        file, pagesize=A4, pageTemplates=templates, title=title, creator="License balances", lang="en-IN"
    )
    made.build(story, canvasmaker=_Numbered)
    file.seek(0)
    return file


@cache
def _characters() -> frozenset[int]:
    """What the fonts can show. They are there from the first call on."""
    for name in (REGULAR, BOLD):
        registerFont(TTFont(name, FONTS / f"{name}.ttf"))
    return frozenset(getFont(REGULAR).face.charToGlyph)  # type: ignore[attr-defined]  # of a TrueType font


# ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Numbered(Canvas):
    """Keeps its pages until the last is drawn: then it is known how many there are of each part."""

    part: Part

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802  reportlab's name
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]  # its stubs leave it out

    def save(self) -> None:
        totals = Counter(page["part"] for page in self._kept)
        drawn: Counter[Part] = Counter()
        for page in self._kept:
            self.__dict__.update(page)
            drawn[self.part] += 1
            self._foot(drawn[self.part], totals[self.part])
            super().showPage()
        super().save()

    def _foot(self, page: int, pages: int) -> None:
        self.setStrokeColor(RULE)
        self.line(SIDE, BOTTOM - 4 * mm, A4[0] - SIDE, BOTTOM - 4 * mm)
        for text, x, draw in (
            (shown(self.part.foot), SIDE, self.drawString),
            (shown(self.part.called), A4[0] / 2, self.drawCentredString),
            (f"Page {page} of {pages}", A4[0] - SIDE, self.drawRightString),
        ):
            self.setFont(REGULAR, SIZE - 1)
            self.setFillColor(FAINT)
            draw(x, BOTTOM - 8 * mm, text)


def _pages(part: Part, name: str) -> PageTemplate:
    """The pages of a part."""

    def begin(canvas: Any, _: object) -> None:
        if getattr(canvas, "part", None) is not part:
            canvas.bookmarkPage(name)
            canvas.addOutlineEntry(part.name, name)
        canvas.part = part

    frame = Frame(SIDE, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    return PageTemplate(id=name, frames=[frame], onPage=begin, pagesize=A4)


# ── Tables and words ──────────────────────────────────────────────────────────────────────────────────────────────────


def facts(said: list[tuple[str, str]], *, label_width: Any = 24 * mm) -> Table:
    """What something is, by label, in two columns. An odd one out leaves a gap."""
    cells = [[words(what, LABEL), words(is_so, BODY)] for what, is_so in said]
    cells += [[words("", LABEL), words("", BODY)]] * (len(cells) % 2)
    rows = [left + right for left, right in zip(cells[::2], cells[1::2], strict=True)]
    return Table(
        rows,
        [label_width, WIDTH / 2 + 14 * mm - label_width, 20 * mm, WIDTH / 2 - 34 * mm],
        style=[*PLAIN, ("TOPPADDING", (0, 0), (-1, -1), 1), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)],
    )


def listed(
    heads: list[str],
    rows: list[list[Cell]],
    widths: list[Any],
    styles: Iterable[tuple[Any, ...]] = (),
    *,
    repeated: int = 1,
) -> Table:
    """A table of which the heading, and so many rows in all, stand on each of its pages. ` >` after a heading: numbers.
    A row may be higher than a page."""
    heading = [words(head.removesuffix(" >"), HEAD_RIGHT if head.endswith(" >") else HEAD) for head in heads]
    return Table(
        [heading, *rows],
        widths,
        repeatRows=repeated,
        splitInRow=1,
        style=[
            *PLAIN,
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, FAINT),  # not money: points
            ("LINEBELOW", (0, 1), (-1, -1), 0.4, RULE),  # not money: points
            ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            *styles,
        ],
    )


def section(name: str) -> Iterator[Flowable]:
    """A heading, which begins a page rather than to end one."""
    yield CondPageBreak(40 * mm)
    yield words(name, SECTION)


def words(text: str, style: ParagraphStyle) -> Paragraph:
    """A paragraph, in which Devanagari is shaped."""
    text = shown(text)
    if any("\u0900" <= character <= "\u097f" for character in text):
        style = ParagraphStyle(f"{style.name} shaped", style, shaping=1)
    return Paragraph(escape(text).replace("\n", "<br/>"), style)


def fitted(number: str, style: ParagraphStyle, width: Any) -> Paragraph:
    """A number, perhaps with a unit, on one line, smaller where it would be wider than its column."""
    number = shown(number)
    needed = stringWidth(number, style.fontName, style.fontSize) + PADDING + 1
    if needed > width:
        style = ParagraphStyle(f"{style.name} smaller", style, fontSize=style.fontSize * width / needed)
    return Paragraph(escape(number), style)


def shown(text: str) -> str:
    """With a code for each character that the font has not. Of a text without end it says how much is left out."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]} … and {len(text) - MAX_TEXT} characters more"
    known = _characters()
    return "".join(
        character if ord(character) in known or character == "\n" else f"[U+{ord(character):04X}]"
        for character in text.expandtabs(1)
    )


def quantity(number: Decimal | None) -> str:
    """With all its places; a dash for none."""
    return "–" if number is None else indian(number, 3)
