"""XLSX and CSV for people's own sheets: tables of text, exact numbers and dates, written row by row.

What somebody typed is never a formula. In a workbook a text is a text cell, of the format "text" too, so that it stays
one when somebody edits it; CSV knows no types, and there a text that looks like a formula gets an apostrophe before it.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from tempfile import TemporaryFile
from typing import IO, Any

import xlsxwriter

from license.clock import INDIA
from license.formats import day, safe_cell

Cell = str | Decimal | int | date | None

MAX_ROWS = 100_000
"""Of a sheet, below its heading. Excel has ten times as many, which would take minutes while somebody waits; XlsxWriter
passes over what comes later still, and says nothing."""
MAX_COLUMNS = 16_384
"""Of a sheet of Excel; XlsxWriter passes over further ones."""
MAX_TEXT = 32_767
"""Characters that a cell of Excel can hold."""
FIRST_YEAR = 1900
"""Excel knows no days before."""
BOM = "\ufeff"


def _indian(places: str) -> str:
    """A number format with groups of the Indian kind. It may tell three cases apart, so what is negative, or beyond
    99,99,99,999, is grouped less well."""
    return rf"[>=10000000]##\,##\,##\,##0{places};[>=100000]##\,##\,##0{places};#,##0{places}"


FORMATS = {"text": "@", "date": "dd mmm yyyy", "money": _indian(".00"), "quantity": _indian(".000"), "count": "0"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, what it holds (one of FORMATS), and how many characters wide it is shown."""

    heading: str
    holds: str = "text"
    width: int = 14


class Workbook:
    """An XLSX file that grows on disk, not in memory. `finish` gives it, to be read from its beginning."""

    def __init__(self) -> None:
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115  whoever sends it closes it
        self._book = xlsxwriter.Workbook(self._file, {"constant_memory": True})
        self.formats = {name: self._book.add_format({"num_format": code}) for name, code in FORMATS.items()}
        self.heading = self._book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})

    def table(self, name: str, columns: Sequence[Column], *, fixed: int = 1) -> "Table":
        """A new sheet with a heading; its first `fixed` columns and the heading stay in sight."""
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, fixed)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        for number, column in enumerate(columns):
            sheet.set_column(number, number, column.width)
            sheet.write_string(0, number, _readable(column.heading), self.heading)
        return Table(sheet, [self.formats[column.holds] for column in columns])

    def about(self, when: datetime, said: dict[str, str]) -> None:
        """A sheet that says as of when the workbook is, and what it was asked for."""
        table = self.table("About", (Column("What", width=18), Column("", width=60)))
        for what, is_so in {"As of": moment(when), **said}.items():
            table.add([what, is_so])

    def finish(self) -> IO[bytes]:
        self._book.close()
        self._file.seek(0)
        return self._file


class Table:
    """A sheet that takes rows, from top to bottom."""

    def __init__(self, sheet: Any, formats: list[Any]) -> None:
        self._sheet, self._formats, self._row = sheet, formats, 0

    def add(self, cells: Iterable[Cell]) -> None:
        """One row. Text is text; a day that Excel does not know is written as text too."""
        self._row += 1
        for number, (value, shown) in enumerate(zip(cells, self._formats, strict=True)):
            if isinstance(value, Decimal | int):
                self._sheet.write_number(self._row, number, value, shown)
            elif isinstance(value, date) and value.year >= FIRST_YEAR:
                self._sheet.write_datetime(self._row, number, value, shown)
            elif value is not None and value != "":
                text = day(value) if isinstance(value, date) else _readable(value)
                self._sheet.write_string(self._row, number, text, shown)

    def filtered(self) -> None:
        """The heading gets buttons to sort and filter by. To be called after the last row."""
        self._sheet.autofilter(0, 0, self._row, len(self._formats) - 1)


def moment(when: datetime) -> str:
    """22 Nov 2026 14:03:22 IST."""
    return f"{when.astimezone(INDIA):%d %b %Y %H:%M:%S} IST"


def _readable(text: str) -> str:
    """As a cell can hold it: for the two characters that XML has not stands another, and what is too long ends in three
    dots."""
    text = text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def csv_lines(columns: Sequence[Column], rows: Iterable[Iterable[Cell]]) -> Iterator[str]:
    """The lines of a CSV file in UTF-8, told by a byte-order mark: numbers without groups, dates as 2026-11-22."""
    writer = csv.writer(_Echo())
    yield BOM + writer.writerow([column.heading for column in columns])
    for row in rows:
        yield writer.writerow([safe_cell(cell) for cell in row])


class _Echo:
    """What the writer of the standard library writes to: it gives each line back."""

    def write(self, line: str) -> str:
        return line
