"""What one cell of a sheet means: numbers, codes, names, words.

Every function takes a cell that is not blank, as `sheets.clean` leaves it, and returns its meaning, or raises
`CellError` with a predicate for people. Patterns name ASCII digits one by one: Decimal(), int() and str.isdigit()
would take `1_000`, NaN, 1e999 and Devanagari digits too.
"""

import re
from decimal import Decimal
from enum import Enum

MAX_CHARACTERS = 1_000
_LICENSE_NUMBER_WIDTH = 10
_MAX_PERCENTAGE = Decimal(100)
_MAX_NAME, _MAX_NORM, _MAX_UNIT, _MAX_WORDS = 255, 20, 20, 255

_QUOTED = re.compile(r'=?"([^"]*)"')
# Programs that guard against formulas write an apostrophe before such a text.
_GUARDED = re.compile(r"'(?=[=+@-])")
_DIGITS = re.compile(r"[0-9]+")
_NUMBER_MADE_OF_A_CODE = re.compile(r"([0-9]+)\.0+")
_SHORTENED = re.compile(r"[0-9]+(?:\.[0-9]*E\+?|E\+)[0-9]+", re.IGNORECASE)
_REFERENCE = re.compile(r"[A-Z0-9/-]{1,20}")
_PERCENTAGE = re.compile(r"((?:[0-9]{1,3}(?:\.[0-9]*)?|\.[0-9]+)) ?%?")
_CLEARED = {"-", "\u2013", "\u2014", "none"}
_WORD = re.compile(r"([^\W_]+)(\*(?![^\W_]))?")
_SPREADSHEET_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"}


class CellError(ValueError):
    """A cell does not mean what it should. The text is a predicate: what is wrong; what to do."""


class Clear(Enum):
    """The meaning of a cell that takes a value away."""

    CLEAR = "clear"


def checked(cell: str) -> str:
    """The cell, if it can mean anything at all."""
    if len(cell) > MAX_CHARACTERS:
        raise CellError(f"has {len(cell):,} characters; at most {MAX_CHARACTERS:,} are kept")
    if cell.upper() in _SPREADSHEET_ERRORS:
        raise CellError("is an error of the spreadsheet; correct its formula")
    return cell


def text(cell: str) -> str:
    """Free text, without what spreadsheets wrap around it (`="…"`, an apostrophe before `=`, `+`, `-` or `@`)."""
    quoted = _QUOTED.fullmatch(cell) if cell.startswith("=") else None
    return quoted[1].strip() if quoted else _GUARDED.sub("", cell, count=1)


def _code(cell: str) -> str:
    quoted = _QUOTED.fullmatch(cell)
    written = "".join((quoted[1] if quoted else cell.removeprefix("'")).split())
    number = _NUMBER_MADE_OF_A_CODE.fullmatch(written)
    return number[1] if number else written


def _refuse_longer(written: str, most: int) -> str:
    if len(written) > most:
        raise CellError(f"has {len(written)} characters; at most {most} are kept")
    return written


def license_number(cell: str) -> str:
    """The number of a license; all digits, it has ten: spreadsheets eat leading zeros, they are put back."""
    number = _code(cell).upper()
    if _DIGITS.fullmatch(number):
        if len(number) > _LICENSE_NUMBER_WIDTH:
            raise CellError(f"has {len(number)} digits; a license number has {_LICENSE_NUMBER_WIDTH}")
        return number.zfill(_LICENSE_NUMBER_WIDTH)
    if _SHORTENED.fullmatch(number):
        raise CellError("was shortened by a spreadsheet; make the column a text column and write the number in full")
    if not _REFERENCE.fullmatch(number):
        raise CellError("is not a license number; it has ten digits")
    return number


def serial_number(cell: str) -> int:
    """The serial number of an import item, from 1 on."""
    number = _code(cell)
    if not _DIGITS.fullmatch(number) or len(number) > 6 or int(number) < 1:
        raise CellError("is not a serial number; it is a whole number from 1 on")
    return int(number)


