"""What one cell means: numbers, dates, codes.

Every function takes a cell as `clean` leaves it and returns its meaning, or raises `CellError` with a predicate for
people ("is not a date; write it as DD/MM/YYYY"). Patterns name ASCII digits and letters one by one: Decimal(), int()
and str.isdigit() would take `1_000`, NaN, 1e999 and Devanagari digits too.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from enum import Enum

MONEY_DECIMALS = 2
QUANTITY_DECIMALS = 3
# Of the database's columns.
COLUMN_DIGITS = 15
# More than any column keeps, enough for what binary fractions leave behind in spreadsheets (3548.6000000000004).
MOST_DECIMALS = 20
MOST_NOTIFICATION_CHARACTERS = 50
# Licenses have some hundred items at most; a greater number is a cell gone astray.
GREATEST_SERIAL_NUMBER = 32_767

# Zero-width spaces and joiners, the byte-order mark, soft hyphens and marks of writing direction.
_INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"),
)

_PLAIN = r"[0-9]+"
_DECIMALS = rf"[0-9]{{0,{MOST_DECIMALS}}}"
_WESTERN = r"[0-9]{1,3}(?:,[0-9]{3})+"
_INDIAN = r"[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3}"
_AMOUNT = re.compile(rf"(-?)((?:{_PLAIN}|{_WESTERN}|{_INDIAN})(?:\.{_DECIMALS})?|\.(?=[0-9]){_DECIMALS})")
_LOOKS_GROUPED = re.compile(r"-?[0-9,]*,[0-9,]*(?:\.[0-9]*)?")
_SHORTENED_AMOUNT = re.compile(r"-?[0-9]+(?:\.[0-9]*)?E[+-]?[0-9]+", re.IGNORECASE)
# In a code the letter E alone proves nothing; a point or a plus sign does.
_SHORTENED_CODE = re.compile(r"[0-9]+(?:\.[0-9]*E\+?|E\+)[0-9]+", re.IGNORECASE)
_SHORTENED = "was shortened by a spreadsheet; download the file again and do not open it in a spreadsheet before"

_DATE = re.compile(r"([0-9]{1,2})([/.-])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})")
_NOT_A_DATE = "is not a date; write it as DD/MM/YYYY"
_EARLIEST_YEAR, _LATEST_YEAR = 1990, 2099

_QUOTED = re.compile(r'=?"([^"]*)"')
_NUMBER_MADE_OF_A_CODE = re.compile(r"([0-9]+)\.0+")
_DIGITS = re.compile(r"[0-9]+")
_NOTIFICATION = re.compile(r"0*([0-9]{1,3}) */ *([0-9]{4})(?: *-? *Cus\.?)?", re.IGNORECASE)
_REFERENCE = re.compile(r"[A-Z0-9/-]{1,20}")
_PAN = re.compile(r"[A-Z]{5}[0-9]{4}[A-Z]")
_PORT_CODE = re.compile(r"[A-Z0-9]{1,6}")
_SCHEME_CODE = re.compile(r"[0-9]{1,2}")
_CURRENCY = re.compile(r"[A-Z]{3}")
# The width of license numbers, registration numbers and IECs that are all digits.
_NUMBER_WIDTH = 10


class CellError(ValueError):
    """A cell does not mean what it should. The text is a predicate: what is wrong; what to do."""


def clean(raw: str) -> str:
    """The cell without invisible characters, outer spaces of any kind and the `: ` of printed versions.

    Runs of white space inside become one space.
    """
    cell = " ".join((raw if raw.isascii() else raw.translate(_INVISIBLE)).split())
    return cell[1:].lstrip() if cell.startswith(":") else cell


class Kind(Enum):
    """What a record line is, by the label in its first cell."""

    REGISTRATION = "Regn.No."
    RELEASE_ADVICE = "RA No."
    IMPORTER = "IEC"
    TOTALS = "Tot.Duty"
    BALANCES = "Bal.Duty"
    CREDIT = "Credit-"
    DEBIT = "Debit-"


def label(cell: str) -> str:
    """The first cell of a line in the form in which labels are compared: `Regn.No. :` gives `regn.no`."""
    return "".join(cell.split()).casefold().rstrip(".:-\u2013\u2014")


_KINDS = {label(kind.value): kind for kind in Kind}


def kind_of(first_cell: str) -> Kind | None:
    """What the line is that begins with this cell; None for page furniture."""
    return _KINDS.get(label(first_cell))


def text(cell: str) -> str:
    """Free text, without what spreadsheets wrap around it (`="…"`, `"…"`, a leading apostrophe)."""
    quoted = _QUOTED.fullmatch(cell)
    return (quoted[1] if quoted else cell.removeprefix("'")).strip()


def amount(cell: str) -> Decimal:
    """An amount or a quantity, not rounded; a blank is 0. Thousands separators may be Western or Indian."""
    value = signed_amount(cell)
    if value < 0:
        raise CellError("is negative; only balances may be")
    return value


def signed_amount(cell: str) -> Decimal:
    """The same for what customs has left, which is negative where it was overdrawn."""
    written = text(cell)
    if not written:
        return Decimal(0)
    match = _AMOUNT.fullmatch(written)
    if match is None:
        raise CellError(_why_no_amount(written))
    value = Decimal(match[1] + match[2].replace(",", ""))
    _refuse_too_large(value, MONEY_DECIMALS)
    return value


def _why_no_amount(written: str) -> str:
    if _SHORTENED_AMOUNT.fullmatch(written):
        return _SHORTENED
    if _LOOKS_GROUPED.fullmatch(written):
        return "has its thousands separators in the wrong places; write it as 1,234,567.89 or 12,34,567.89"
    return "is not a number; write it as 1234.56"


def quantity(cell: str) -> Decimal:
    """A quantity: as `amount`, but one more of its digits stand behind the point."""
    value = amount(cell)
    _refuse_too_large(value, QUANTITY_DECIMALS)
    return value


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum: the usual 28 digits would be too few for many long fractions."""
    with localcontext() as context:
        context.prec = 100
        return sum(values, Decimal(0))


