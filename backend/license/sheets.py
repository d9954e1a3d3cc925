"""A CSV or XLSX file → its heading and its rows, as text with the places where they stand.

What a file is, is told by its content, never by its name. Cells come out the same from both kinds: an XLSX number as a
spreadsheet shows it, so that nothing after this module meets a float.
"""

import codecs
import csv
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Literal

import openpyxl

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_UNPACKED_BYTES = 1024 * 1024 * 1024
"""Of an XLSX file, which is a ZIP archive: a small one can unpack to anything."""
MAX_ROWS = 200_000
MAX_COLUMNS = 64
MAX_SPREADSHEET_ROWS = 1_048_576

Unit = Literal["line", "row"]

_SAVE_AS = "save it as CSV (UTF-8) or XLSX and load that"
_FOREIGN_FORMATS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook (XLS), or one with a password"),
    (b"%PDF", "is a PDF document"),
    (b"{\\rtf", "is a word processor's document (RTF)"),
    (b"\x1f\x8b", "is a compressed file (GZIP)"),
)
_ZIP = b"PK\x03\x04"
_DELIMITERS = ",;\t"
_EXCEL_DELIMITER_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
# Binary fractions leave traces in the 16th and 17th digit (33.300000000000004); a spreadsheet itself shows 15.
_AS_SHOWN = Context(prec=15)
# In a number format a percent sign multiplies by 100, unless it is quoted or escaped.
_LITERALS_OF_A_FORMAT = re.compile(r'"[^"]*"|\\.')


class UnreadableFileError(ValueError):
    """The whole file is refused. The text is a predicate for people: what is wrong; what to do."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row that is not blank. `line` counts from 1, as editors and spreadsheets do; a CSV row may span several."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A heading and at least one row below it. Cells are cleaned; `unit` is what `line` counts in this file."""

    file: str
    unit: Unit
    heading: SheetRow
    rows: tuple[SheetRow, ...]
    notes: tuple[str, ...] = ()


def read_sheet(path: Path) -> Sheet:
    """The sheet in a file: of an XLSX file its first worksheet.

    Raises UnreadableFileError for anything that is not a sheet, and for too much of it.
    """
    data = _read_bytes(path)
    for beginning, what in _FOREIGN_FORMATS:
        if data.startswith(beginning):
            raise UnreadableFileError(f"{what}; {_SAVE_AS}")
    notes: tuple[str, ...] = ()
    if data.startswith(_ZIP):
        unit: Unit = "row"
        rows, notes = _read_xlsx(data)
    else:
        unit = "line"
        rows = _read_csv(_decode(data))
    if not rows:
        raise UnreadableFileError("is empty; its first row must name the columns")
    if len(rows) == 1:
        raise UnreadableFileError("has no rows below its heading")
    return Sheet(path.name, unit, rows[0], tuple(rows[1:]), notes)


