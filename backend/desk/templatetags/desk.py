"""How templates show numbers, dates and times to people of this trade."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.template import Library
from django.utils.html import format_html

from license import formats
from license.clock import INDIA
from license.models import Company

register = Library()

MEANINGS = {
    "ARO": "advance release order: the input is bought at home instead of imported",
    "BE": "bill of entry: the customs declaration of an import",
    "CIF": "cost, insurance and freight: the value on which an import is debited",
    "DFIA": "Duty Free Import Authorisation",
    "IEC": "importer-exporter code",
    "Norm": "SION norm: the standard input-output norm of the exported product",
    "Notification": "number and year of the notification; where it is 098/2009, restrictions by name do not apply",
    "Port": "the code of the custom house",
    "Purchase status": "how the license was come by; restrictions by name do not apply to a conversion",
    "By which rule": "which rule decides the value; a pool is what the items of one restriction may use together",
    "Drifted": "licenses whose stored balance was not equal to its facts",
    "Released by": "the bill of entry that takes the place of the allotment, which then reserves nothing",
    "Releases": "the allotments whose place the bill of entry takes: they reserve nothing any more",
    "change pending": "something was written that the balance does not follow yet",
    "in quarantine": "the balance could not be computed: it is older than its facts",
    "no balance yet": "the license is new: its balance is computed in a moment",
    "null": "less than 500.00 is left",
    "overdrawn": "more is debited and allotted than was earned",
}
"""What a word means that not everybody knows: of docs/rules.md and docs/icegate.md."""
SCHEMES = {"03": "Advance Authorisation", "26": "DFIA"}
"""Of docs/icegate.md, by code."""


@register.filter
def explained(words: object) -> str:
    """The words, with what they mean where the pointer rests on them, or what the first of them means: BE 4711."""
    text = str(words)
    known, space, rest = (text, "", "") if _meaning(text) else text.partition(" ")
    meaning = _meaning(known)
    return format_html('<abbr title="{}">{}</abbr>{}{}', meaning, known, space, rest) if meaning else text


def _meaning(words: str) -> str | None:
    return MEANINGS.get(words, MEANINGS.get(words[:1].lower() + words[1:]))


@register.filter
def scheme(code: str) -> str:
    """26 DFIA; of a scheme that nobody knows the code."""
    return format_html("{} {}", code, explained(SCHEMES[code])) if code in SCHEMES else code or "–"


@register.filter
def company(who: Company | None) -> str:
    """By its name, or else by its IEC; a dash for none."""
    return explained(f"IEC {who.iec}") if who and not who.name else who.name if who else "–"


@register.filter
def in_full(who: Company | None) -> str:
    """By its name and its IEC; a dash for none."""
    if who is None:
        return "–"
    return format_html("{}{}{}", who.name, ", " if who.name else "", explained(f"IEC {who.iec}"))


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
