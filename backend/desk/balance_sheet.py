"""The balance sheet of a license: what ledger.explain says of it, as tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from desk.licenses import FIGURES
from desk.statement import statement
from desk.workbook import Cell, Column, Workbook, moment
from ledger.explain import Explanation
from ledger.models import LicenseBalance
from license.formats import day
from license.models import License

MAX_SHEETS = 100
"""Licenses in one file."""

LICENSE = (
    Column("License"), Column("Exporter", width=30), Column("IEC"), Column("Dated", "date"), Column("Expires", "date"),
    Column("Port", width=10), Column("Notification"), Column("File number", width=24), Column("Purchase status"),
    Column("Currency", width=9), Column("Credit", "money", 18), Column("Debited", "money", 18),
    Column("Allotted", "money", 18), Column("Balance", "money", 18), Column("Overdrawn", "money", 18),
)  # fmt: skip
"""Of a license, in every table of licenses."""
LICENSES = (*LICENSE, Column("Remarks", width=40), Column("As of", width=26))
ITEMS = (
    Column("License"), Column("Item", "count", 6), Column("Description", width=40), Column("HS code", width=10),
    Column("Unit", width=8), Column("Quantity", "quantity"), Column("Debited quantity", "quantity"),
    Column("Allotted quantity", "quantity"), Column("Available quantity", "quantity"),
    Column("Overdrawn quantity", "quantity"), Column("Currency", width=9), Column("Debited value", "money", 16),
    Column("Allotted value", "money", 16), Column("Available value", "money", 16),
    Column("Overdrawn value", "money", 16), Column("By which rule", width=60),
)  # fmt: skip
STATEMENT = (
    Column("License"), Column("Date", "date"), Column("Document", width=40), Column("What"), Column("Source"),
    Column("Item", "count", 6), Column("Quantity", "quantity"), Column("Currency", width=9),
    Column("Credit", "money", 16), Column("Debited", "money", 16), Column("Allotted", "money", 16),
    Column("Balance after", "money", 16), Column("Not in customs' ledger since", "date"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sheet:
    """A license as it was at a moment."""

    explained: Explanation
    when: datetime
    by: str = ""
    """By which documents, and as known when; empty: all, as known then."""

    @property
    def as_of(self) -> str:
        """22 Nov 2026 14:03:22 IST; or the day that was asked for, and what it means."""
        if not self.by:
            return moment(self.when)
        return f"{day(self.explained.today)}, {self.by} ({moment(self.when)})"

    @property
    def lines(self) -> int:
        """How many it has, of all kinds."""
        told = self.explained
        return len(told.items) + len(told.credits) + len(told.debits) + len(told.allotments)


def remarks(explained: Explanation) -> list[str]:
    """What somebody must know who reads the numbers, each a sentence."""
    said = {
        "Expired.": explained.is_expired,
        "The expiry date is presumed.": explained.license.is_expiry_presumed,
        "Null: less than 500.00 is left.": explained.is_null,
        "Norm unknown: restrictions by name cannot be applied.": explained.is_norm_unknown,
    }
    return [sentence for sentence, is_so in said.items() if is_so]


def cells(license: License, balance: Explanation | LicenseBalance | None) -> list[Cell]:
    """What the columns LICENSE hold; None where there is no balance yet."""
    exporter = license.exporter
    return [
        license.license_number,
        exporter.name if exporter else None,
        exporter.iec if exporter else None,
        license.license_date,
        license.license_expiry_date,
        license.port.code if license.port else None,
        license.notification_number,
        license.file_number,
        license.get_purchase_status_display(),
        license.currency,
        *(getattr(balance, name, None) for name in (*FIGURES, "overdrawn_cif")),
    ]


def as_workbook(sheets: Iterable[Sheet]) -> IO[bytes]:
    """All of them in three tables, each row with the number of its license: licenses, items, statement."""
    book = Workbook()
    licenses, items = book.table("Licenses", LICENSES), book.table("Items", ITEMS, fixed=2)
    entries = book.table("Statement", STATEMENT)
    for sheet in sheets:
        explained = sheet.explained
        number, currency = explained.license.license_number, explained.license.currency
        licenses.add([*cells(explained.license, explained), " ".join(remarks(explained)), sheet.as_of])
        for item in explained.items:
            items.add([
                number, item.serial_number, item.description, item.hs_code, item.unit, item.quantity,
                item.debited_quantity, item.allotted_quantity, item.available_quantity, item.overdrawn_quantity,
                currency, item.debited_value, item.allotted_value, item.available_value, item.overdrawn_value,
                item.rule,
            ])  # fmt: skip
        for line, kind, after in statement(explained):
            amounts = [line.cif_fc if kind == each else None for each in ("credit", "debit", "allotment")]
            entries.add([
                number, line.day, line.name, kind, line.source, line.serial_number, line.quantity, currency, *amounts,
                after, line.disputed_since,
            ])  # fmt: skip
    for table in (licenses, items, entries):
        table.filtered()
    return book.finish()