def fitted(value: Decimal, decimals: int) -> Decimal:
    """The value rounded half up to the decimals of its column, as PostgreSQL does.

    Raises CellError where it has more digits than numeric(15, decimals) takes.
    """
    _refuse_too_large(value, decimals)
    with localcontext() as context:
        context.prec = COLUMN_DIGITS
        return value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP) + 0  # + 0: no -0.00


def _refuse_too_large(value: Decimal, decimals: int) -> None:
    # Half of the last decimal below the first number that is too large: that would be rounded up to it.
    limit = Decimal(10) ** (COLUMN_DIGITS - decimals) - Decimal(5).scaleb(-decimals - 1)
    if value.copy_abs() >= limit:
        raise CellError(f"is too large; at most {COLUMN_DIGITS - decimals} digits may stand before the point")


def day(cell: str) -> date:
    """A date written DD/MM/YYYY or DD/MM/YY (with `/`, `-` or `.`) in the years 1990 to 2099; YY means 20YY."""
    written = text(cell)
    if not written:
        raise CellError("is blank; a date is needed")
    match = _DATE.fullmatch(written)
    if match is None:
        raise CellError(_NOT_A_DATE)
    year = int(match[4] if match[4][2:] else "20" + match[4])
    if not _EARLIEST_YEAR <= year <= _LATEST_YEAR:
        raise CellError(f"is not a date between {_EARLIEST_YEAR} and {_LATEST_YEAR}; correct the year")
    try:
        return date(year, int(match[3]), int(match[1]))
    except ValueError:
        raise CellError(_NOT_A_DATE) from None


def day_or_none(cell: str) -> date | None:
    """The same where a date may be blank."""
    return day(cell) if text(cell) else None