def clean(raw: str) -> str:
    """The cell without invisible characters and outer spaces of any kind; runs of spaces inside become one."""
    if not raw.isascii() or not raw.isprintable():
        raw = "".join(c for c in raw if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return " ".join(raw.split())


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UnreadableFileError("is a folder; name a file in it")
    try:
        # read, not asked for its size: that of a pipe is 0
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableFileError("does not exist; check its name") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableFileError(f"cannot be read ({reason})") from None
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFileError(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MB; split it")
    return data


def _gather(rows: Iterator[SheetRow]) -> list[SheetRow]:
    """The rows that are not blank, the heading first."""
    gathered: list[SheetRow] = []
    for row in rows:
        if any(row.cells):
            if len(gathered) > MAX_ROWS:
                raise UnreadableFileError(f"has more than {MAX_ROWS:,} rows; split it")
            gathered.append(row)
    return gathered


def _decode(data: bytes) -> str:
    """Text of UTF-8, of UTF-16 with a byte-order mark, or else of Windows-1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise UnreadableFileError(f"is neither CSV nor XLSX; {_SAVE_AS}")
    return text


def _read_csv(text: str) -> list[SheetRow]:
    first, _, rest = text.partition("\n")
    named = _EXCEL_DELIMITER_LINE.fullmatch(first.strip(" \r"))
    if named:
        return _gather(_csv_rows(rest, named[1], lines_before=1))
    # the heading decides: what splits it into most cells separates those of all rows; of equals, the comma
    return _gather(_csv_rows(text, max(_DELIMITERS, key=lambda delimiter: _heading_width(text, delimiter))))


def _heading_width(text: str, delimiter: str) -> int:
    try:
        rows = _csv_rows(text, delimiter)
        return next((len(row.cells) for row in rows if any(cell.strip(_DELIMITERS) for cell in row.cells)), 0)
    except UnreadableFileError:
        return 0


def _csv_rows(text: str, delimiter: str, lines_before: int = 0) -> Iterator[SheetRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1 + lines_before
        try:
            cells = next(reader, None)
        except csv.Error:
            # also a cell beyond the module's own limit: most often the rest of the file, after a lost quotation mark
            raise UnreadableFileError(
                f"has a quotation mark out of place in the row that begins in line {line}; a quoted cell ends with a "
                'quotation mark, and one inside of it is written twice ("")'
            ) from None
        if cells is None:
            return
        yield SheetRow(line, tuple(map(clean, cells)))


def _read_xlsx(data: bytes) -> tuple[list[SheetRow], tuple[str, ...]]:
    try:
        _refuse_other_archives(data)
        with warnings.catch_warnings():
            # openpyxl warns of extensions that it leaves out: nothing that a cell says
            warnings.simplefilter("ignore")
            return _read_workbook(data)
    except UnreadableFileError:
        raise
    except Exception as error:  # whatever a broken workbook makes of somebody else's parser, it is a broken workbook
        raise UnreadableFileError(f"is a damaged Excel workbook ({type(error).__name__}); {_SAVE_AS}") from error


def _refuse_other_archives(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        is_workbook = any(name.startswith("xl/workbook") for name in archive.namelist())
    if not is_workbook:
        raise UnreadableFileError(f"is a ZIP archive, but not an Excel workbook (XLSX); {_SAVE_AS}")
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnreadableFileError(f"unpacks to more than {MAX_UNPACKED_BYTES // 1024 // 1024} MB; split it")


def _read_workbook(data: bytes) -> tuple[list[SheetRow], tuple[str, ...]]:
    workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        if not workbook.worksheets:
            raise UnreadableFileError("is a workbook without a worksheet")
        worksheet = workbook.worksheets[0]
        # the size that a worksheet says it has is sometimes wrong: ours are given
        rows = _gather(
            SheetRow(line, tuple(_shown(cell) for cell in cells))
            for line, cells in enumerate(
                worksheet.iter_rows(max_row=MAX_SPREADSHEET_ROWS, max_col=MAX_COLUMNS), start=1
            )
        )
        others = len(workbook.worksheets) - 1
        note = f"only the first worksheet, {worksheet.title!r}, is read, not the {others} behind it"
        return [_without_blanks_at_the_end(row) for row in rows], (note,) if others else ()
    finally:
        workbook.close()


def _without_blanks_at_the_end(row: SheetRow) -> SheetRow:
    width = max(n for n, cell in enumerate(row.cells, start=1) if cell)
    return SheetRow(row.line, row.cells[:width])


def _shown(cell: object) -> str:
    """A cell of a workbook as text: numbers as the spreadsheet shows them, in plain digits.

    XLSX keeps every number as a binary fraction. repr() gives the shortest decimal that is this fraction, read as
    Decimal it is exact, and 15 digits of it are what was typed. A number of format `0%` is shown, and meant, times 100.
    """
    value = getattr(cell, "value", None)
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):  # not money: what openpyxl made of a cell
        number = _AS_SHOWN.create_decimal(repr(value))
        if not number.is_finite():
            return str(value)
        if "%" in _LITERALS_OF_A_FORMAT.sub("", str(getattr(cell, "number_format", "") or "")):
            return _plain(number * 100) + "%"
        return _plain(number)
    return clean(str(value))


def _plain(number: Decimal) -> str:
    """The number in digits, without an exponent or zeros that say nothing: 318034063.0 is 318034063."""
    digits = f"{number:f}"
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) or "0"
