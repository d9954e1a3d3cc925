"""An allotment as a sheet to print: for whom, what, on which licenses, and who has printed it when."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import IO, Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer

from desk.pdf import (
    BODY,
    LABEL,
    NUMBER,
    SMALL,
    STRONG,
    STRONG_NUMBER,
    SUBTITLE,
    TITLE,
    WIDTH,
    Cell,
    Part,
    document,
    facts,
    fitted,
    listed,
    quantity,
    section,
    words,
)
from desk.standing import Standing
from desk.workbook import moment
from ledger.models import Allotment, AllotmentLine
from license.formats import day, indian
from license.formats import quantity as short


def as_pdf(
    allotment: Allotment, lines: list[AllotmentLine], so_far: Standing, bills: list[str], when: datetime, who: str
) -> IO[bytes]:
    """The sheet, which says that this user has printed it."""
    story = list(_story(allotment, lines, so_far, bills, when))
    return document(str(allotment), [Part(str(allotment), f"Printed {moment(when)} by {who}", str(allotment), story)])


def _story(
    allotment: Allotment, lines: list[AllotmentLine], so_far: Standing, bills: list[str], when: datetime
) -> Iterator[Flowable]:
    of = f" {so_far.unit}".rstrip()
    yield words(str(allotment), TITLE)
    yield words(f"To {allotment.company}, as of {moment(when)}", SUBTITLE)
    yield facts([
        ("Company", str(allotment.company)),
        ("Expected", day(allotment.estimated_arrival_date) if allotment.estimated_arrival_date else "–"),
        ("Goods", allotment.item_name or "–"),
        ("Unit price", short(allotment.unit_price) if allotment.unit_price is not None else "–"),
        ("Required", f"{short(so_far.required)}{of}" if so_far.required else "–"),
        ("Allotted", f"{short(so_far.allotted)}{of}"),
        ("Released by", ", ".join(bills) or "not yet: it reserves"),
        ("Remaining", "–" if so_far.remaining is None else f"{short(so_far.remaining)}{of}"),
    ])  # fmt: skip
    yield from section("Licenses")
    if not lines:
        yield words("Nothing is allotted yet.", LABEL)
        return
    widths = [30 * mm, 45 * mm, WIDTH - 141 * mm, 32 * mm, 34 * mm]
    heads = ["License", "Exporter, port, notification", "Item", "Quantity >", "Value >"]
    yield listed(heads, [*(_line(line, widths) for line in lines), *_totals(lines, widths)], widths)
    yield Spacer(0, 2 * mm)


def _line(line: AllotmentLine, widths: list[Any]) -> list[Cell]:
    item = line.import_item
    license = item.license
    expires = day(license.license_expiry_date) if license.license_expiry_date else "–"
    exporter = license.exporter
    whose = (exporter.name or exporter.iec) if exporter else "–"
    passed = ", ".join(filter(None, [license.port.code if license.port else "", license.notification_number]))
    return [
        [
            words(license.license_number, STRONG),
            words(f"dated {day(license.license_date)}", SMALL),
            words(f"expires {expires}", SMALL),
        ],
        [words(whose, BODY), *([words(passed, SMALL)] if passed else [])],
        [
            words(f"{item.serial_number}. {item.description or '–'}", BODY),
            *([words(f"HS {item.hs_code}", SMALL)] if item.hs_code else []),
        ],
        fitted(f"{quantity(line.quantity)} {item.unit}".strip(), NUMBER, widths[3]),
        fitted(f"{license.currency} {indian(line.cif_fc)}", NUMBER, widths[4]),
    ]


def _totals(lines: list[AllotmentLine], widths: list[Any]) -> Iterator[list[Cell]]:
    """By unit, and by currency."""
    quantities: dict[str, Decimal] = defaultdict(Decimal)
    values: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        quantities[line.import_item.unit] += line.quantity
        values[line.import_item.license.currency] += line.cif_fc
    sums = [f"{quantity(sum_)} {unit}".strip() for unit, sum_ in sorted(quantities.items())]
    amounts = [f"{currency} {indian(sum_)}" for currency, sum_ in sorted(values.items())]
    yield [
        words("In all", STRONG), "", "",
        [fitted(text, STRONG_NUMBER, widths[3]) for text in sums],
        [fitted(text, STRONG_NUMBER, widths[4]) for text in amounts],
    ]  # fmt: skip
