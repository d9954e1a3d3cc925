"""Bytes of a file → rows of cells with line numbers, whatever the encoding, the separator and the line endings.

What a file is, is told by its content, never by its name: traders rename.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ledger.icegate import html
from ledger.icegate.cells import Kind, clean, kind_of
from ledger.icegate.ledger import Unit

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_ROWS = 2_000_000

_SAVE_AS_CSV = "save it as CSV, tab-separated text or a web page, as ICEGATE offers it, and load that"
_FOREIGN_FORMATS = (
    (b"PK\x03\x04", "is an Excel workbook (XLSX) or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook (XLS)"),
    (b"%PDF", "is a PDF document"),
    (b"{\\rtf", "is a word processor's document (RTF)"),
    (b"\x1f\x8b", "is a compressed file (GZIP)"),
    (b"Rar!", "is a compressed file (RAR)"),
    (b"7z\xbc\xaf\x27\x1c", "is a compressed file (7Z)"),
)
# A web page shows itself early, but some carry a long style sheet first.
_HTML_WITHIN_CHARACTERS = 20_000
_HTML = re.compile(r"<(?:!doctype html|html|table|tr)\b", re.IGNORECASE)
_ANY_WORD = re.compile(r"[^\W_]")
_LINE_END = re.compile(r"\r\n|\n|\r")
_SEPARATOR = re.compile(r"[\t,]")
# A credit up to its quantity; what has fewer cells is prose with commas.
FEWEST_CELLS_OF_A_RECORD = 6


class UnreadableFileError(ValueError):
    """The whole file is refused. The text is a predicate for people: what is wrong; what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of text, one table row, or the text between two table rows of a web page.

    `cells` are cleaned. `kind` is None for page furniture. `is_unclosed`: a quotation mark was opened and never closed.
    """

    line: int
    cells: tuple[str, ...]
    kind: Kind | None
    is_unclosed: bool = False


@dataclass(frozen=True)
class Sheet:
    """The rows of a file in its order, to be read once, and what their `line` counts."""

    rows: Iterator[Row]
    unit: Unit


def read_rows(data: bytes) -> Sheet:
    """The rows of a file, all of them: which line matters is for others to say.

    Raises UnreadableFileError, before the first row, for anything that is neither text nor a web page, and for too
    much of it.
    """
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFileError(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MB; split it between two licenses")
    for beginning, what in _FOREIGN_FORMATS:
        if data.startswith(beginning):
            raise UnreadableFileError(f"{what}; {_SAVE_AS_CSV}")
    content = decode(data)
    if not _ANY_WORD.search(content):
        raise UnreadableFileError("is empty; download it again")
    if "\0" in content:
        raise UnreadableFileError(f"is neither text nor a web page; {_SAVE_AS_CSV}")
    if _HTML.search(content, 0, _HTML_WITHIN_CHARACTERS):
        return _read_html(content)
    lines = _LINE_END.split(content)
    _refuse_too_many(len(lines))
    return Sheet(_text_rows(lines), "line")


def decode(data: bytes) -> str:
    """Text of UTF-8, of UTF-16 with a byte-order mark, or else of Windows-1252; U+FFFD stands for what is none."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    if data.startswith(codecs.BOM_UTF8):
        return data.decode("utf-8-sig", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _refuse_too_many(rows: int) -> None:
    if rows > MAX_ROWS:
        raise UnreadableFileError(f"has more than {MAX_ROWS:,} rows; split it between two licenses")


def _read_html(content: str) -> Sheet:
    try:
        page = html.read_page(content)
    except html.PageError as error:
        raise UnreadableFileError(str(error)) from None
    _refuse_too_many(page.row_count)
    return Sheet(map(_from_page, page.rows), page.unit)


def _from_page(row: html.PageRow) -> Row:
    return Row(row.line, row.cells, kind_of(row.cells[0]) if row.is_table_row and row.cells else None)


def _text_rows(lines: list[str]) -> Iterator[Row]:
    usual = _usual_separator(lines)
    for number, line in enumerate(lines, start=1):
        cells, is_unclosed = _split(line, usual)
        kind = kind_of(cells[0])
        if kind is None and (found := _record_separator(line)) and found != usual:
            # Files of both kinds, joined by somebody: no record of the rarer kind may pass for page furniture.
            others, is_other_unclosed = _split(line, found)
            if len(others) >= FEWEST_CELLS_OF_A_RECORD:
                cells, kind, is_unclosed = others, kind_of(others[0]), is_other_unclosed
        yield Row(number, cells, kind, is_unclosed)


def _usual_separator(lines: list[str]) -> str:
    """Decided by the record lines alone: page furniture has commas in tab-separated files too."""
    votes = Counter(found for line in lines if (found := _record_separator(line)))
    return "\t" if votes["\t"] >= votes[","] else ","


def _record_separator(line: str) -> str:
    """What stands behind the label, if the line begins with the label of a record; else nothing."""
    found = _SEPARATOR.search(line)
    if found is None or kind_of(clean(line[: found.start()]).strip('" ')) is None:
        return ""
    return found[0]


def _split(line: str, separator: str) -> tuple[tuple[str, ...], bool]:
    """The cleaned cells of one line, and whether a quotation mark was left open.

    Each line by itself: a stray quotation mark in page furniture must not swallow the lines that follow.
    """
    if '"' not in line:
        return tuple(map(clean, line.split(separator))), False
    # A quotation mark left open swallows the sentinel too.
    sentinel = "."
    try:
        cells = next(csv.reader([line + separator + sentinel], delimiter=separator, skipinitialspace=True))
    except csv.Error:  # a cell beyond the module's own limit
        return tuple(map(clean, line.split(separator))), True
    is_closed = cells[-1] == sentinel
    return tuple(map(clean, cells[:-1] if is_closed else cells)), not is_closed
