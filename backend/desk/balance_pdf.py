"""Balance sheets as PDF, to hand to a customer: A4, each license on pages of its own, numbered by license."""

from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from textwrap import shorten
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
    Spacer,
    Table,
)

from desk.balance_sheet import Sheet, remarks
from desk.statement import statement
from desk.workbook import moment
from ledger.explain import Explanation
from license.formats import day, indian

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


def as_pdf(sheets: Iterable[Sheet]) -> IO[bytes]:
    """One document, with a bookmark for each license. Whatever stands in the data is shown, up to MAX_TEXT: a
    character that the font has not by its code, as [U+0A95]."""
    templates: list[PageTemplate] = []
    story: list[Flowable] = []
    for number, sheet in enumerate(sheets):
        if templates:
            story += [NextPageTemplate(number), PageBreak()]
        templates.append(_pages(sheet, f"{number}"))
        story += _story(sheet)
    file = BytesIO()
    document = BaseDocTemplate(
        file, pagesize=A4, pageTemplates=templates, title="Balance sheet", creator="License balances", lang="en-IN"
    )
    document.build(story, canvasmaker=_Numbered)
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
    """Keeps its pages until the last is drawn: then it is known how many there are of each license."""

    sheet: Sheet

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802  reportlab's name
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]  # its stubs leave it out

    def save(self) -> None:
        totals = Counter(id(page["sheet"]) for page in self._kept)
        drawn: Counter[int] = Counter()
        for page in self._kept:
            self.__dict__.update(page)
            drawn[id(self.sheet)] += 1
            self._foot(drawn[id(self.sheet)], totals[id(self.sheet)])
            super().showPage()
        super().save()

    def _foot(self, page: int, pages: int) -> None:
        number = self.sheet.explained.license.license_number
        self.setStrokeColor(RULE)
        self.line(SIDE, BOTTOM - 4 * mm, A4[0] - SIDE, BOTTOM - 4 * mm)
        for text, x, draw in (
            (f"As of {moment(self.sheet.when)}", SIDE, self.drawString),
            (f"License {_shown(number)}", A4[0] / 2, self.drawCentredString),
            (f"Page {page} of {pages}", A4[0] - SIDE, self.drawRightString),
        ):
            self.setFont(REGULAR, SIZE - 1)
            self.setFillColor(FAINT)
            draw(x, BOTTOM - 8 * mm, text)


def _pages(sheet: Sheet, name: str) -> PageTemplate:
    """The pages of a license."""

    def begin(canvas: Any, _: object) -> None:
        if getattr(canvas, "sheet", None) is not sheet:
            canvas.bookmarkPage(name)
            canvas.addOutlineEntry(sheet.explained.license.license_number, name)
        canvas.sheet = sheet

    frame = Frame(SIDE, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    return PageTemplate(id=name, frames=[frame], onPage=begin, pagesize=A4)


# ── What stands on them ───────────────────────────────────────────────────────────────────────────────────────────────


def _story(sheet: Sheet) -> list[Flowable]:
    explained, license = sheet.explained, sheet.explained.license
    return [
        _words(f"License {license.license_number}", TITLE),
        _words(f"Balance sheet, as of {moment(sheet.when)}", SUBTITLE),
        _facts(explained),
        Spacer(0, 4 * mm),
        _figures(explained),
        *([Spacer(0, 3 * mm), _words(" ".join(remarks(explained)), STRONG)] if remarks(explained) else []),
        *_credits(explained),
        *_items(explained),
        *_movements(explained),
    ]


def _facts(explained: Explanation) -> Table:
    license = explained.license
    facts = [
        ("Exporter", str(license.exporter or "–")),
        ("Dated", day(license.license_date)),
        ("File number", license.file_number or "–"),
        ("Expires", day(license.license_expiry_date) if license.license_expiry_date else "–"),
        ("Notification", license.notification_number or "–"),
        ("Port", license.port.code if license.port else "–"),
        ("Purchase status", license.get_purchase_status_display()),
        ("Currency", license.currency),
    ]
    cells = [[_words(what, LABEL), _words(is_so, BODY)] for what, is_so in facts]
    rows = [left + right for left, right in zip(cells[::2], cells[1::2], strict=True)]
    return Table(
        rows,
        [24 * mm, WIDTH / 2 - 10 * mm, 20 * mm, WIDTH / 2 - 34 * mm],
        style=[*_PLAIN, ("TOPPADDING", (0, 0), (-1, -1), 1), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)],
    )


