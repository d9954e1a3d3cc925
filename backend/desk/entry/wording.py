"""The words and numbers of data entry, in the one way in which the pages have them."""

import re
from decimal import Decimal

from license.formats import indian, quantity

QUANTITY_PLACES = 3
_ABBREVIATIONS = re.compile(r"\b(cif|fob|fc|inr)\b", re.IGNORECASE)


def shown(number: Decimal, places: int) -> str:
    """A number of a column with so many decimal places: 1,11,302.61; as a quantity 1,000.5."""
    return quantity(number) if places == QUANTITY_PLACES else indian(number, places)


def label(words: object) -> str:
    """What a field is called: Quantity, CIF FC."""
    abbreviated = _ABBREVIATIONS.sub(lambda found: found[0].upper(), f"{words}")
    return abbreviated[:1].upper() + abbreviated[1:]
