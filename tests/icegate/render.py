"""Writes made-up licenses as ICEGATE would print them: as CSV, as printed text over several pages, as a web page.

It is written from the description of the format and shares no code with the parser. A `Mess` says how untidy the file
is.
"""

import csv
import html
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Literal

Row = list[str]
Separators = Literal["none", "western", "indian"]

ZERO = Decimal(0)


@dataclass(frozen=True)
class Item:
    """An import item as authorised."""

    serial_number: int
    quantity: Decimal
    cif_fc: Decimal = ZERO
    cif_inr: Decimal = ZERO


@dataclass(frozen=True)
class Bill:
    """What one bill of entry used of one item."""

    serial_number: int
    number: str
    date: date
    port_code: str
    quantity: Decimal
    cif_fc: Decimal
    cif_inr: Decimal = ZERO
    type: str = "E"


@dataclass(frozen=True)
class License:
    """A license and what was imported on it. `printed_on` is only shown where there is page furniture."""

    number: str
    date: date
    iec: str
    cif_fc: Decimal
    cif_inr: Decimal
    items: tuple[Item, ...]
    bills: tuple[Bill, ...] = ()
    registration_number: str = ""
    registration_date: date | None = None
    scheme_code: str = "26"
    notification_number: str = "025/2023"
    currency: str = "USD"
    port_code: str = "INNSA1"
    printed_on: date | None = None
    has_balances: bool = True

    @property
    def quantity(self) -> Decimal:
        return sum((item.quantity for item in self.items), ZERO)

    @property
    def balance_cif_fc(self) -> Decimal:
        """As customs prints it: a whole number, cut off and not rounded, negative when overdrawn."""
        return (self.cif_fc - sum((bill.cif_fc for bill in self.bills), ZERO)).quantize(Decimal(1), rounding=ROUND_DOWN)


@dataclass(frozen=True)
class Mess:
    """How untidy a file is. The default is a tidy one."""

    encoding: Literal["utf-8", "utf-8-sig", "utf-16", "cp1252"] = "utf-8"
    line_end: str = "\n"
    value_prefix: str = ""  # ": " in printed versions
    padding: str = ""  # around every cell: " ", or a no-break space
    separators: Separators = "none"
    is_every_cell_quoted: bool = False
    is_two_digit_year: bool = False
    date_separator: str = "/"
    has_lost_zeros: bool = False  # of license numbers, registration numbers, IECs, scheme codes
    are_codes_formulas: bool = False  # ="0318034063"
    are_bills_split: bool = False  # one line with the value, one with the quantity
    rows_per_page: int = 0  # 0: one page for each license
    is_header_on_every_page: bool = False
    is_html_on_one_line: bool = False
    are_tags_left_open: bool = False


def csv_file(licenses: Iterable[License], mess: Mess = Mess()) -> bytes:
    """A CSV download: no page furniture, and no print date."""
    rows = [row for each in licenses for page in _pages(each, mess) for row in page]
    return encoded(separated(rows, ",", mess), mess)


def text_file(licenses: Iterable[License], mess: Mess = Mess()) -> bytes:
    """A printed ledger: tab-separated pages with furniture above and below."""
    return encoded(separated(_printed(licenses, mess), "\t", mess), mess)


def html_file(licenses: Iterable[License], mess: Mess = Mess()) -> bytes:
    """A web page: a table for the header lines of each page, one for the rest, paragraphs of furniture in between."""
    end = "" if mess.is_html_on_one_line else "\n"
    parts = ["<html><head><meta charset=windows-1252></head><body>"]
    for each in licenses:
        for number, page in enumerate(_pages(each, mess), start=1):
            parts.append(f"<p>Page No:-{number} Indian Customs EDI System – Imports</p>")
            parts += ["<table border=1>", *(_html_row(row, mess) for row in page), "</table>"]
            if each.printed_on:
                parts.append(f"<p>Printed By: .... <b>Dated:</b> {_date(each.printed_on, mess)} 15:22</p>")
    parts.append("</body></html>")
    return encoded(end.join(parts), mess)


def encoded(text: str, mess: Mess) -> bytes:
    """The bytes of a text whose lines end in a line feed."""
    return text.replace("\n", mess.line_end).encode(mess.encoding)


def separated(rows: Iterable[Row], separator: str, mess: Mess) -> str:
    """Rows as lines of text."""
    written = io.StringIO()
    quoting = csv.QUOTE_ALL if mess.is_every_cell_quoted else csv.QUOTE_MINIMAL
    csv.writer(written, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)
    return written.getvalue()


def _html_row(row: Row, mess: Mess) -> str:
    cells = [html.escape(cell).replace("\xa0", "&nbsp;") for cell in row]
    if mess.are_tags_left_open:
        return "<TR>" + "".join(f"<TD>{cell}" for cell in cells)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _printed(licenses: Iterable[License], mess: Mess) -> Iterator[Row]:
    page_number = 0
    for each in licenses:
        pages = _pages(each, mess)
        for number, page in enumerate(pages, start=1):
            page_number += 1
            yield _wide("")
            yield _wide(f"Page No:-{page_number}")
            yield _wide("Indian Customs EDI System - Imports V1.5")
            yield _wide("JNCH, NHAVA SHEVA, TAL:URAN (INNSA1)")
            yield _wide("Item Wise Ledger")
            yield from page
            is_last = number == len(pages)
            if is_last:
                yield _wide("Description of Transaction Types :")
                yield ["[E]->EDI", "", "", "[M]->Manual", *[""] * 6]
                yield ["[P]->EPCG", *[""] * 9]
            if each.printed_on:
                to_be_continued = "" if is_last else f"       Contd/..{page_number + 1}"
                yield _wide(f"Printed By: ........      Dated: {_date(each.printed_on, mess)} 15:22{to_be_continued}")
        yield _wide(f"Total Pages {len(pages)}")