def _figures(explained: Explanation) -> Table:
    shown = [
        (f"Balance, {explained.license.currency}", explained.balance_cif),
        *([("Overdrawn", explained.overdrawn_cif)] if explained.overdrawn_cif else []),
        ("Credit", explained.credit_cif),
        ("Debited", explained.debited_cif),
        ("Allotted", explained.allotted_cif),
    ]
    width = WIDTH / len(shown)
    cells = [[_fitted(indian(amount), FIGURE, width - 4 * mm), _words(label, LABEL)] for label, amount in shown]
    return Table(
        [cells],
        [width] * len(shown),
        style=[
            ("BACKGROUND", (0, 0), (-1, -1), SOFT),
            ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
            ("LINEABOVE", (0, 0), (0, 0), 1.5, ACCENT),  # not money: points
            ("TOPPADDING", (0, 0), (-1, -1), 6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
        ],
    )


def _credits(explained: Explanation) -> Iterator[Flowable]:
    widths = [WIDTH - 100 * mm, 30 * mm, 35 * mm, 35 * mm]
    rows: list[list[Cell]] = [
        [
            _words(line.name, BODY),
            _words(line.source, BODY),
            _fitted(_quantity(line.quantity), NUMBER, widths[2]),
            _fitted(indian(line.cif_fc), NUMBER, widths[3]),
        ]
        for line in explained.credits
    ]
    yield from _section("Credits")
    if rows:
        yield _listed(["Export", "Source", "Net quantity >", f"CIF {explained.license.currency} >"], rows, widths)
    else:
        yield _words("Nothing has been credited yet.", LABEL)


def _items(explained: Explanation) -> Iterator[Flowable]:
    yield from _section("Items")
    if not explained.items:
        yield _words("This license has no import items.", LABEL)
        return
    widths = [9 * mm, WIDTH - 129 * mm, *[24 * mm] * 5]
    rows: list[list[Cell]] = []
    for item in explained.items:
        about = ", ".join(part for part in (item.hs_code and f"HS {item.hs_code}", item.unit) if part)
        over_quantity = [_fitted(f"overdrawn {_quantity(item.overdrawn_quantity)}", BAD_NUMBER, widths[5])]
        over_value = [_fitted(f"overdrawn {indian(item.overdrawn_value)}", BAD_NUMBER, widths[6])]
        rows.append([
            _words(f"{item.serial_number}", BODY),
            [_words(item.description or "–", BODY), *([_words(about, SMALL)] if about else []),
             _words(_sentence(item.rule), SMALL)],
            _fitted(_quantity(item.quantity), NUMBER, widths[2]),
            _used(item.debited_quantity, item.debited_value, widths[3]),
            _used(item.allotted_quantity, item.allotted_value, widths[4]),
            [_fitted(_quantity(item.available_quantity), STRONG_NUMBER, widths[5]),
             *(over_quantity if item.overdrawn_quantity else [])],
            [_fitted(indian(item.available_value), STRONG_NUMBER, widths[6]),
             *(over_value if item.overdrawn_value else [])],
        ])  # fmt: skip
    heads = [
        "No.",
        "Description, and by which rule the value is found",
        "Quantity >",
        "Debited,\nits value >",
        "Allotted,\nits value >",
        "Available\nquantity >",
        f"Available\nvalue {explained.license.currency} >",
    ]
    yield _listed(heads, rows, widths)
    yield Spacer(0, 1.5 * mm)  # not money: a length
    yield _words(
        "Values of several items may stand for the same money: together they never come to more than the balance.",
        SMALL,
    )


def _used(quantity: Decimal, value: Decimal, width: Any) -> Cell:
    """A quantity with its value below, or a dash for nothing."""
    if not (quantity or value):
        return _fitted("–", SMALL_NUMBER, width)
    return [_fitted(_quantity(quantity), NUMBER, width), _fitted(indian(value), SMALL_NUMBER, width)]


def _movements(explained: Explanation) -> Iterator[Flowable]:
    """Every bill of entry and open allotment, in the order of the statement: a table for each item."""
    yield from _section("Bills of entry and allotments, by item")
    entries = [(line, kind) for line, kind, _ in statement(explained) if kind != "credit"]
    if not entries:
        yield _words("Nothing has been debited or allotted yet.", LABEL)
    widths = [24 * mm, WIDTH - 114 * mm, 30 * mm, 30 * mm, 30 * mm]
    heads = ["Date", "Document", "Quantity >", f"Debited {explained.license.currency} >", "Allotted >"]
    for item in explained.items:
        of_item = [(line, kind) for line, kind in entries if line.serial_number == item.serial_number]
        if not of_item:
            continue
        name = f"Item {item.serial_number}: {shorten(item.description, 150, placeholder=' …')}"
        sums = [indian(value) if value else "" for value in (item.debited_value, item.allotted_value)]
        rows: list[list[Cell]] = [
            [_words(name, STRONG), "", "", *(_fitted(amount, STRONG_NUMBER, widths[3]) for amount in sums)]
        ]
        for line, kind in of_item:
            since = f" (not in customs' ledger of {day(line.disputed_since)})" if line.disputed_since else ""
            amounts = [indian(line.cif_fc) if kind == each else "" for each in ("debit", "allotment")]
            rows.append(
                [
                    _words(day(line.day) if line.day else "–", BODY),
                    _words(line.name + since, BODY),
                    _fitted(_quantity(line.quantity), NUMBER, widths[2]),
                    *(_fitted(amount, NUMBER, widths[3]) for amount in amounts),
                ]
            )
        yield CondPageBreak(25 * mm)
        yield _listed(
            heads, rows, widths, [("SPAN", (0, 1), (2, 1)), ("BACKGROUND", (0, 1), (-1, 1), SOFT)], repeated=2
        )
        yield Spacer(0, 4 * mm)


# ── Tables and words ──────────────────────────────────────────────────────────────────────────────────────────────────

_PLAIN: list[tuple[Any, ...]] = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
]


