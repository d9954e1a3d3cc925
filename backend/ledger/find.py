"""Finding: who has so much of an input, in quantity and in value, until when.

It looks at what the engine has stored. What comes of it is counted from facts again before anything is reserved
(`ledger.allotting`).
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ledger.sql import queries

_WORD = re.compile(r"[^\W_]+")
_HS_CODE = re.compile(r"[0-9][0-9 .]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an import item must be, each None where it does not matter."""

    text: str = ""
    """Words of its description, or of the name of an item, each the beginning of one in any order; or the beginning of
    an HS code. Nothing: every item."""
    norm_id: int | None = None
    """Of an export item of the license."""
    unit: str | None = None
    currency: str | None = None
    valid_on: date | None = None
    """The license has not expired on that day. None: expired ones too."""

    def is_said(self) -> bool:
        """Whether the text says anything: a word, or digits."""
        return bool(_WORD.search(self.text))

    def parameters(self) -> dict[str, Any]:
        """Those of found_items.sql."""
        asked = asdict(self)
        text = asked.pop("text").strip()
        is_code, words = _HS_CODE.fullmatch(text), _WORD.findall(text)
        return {
            **asked,
            "hs_prefix": re.sub("[^0-9]", "", text) if is_code else None,
            "text_query": None if is_code or not words else " & ".join(f"{word}:*" for word in words),
            "name_patterns": [f"%{word}%" for word in words],
        }


@dataclass(frozen=True, slots=True)
class Found:
    """An import item with 1 or more of its unit left, and some value, as stored; and whose it is."""

    import_item_id: int
    license_id: int
    serial_number: int
    description: str
    hs_code_id: int | None
    unit: str
    available_quantity: Decimal
    available_value: Decimal
    """In the currency of its license. With those of its other items it may be the same money."""
    license_number: str
    license_expiry_date: date | None
    currency: str
    exporter_id: int | None
    balance_cif: Decimal
    hs_code: str | None
    exporter: str | None
    names: list[str]
    norms: list[str]


@dataclass(frozen=True, slots=True)
class OfName:
    """What was found of one item name on licenses of these norms, in one unit and currency."""

    norms: str
    name: str
    unit: str
    currency: str
    licenses: int
    quantity: Decimal
    value: Decimal
    """At most: of a license no more than its balance counts, but a restriction that items share counts for each."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was found in all. An item counts once here, though it may have several names."""

    names: list[OfName]
    quantities: dict[str, Decimal]
    """By unit."""
    values: dict[str, Decimal]
    """By currency, at most."""
    items: int
    licenses: int


def find(wanted: Wanted, *, count: int, start: int = 0) -> list[Found]:
    """So many of them from the `start`th on, whose license expires first first; without expiry last."""
    rows = queries.dicts("find_items", page_size=count, page_start=start, **wanted.parameters())
    return [Found(**row) for row in rows]


def find_all(wanted: Wanted) -> Iterator[Found]:
    """Every one of them, in the same order, read while they are taken."""
    return (Found(**row) for row in queries.stream("find_items", page_size=None, page_start=0, **wanted.parameters()))


def totals(wanted: Wanted) -> Totals:
    """Of all that `find` finds."""
    rows = queries.dicts("find_totals", **wanted.parameters())

    def of(kind: str) -> Iterator[dict[str, Any]]:
        return (row for row in rows if row["kind"] == kind)

    return Totals(
        names=[OfName(**{name: value for name, value in row.items() if name != "kind"}) for row in of("name")],
        quantities={row["unit"]: row["quantity"] for row in of("unit")},
        values={row["currency"]: row["value"] for row in of("currency")},
        items=sum(row["licenses"] for row in of("unit")),
        licenses=sum(row["licenses"] for row in of("currency")),
    )