def _wide(text: str) -> Row:
    return [text, *[""] * 9]


def _pages(each: License, mess: Mess) -> list[list[Row]]:
    header, body = _header(each, mess), list(_body(each, mess))
    size = mess.rows_per_page or len(body) or 1
    columns = [_dressed(cell, mess) for cell in _COLUMNS]
    pages = []
    for start in range(0, max(len(body), 1), size):
        top = header if start == 0 or mess.is_header_on_every_page else []
        pages.append([*top, columns, *body[start : start + size]])
    return pages


_COLUMNS = ["", "Sr.No", "Type", "CIF-INR", "CIF-FC", "Qty", "Duty", "BE/RA No", "BE/RA Date", "BE-SiteId"]


def _header(each: License, mess: Mess) -> list[Row]:
    quantity = _number(each.quantity, 3, mess)
    registered = "" if each.registration_date is None else _date(each.registration_date, mess)
    lines = (
        {
            "Regn.No.": _code(each.registration_number, mess),
            "Regn.Date": registered,
            "Lic.No.": _code(each.number, mess),
            "Lic.Date": _date(each.date, mess),
        },
        {"RA No.": "", "RA Date": "", "Iss.CH.": each.port_code, "Recv.CH": ""},
        {
            "IEC": _code(each.iec, mess),
            "Schm.Cd.": _code(each.scheme_code, mess),
            "Notifcn.": each.notification_number,
            "Frgn.Curr": each.currency,
        },
        {
            "Tot.Duty": "0",
            "CIF-INR.": _number(each.cif_inr, 2, mess),
            "Tot.Qty.": quantity,
            "CIF-FC": _number(each.cif_fc, 2, mess),
        },
    )
    balances = {"Bal.Duty": "0", "Bal.CIF-INR": "0", "Bal.Qty.": "0", "Bal.CIF-FC": f"{each.balance_cif_fc}"}
    return [
        [
            *(_dressed(cell, mess) for name, value in line.items() for cell in (name, mess.value_prefix + value)),
            *["", ""],
        ]
        for line in (*lines, *([balances] if each.has_balances else []))
    ]


def _body(each: License, mess: Mess) -> Iterator[Row]:
    """Items in text order (1, 10, 2 …), each with its bills."""
    for item in sorted(each.items, key=lambda item: str(item.serial_number)):
        amounts = [_amount(item.cif_inr, 2, mess), _amount(item.cif_fc, 2, mess), _amount(item.quantity, 3, mess)]
        yield _line("Credit-", str(item.serial_number), "D", *amounts, mess=mess)
        bills = [bill for bill in each.bills if bill.serial_number == item.serial_number]
        if bills:
            yield [mess.padding, *[""] * 9]
        for bill in bills:
            value = [_amount(bill.cif_inr, 2, mess), _amount(bill.cif_fc, 2, mess)]
            quantity = _amount(bill.quantity, 3, mess)
            for cells in ([*value, ""], ["", "", quantity]) if mess.are_bills_split else ([*value, quantity],):
                of_bill = ["", bill.number, _date(bill.date, mess), bill.port_code]
                yield _line("Debit-", str(bill.serial_number), bill.type, *cells, *of_bill, mess=mess)


def _line(*cells: str, mess: Mess) -> Row:
    return [_dressed(cell, mess) for cell in (*cells, *[""] * (10 - len(cells)))]


def _dressed(cell: str, mess: Mess) -> str:
    return mess.padding + cell + mess.padding


def _code(code: str, mess: Mess) -> str:
    if mess.has_lost_zeros and code.isdigit():
        code = code.lstrip("0")
    return f'="{code}"' if mess.are_codes_formulas and code else code


def _date(day: date, mess: Mess) -> str:
    year = f"{day:%y}" if mess.is_two_digit_year else f"{day:%Y}"
    return mess.date_separator.join([f"{day:%d}", f"{day:%m}", year])


def _amount(value: Decimal, decimals: int, mess: Mess) -> str:
    """Ledgers leave a cell empty where there is nothing."""
    return _number(value, decimals, mess) if value else ""


def _number(value: Decimal, decimals: int, mess: Mess) -> str:
    whole, _, fraction = f"{value:.{decimals}f}".partition(".")
    if mess.separators == "western":
        whole = f"{int(whole):,}"
    elif mess.separators == "indian":
        whole = _in_lakhs(whole)
    fraction = fraction.rstrip("0")  # as the real ones do: 3548.6
    return f"{whole}.{fraction}" if fraction else whole


def _in_lakhs(whole: str) -> str:
    """1113026 → 11,13,026."""
    groups, rest = [whole[-3:]], whole[:-3]
    while rest:
        groups.insert(0, rest[-2:])
        rest = rest[:-2]
    return ",".join(groups)