def code(cell: str) -> str:
    """A code in upper case, without what spreadsheets do to codes: `="0318"`, a leading apostrophe, a trailing `.0`."""
    written = text(cell)
    if _SHORTENED_CODE.fullmatch(written):
        raise CellError(_SHORTENED)
    if not written.isascii():
        raise CellError("has characters that no code has; write it in plain letters and digits")
    number = _NUMBER_MADE_OF_A_CODE.fullmatch(written)
    return number[1] if number else written.upper()


def license_number(cell: str) -> str:
    """10 digits (leading zeros are put back), or up to 20 letters, digits, `/` and `-`."""
    number = _long_number(cell)
    if not number.strip("0"):
        raise CellError("is blank; the license number is needed")
    return number


def registration_number(cell: str) -> str:
    """As a license number, but may be blank."""
    return _long_number(cell)


def iec(cell: str) -> str:
    """An importer-exporter code: 10 digits (leading zeros are put back) or a PAN such as ABCDE1234F."""
    number = _long_number(cell)
    if not number.strip("0"):
        raise CellError("is blank; the importer-exporter code is needed")
    if not _DIGITS.fullmatch(number) and not _PAN.fullmatch(number):
        raise CellError("is not an importer-exporter code; it has 10 digits or the form ABCDE1234F")
    return number


def _long_number(cell: str) -> str:
    number = code(cell)
    if not number:
        return ""
    if _DIGITS.fullmatch(number):
        if len(number) > _NUMBER_WIDTH:
            raise CellError(f"has {len(number)} digits; at most {_NUMBER_WIDTH} are possible")
        return number.zfill(_NUMBER_WIDTH)
    return _reference(number)


def _reference(written: str) -> str:
    if not _REFERENCE.fullmatch(written):
        raise CellError("is not a number of a document; it has up to 20 letters, digits, / and -")
    return written


def bill_number(cell: str) -> str:
    """The number of a bill of entry: up to 20 letters, digits, `/` and `-`. Its width is not known, zeros stay."""
    number = code(cell)
    if not number.strip("0"):
        raise CellError("is blank; a debit needs the number of its bill of entry")
    return _reference(number)


def serial_number(cell: str) -> int:
    """The serial number of an import item: 1 to 32,767."""
    number = code(cell)
    if not number:
        raise CellError("is blank; the serial number of the item is needed")
    if not _DIGITS.fullmatch(number) or len(number) > _NUMBER_WIDTH or not 1 <= int(number) <= GREATEST_SERIAL_NUMBER:
        raise CellError("is not a serial number; it is a whole number from 1 on")
    return int(number)


def scheme_code(cell: str) -> str:
    """Two digits, such as 26 (DFIA) or 03 (Advance Authorisation); a lost zero is put back."""
    number = code(cell)
    if not number:
        raise CellError("is blank; the scheme code is needed, such as 26 or 03")
    if not _SCHEME_CODE.fullmatch(number):
        raise CellError("is not a scheme code; it has two digits, such as 26 or 03")
    return number.zfill(2)


def notification_number(cell: str) -> str:
    """Free text of up to 50 characters, such as 025/2023; empty where the cell is blank.

    Number and year are written in the one way that the rules compare: `98/2009`, `098 / 2009` and `098/2009-Cus` are
    098/2009.
    """
    number = text(cell)
    if parts := _NOTIFICATION.fullmatch(number):
        return f"{int(parts[1]):03}/{parts[2]}"
    if len(number) > MOST_NOTIFICATION_CHARACTERS:
        raise CellError(f"is too long for a notification; at most {MOST_NOTIFICATION_CHARACTERS} characters are kept")
    return number


def currency(cell: str) -> str:
    """The three letters of a currency; empty where the cell is blank."""
    letters = code(cell)
    if letters and not _CURRENCY.fullmatch(letters):
        raise CellError("is not a currency; it has three letters, such as USD")
    return letters


def port_code(cell: str) -> str:
    """The code of a custom house, such as INNSA1; empty where the cell is blank."""
    port = code(cell)
    if port and not _PORT_CODE.fullmatch(port):
        raise CellError("is not a port code; it has up to 6 letters and digits, such as INNSA1")
    return port
