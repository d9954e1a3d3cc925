"""How templates show numbers, dates and times to people of this trade."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.template import Library

from license import formats
from license.clock import INDIA

register = Library()


@register.filter
def money(number: Decimal | str | None) -> str:
    """1,11,302.61; a dash for what is not there, which a template may know as an empty text."""
    return formats.indian(number) if isinstance(number, Decimal) else "–"


@register.filter
def quantity(number: Decimal | None) -> str:
    """1,000.5: without the zeros at the end."""
    return "–" if number is None else formats.quantity(number)


@register.filter
def count(number: int) -> str:
    """1,00,000."""
    return formats.indian(Decimal(number), 0)


@register.filter
def day(when: date | None) -> str:
    """22 Nov 2026; a dash for none."""
    return "–" if when is None else formats.day(when)


@register.filter
def clock(when: datetime) -> str:
    """14:03:22, in India."""
    return f"{when.astimezone(INDIA):%H:%M:%S}"


@register.filter
def first_line(text: str) -> str:
    return text.partition("\n")[0]


@register.filter
def part(number: Decimal, whole: Decimal) -> int:
    """How many hundredths of the whole that is, for a bar: 0 to 100."""
    return min(100, max(0, round(100 * number / whole))) if whole else 0


@register.filter
def pairs(amounts: Mapping[str, Decimal] | None) -> Iterable[tuple[str, Decimal]]:
    """Keys and values, where a key may be anything: to a template `.items` is the key "items" first."""
    return amounts.items() if amounts else ()


@register.simple_tag(takes_context=True)
def query(context: Any, **changes: object) -> str:
    """The query string of this page with some values changed; None takes one away. The page number is not kept."""
    values = context["request"].GET.copy()
    values.pop("page", None)
    for name, value in changes.items():
        values.pop(name, None)
        if value is not None:
            values[name] = str(value)
    return f"?{values.urlencode()}"