def description(cell: str) -> str:
    """A description, as it stands."""
    return text(cell)


def unit(cell: str) -> str:
    """A unit, such as KGS."""
    return _refuse_longer(text(cell), _MAX_UNIT)


def hs_code(cell: str) -> str:
    """The digits of a tariff heading, 4 to 8 of them; dots and spaces are dropped.

    Headings have an even number of digits. In digits alone an odd number lost its leading zero in a spreadsheet
    (8021200 is 08021200). With a dot it may have lost a zero at either end (1511.9), which nobody can tell.
    """
    written = _code(cell)
    digits = written.replace(".", "")
    if not _DIGITS.fullmatch(digits) or not 4 <= len(digits) <= 8:
        raise CellError("is not an HS code; it has 4 to 8 digits, such as 1511 or 15119020")
    if len(digits) % 2 == 0:
        return digits
    if "." in written:
        raise CellError("has lost a zero in a spreadsheet; make the column a text column and write 4, 6 or 8 digits")
    return "0" + digits


def hs_prefix(cell: str) -> str:
    """The digits that an HS code begins with: 2, 4, 6 or 8 of them, so that a lost leading zero is noticed."""
    digits = _code(cell).replace(".", "")
    if not _DIGITS.fullmatch(digits) or len(digits) > 8:
        raise CellError("is not the beginning of an HS code; it has 2, 4, 6 or 8 digits, such as 1511")
    if len(digits) % 2:
        raise CellError(
            f"has {len(digits)} {'digit' if len(digits) == 1 else 'digits'}; write 2, 4, 6 or 8, with the leading zero"
        )
    return digits


def percentage(cell: str) -> Decimal:
    """0 to 100, with up to two decimals and perhaps a percent sign."""
    match = _PERCENTAGE.fullmatch(text(cell))
    if match is None:
        raise CellError("is not a percentage; write a number from 0 to 100, such as 7.5")
    value = Decimal(match[1])
    if value > _MAX_PERCENTAGE:
        raise CellError("is more than 100 %")
    rounded = value.quantize(Decimal("0.01"))
    if rounded != value:
        raise CellError("has more than two decimals; round it")
    return rounded


def sheet_percentage(cell: str) -> Decimal | Clear:
    """A percentage of a condition sheet, or `-` or `none` where the sheet says nothing any more."""
    return Clear.CLEAR if text(cell).casefold() in _CLEARED else percentage(cell)


def norm(cell: str) -> str:
    """The code of a SION norm, in capitals."""
    code = text(cell).upper()
    if code.casefold() in _CLEARED or not any(c.isalnum() for c in code):
        raise CellError("is not a norm; a sheet cannot take a norm away: leave the cell blank")
    return _refuse_longer(code, _MAX_NORM)


def item_name(cell: str) -> str:
    """One item name. It cannot hold what separates names in an item sheet."""
    name = _refuse_longer(text(cell), _MAX_NAME)
    if ";" in name or "|" in name:
        raise CellError("holds ';' or '|', which separate names in an item sheet; one name stands in one row")
    return name


def item_names(cell: str) -> tuple[str, ...]:
    """The item names in a cell, each once, separated by `;` or `|`."""
    names = (text(part.strip()) for part in re.split(r"[;|]", cell))
    return tuple(dict.fromkeys(name for name in names if name))


def words(cell: str) -> str:
    """The words of a match rule in the form in which it is kept: lower case, each once, one space between.

    A word is a run of letters and digits: `co-polymer` is two. One that ends in `*` is the beginning of a word.
    """
    found = [word + star for word, star in _WORD.findall(text(cell).casefold())]
    if not found or sum(word.endswith("*") for word in found) != cell.count("*"):
        raise CellError("is not a list of words; a '*' may stand at the end of a word only")
    return _refuse_longer(" ".join(dict.fromkeys(found)), _MAX_WORDS)