def _listed(
    heads: list[str],
    rows: list[list[Cell]],
    widths: list[Any],
    styles: Iterable[tuple[Any, ...]] = (),
    *,
    repeated: int = 1,
) -> Table:
    """A table of which the heading, and so many rows in all, stand on each of its pages. ` >` after a heading: numbers.
    A row may be higher than a page."""
    heading = [_words(head.removesuffix(" >"), HEAD_RIGHT if head.endswith(" >") else HEAD) for head in heads]
    return Table(
        [heading, *rows],
        widths,
        repeatRows=repeated,
        splitInRow=1,
        style=[
            *_PLAIN,
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, FAINT),  # not money: points
            ("LINEBELOW", (0, 1), (-1, -1), 0.4, RULE),  # not money: points
            ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            *styles,
        ],
    )


def _section(name: str) -> Iterator[Flowable]:
    """A heading, which begins a page rather than to end one."""
    yield CondPageBreak(40 * mm)
    yield _words(name, SECTION)


def _words(text: str, style: ParagraphStyle) -> Paragraph:
    """A paragraph, in which Devanagari is shaped."""
    shown = _shown(text)
    if any("\u0900" <= character <= "\u097f" for character in shown):
        style = ParagraphStyle(f"{style.name} shaped", style, shaping=1)
    return Paragraph(escape(shown).replace("\n", "<br/>"), style)


def _fitted(number: str, style: ParagraphStyle, width: Any) -> Paragraph:
    """A number on one line, smaller where it would be wider than its column."""
    needed = stringWidth(number, style.fontName, style.fontSize) + PADDING + 1
    if needed > width:
        style = ParagraphStyle(f"{style.name} smaller", style, fontSize=style.fontSize * width / needed)
    return Paragraph(number, style)


def _shown(text: str) -> str:
    """With a code for each character that the font has not. Of a text without end it says how much is left out."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]} … and {len(text) - MAX_TEXT} characters more"
    known = _characters()
    return "".join(
        character if ord(character) in known or character == "\n" else f"[U+{ord(character):04X}]"
        for character in text.expandtabs(1)
    )


def _quantity(number: Decimal | None) -> str:
    return "–" if number is None else indian(number, 3)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
