"""Balance sheets as PDF, to hand to a customer: A4, each license on pages of its own, numbered by license."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from textwrap import shorten
from typing import IO, Any

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Spacer, Table

from desk.balance_sheet import Sheet, remarks
from desk.pdf import (
    ACCENT,
    BAD_NUMBER,
    BODY,
    FIGURE,
    LABEL,
    NUMBER,
    SMALL,
    SMALL_NUMBER,
    SOFT,
    STRONG,
    STRONG_NUMBER,
    SUBTITLE,
    TITLE,
    WIDTH,
    Cell,
    Part,
    document,
    facts,
    fitted,
    listed,
    quantity,
    section,
    words,
)
from desk.statement import statement
from ledger.explain import Explanation
from license.formats import day, indian


def as_pdf(sheets: Iterable[Sheet]) -> IO[bytes]:
    """One document, with a bookmark for each license."""
    return document("Balance sheet", map(_part, sheets))


def _part(sheet: Sheet) -> Part:
    number = sheet.explained.license.license_number
    return Part(number, f"As of {sheet.as_of}", f"License {number}", _story(sheet))


def _story(sheet: Sheet) -> list[Flowable]:
    explained, license = sheet.explained, sheet.explained.license
    return [
        words(f"License {license.license_number}", TITLE),
        words(f"Balance sheet, as of {sheet.as_of}", SUBTITLE),
        _facts(explained),
        Spacer(0, 4 * mm),
        _figures(explained),
        *([Spacer(0, 3 * mm), words(" ".join(remarks(explained)), STRONG)] if remarks(explained) else []),
        *_credits(explained),
        *_items(explained),
        *_movements(explained),
    ]


def _facts(explained: Explanation) -> Table:
    license = explained.license
    return facts([
        ("Exporter", str(license.exporter or "–")),
        ("Dated", day(license.license_date)),
        ("File number", license.file_number or "–"),
        ("Expires", day(license.license_expiry_date) if license.license_expiry_date else "–"),
        ("Notification", license.notification_number or "–"),
        ("Port", license.port.code if license.port else "–"),
        ("Purchase status", license.get_purchase_status_display()),
        ("Currency", license.currency),
    ])  # fmt: skip


def _figures(explained: Explanation) -> Table:
    shown = [
        (f"Balance, {explained.license.currency}", explained.balance_cif),
        *([("Overdrawn", explained.overdrawn_cif)] if explained.overdrawn_cif else []),
        ("Credit", explained.credit_cif),
        ("Debited", explained.debited_cif),
        ("Allotted", explained.allotted_cif),
    ]
    width = WIDTH / len(shown)
    cells = [[fitted(indian(amount), FIGURE, width - 4 * mm), words(label, LABEL)] for label, amount in shown]
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
            words(line.name, BODY),
            words(line.source, BODY),
            fitted(quantity(line.quantity), NUMBER, widths[2]),
            fitted(indian(line.cif_fc), NUMBER, widths[3]),
        ]
        for line in explained.credits
    ]
    yield from section("Credits")
    if rows:
        yield listed(["Export", "Source", "Net quantity >", f"CIF {explained.license.currency} >"], rows, widths)
    else:
        yield words("Nothing has been credited yet.", LABEL)


def _items(explained: Explanation) -> Iterator[Flowable]:
    yield from section("Items")
    if not explained.items:
        yield words("This license has no import items.", LABEL)
        return
    widths = [9 * mm, WIDTH - 129 * mm, *[24 * mm] * 5]
    rows: list[list[Cell]] = []
    for item in explained.items:
        about = ", ".join(part for part in (item.hs_code and f"HS {item.hs_code}", item.unit) if part)
        over_quantity = [fitted(f"overdrawn {quantity(item.overdrawn_quantity)}", BAD_NUMBER, widths[5])]
        over_value = [fitted(f"overdrawn {indian(item.overdrawn_value)}", BAD_NUMBER, widths[6])]
        rows.append([
            words(f"{item.serial_number}", BODY),
            [words(item.description or "–", BODY), *([words(about, SMALL)] if about else []),
             words(_sentence(item.rule), SMALL)],
            fitted(quantity(item.quantity), NUMBER, widths[2]),
            _used(item.debited_quantity, item.debited_value, widths[3]),
            _used(item.allotted_quantity, item.allotted_value, widths[4]),
            [fitted(quantity(item.available_quantity), STRONG_NUMBER, widths[5]),
             *(over_quantity if item.overdrawn_quantity else [])],
            [fitted(indian(item.available_value), STRONG_NUMBER, widths[6]),
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
    yield listed(heads, rows, widths)
    yield Spacer(0, 1.5 * mm)  # not money: a length
    yield words(
        "Values of several items may stand for the same money: together they never come to more than the balance.",
        SMALL,
    )


def _used(amount: Decimal, value: Decimal, width: Any) -> Cell:
    """A quantity with its value below, or a dash for nothing."""
    if not (amount or value):
        return fitted("–", SMALL_NUMBER, width)
    return [fitted(quantity(amount), NUMBER, width), fitted(indian(value), SMALL_NUMBER, width)]


def _movements(explained: Explanation) -> Iterator[Flowable]:
    """Every bill of entry and open allotment, in the order of the statement: a table for each item."""
    yield from section("Bills of entry and allotments, by item")
    entries = [(line, kind) for line, kind, _ in statement(explained) if kind != "credit"]
    if not entries:
        yield words("Nothing has been debited or allotted yet.", LABEL)
    widths = [24 * mm, WIDTH - 114 * mm, 30 * mm, 30 * mm, 30 * mm]
    heads = ["Date", "Document", "Quantity >", f"Debited {explained.license.currency} >", "Allotted >"]
    for item in explained.items:
        of_item = [(line, kind) for line, kind in entries if line.serial_number == item.serial_number]
        if not of_item:
            continue
        name = f"Item {item.serial_number}: {shorten(item.description, 150, placeholder=' …')}"
        sums = [indian(value) if value else "" for value in (item.debited_value, item.allotted_value)]
        rows: list[list[Cell]] = [
            [words(name, STRONG), "", "", *(fitted(amount, STRONG_NUMBER, widths[3]) for amount in sums)]
        ]
        for line, kind in of_item:
            since = f" (not in customs' ledger of {day(line.disputed_since)})" if line.disputed_since else ""
            amounts = [indian(line.cif_fc) if kind == each else "" for each in ("debit", "allotment")]
            rows.append(
                [
                    words(day(line.day) if line.day else "–", BODY),
                    words(line.name + since, BODY),
                    fitted(quantity(line.quantity), NUMBER, widths[2]),
                    *(fitted(amount, NUMBER, widths[3]) for amount in amounts),
                ]
            )
        yield CondPageBreak(25 * mm)
        yield listed(heads, rows, widths, [("SPAN", (0, 1), (2, 1)), ("BACKGROUND", (0, 1), (-1, 1), SOFT)], repeated=2)
        yield Spacer(0, 4 * mm)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
