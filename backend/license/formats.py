"""How numbers and dates are shown to people of this trade."""

from datetime import date
from decimal import Decimal


def indian(number: Decimal, places: int = 2) -> str:
    """A number grouped the Indian way: 1,11,302.61. Money has two places, quantities three."""
    text = f"{abs(number):.{places}f}"
    whole, point, fraction = text.partition(".")
    groups = [whole[-3:]]
    for end in range(len(whole) - 3, 0, -2):
        groups.insert(0, whole[max(0, end - 2) : end])
    return ("-" if number < 0 else "") + ",".join(groups) + point + fraction


def day(when: date) -> str:
    """A date as 22 Nov 2026."""
    return f"{when:%d %b %Y}"
