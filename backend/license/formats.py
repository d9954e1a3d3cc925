"""How numbers and dates are shown to people of this trade, and how what they type is understood."""

import re
from datetime import date
from decimal import Decimal

QUANTITY_PLACES = 3
_ABBREVIATIONS = re.compile(r"\b(cif|fob|fc|hs|inr)\b", re.IGNORECASE)


def indian(number: Decimal, places: int = 2) -> str:
    """A number grouped the Indian way: 1,11,302.61. Money has two places, quantities three."""
    text = f"{abs(number):.{places}f}"
    whole, point, fraction = text.partition(".")
    groups = [whole[-3:]]
    for end in range(len(whole) - 3, 0, -2):
        groups.insert(0, whole[max(0, end - 2) : end])
    return ("-" if number < 0 else "") + ",".join(groups) + point + fraction


def money(currency: str, amount: Decimal) -> str:
    """An amount with its currency: USD 1,11,302.61."""
    return f"{currency} {indian(amount)}".lstrip()


def quantity(number: Decimal) -> str:
    """1,000.5: without the zeros at the end."""
    return indian(number, 3).rstrip("0").rstrip(".")


def shown(number: Decimal, places: int) -> str:
    """A number of a column with so many decimal places: 1,11,302.61; as a quantity 1,000.5."""
    return quantity(number) if places == QUANTITY_PLACES else indian(number, places)


def label(words: object) -> str:
    """What a column is called: Quantity, CIF FC."""
    abbreviated = _ABBREVIATIONS.sub(lambda found: found[0].upper(), f"{words}")
    return abbreviated[:1].upper() + abbreviated[1:]


def grouped(text: str) -> str:
    """A number that PostgreSQL wrote, grouped the Indian way with the places that it has; other text as it is."""
    if not re.fullmatch(r"-?[0-9]+\.[0-9]+", text, re.ASCII):
        return text
    return indian(Decimal(text), len(text.partition(".")[2]))


def safe_cell(value: object) -> str:
    """A cell of a CSV file. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
    is_number = re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text, re.ASCII)
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") and not is_number else text


def as_license_number(typed: str) -> str:
    """A license number as somebody typed or pasted it: without spaces and a spreadsheet's `.0`, and with the leading
    zeros that spreadsheets eat."""
    number = re.sub(r"\.0+$", "", "".join(typed.split()))
    return number.zfill(10) if re.fullmatch(r"[0-9]+", number) else number.upper()


def day(when: date) -> str:
    """A date as 22 Nov 2026."""
    return f"{when:%d %b %Y}"
