"""The statement of a license: every credit, debit and allotment in date order, with the balance after each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Q

from ledger.models import AllotmentLine, BillOfEntryLine, TransactionType
from license.clock import INDIA
from license.models import License


@dataclass(frozen=True, slots=True)
class Entry:
    """One amount that counts."""

    day: date | None
    kind: str
    """credit, debit or allotment."""
    document: str
    item: int | None
    quantity: Decimal | None
    cif_fc: Decimal
    """Added by a credit, taken by the others; never negative."""
    bill_of_entry_id: int | None = None
    allotment_id: int | None = None
    is_disputed: bool = False

    @property
    def signed(self) -> Decimal:
        return self.cif_fc if self.kind == "credit" else -self.cif_fc


def statement(license: License) -> list[tuple[Entry, Decimal]]:
    """Each entry with the balance after it, below zero where it is overdrawn. The last is what docs/rules.md calls the
    raw balance. Credits come first: a bill of entry may be older than the day on which the export was recorded."""
    entries = [
        *_credits(license),
        *sorted(_movements(license), key=lambda entry: (entry.day or date.min, entry.document)),
    ]
    after = Decimal(0)
    lines = []
    for entry in entries:
        after += entry.signed
        lines.append((entry, after))
    return lines


def _credits(license: License) -> Iterator[Entry]:
    for item in license.export_items.select_related("norm").order_by("pk"):
        norm = f"norm {item.norm.code}" if item.norm else "norm unknown"
        yield Entry(
            license.license_date,
            "credit",
            f"{item.description or 'Export'}, {norm}",
            None,
            item.net_quantity or None,
            item.cif_fc,
        )


def _movements(license: License) -> Iterator[Entry]:
    debits = BillOfEntryLine.objects.filter(import_item__license=license, transaction_type=TransactionType.DEBIT)
    for line in debits.select_related("bill_of_entry__port", "import_item"):
        bill = line.bill_of_entry
        yield Entry(
            bill.date,
            "debit",
            f"BE {bill.number}" + (f", {bill.port.code}" if bill.port else ""),
            line.import_item.serial_number,
            line.quantity,
            line.cif_fc,
            bill_of_entry_id=bill.pk,
            is_disputed=line.disputed_since is not None,
        )
    reserved = AllotmentLine.objects.filter(
        Q(import_item__license=license), Q(allotment__bills_of_entry__isnull=True)
    ).select_related("allotment__company", "import_item")
    for reservation in reserved:
        allotment = reservation.allotment
        yield Entry(
            allotment.created_at.astimezone(INDIA).date(),
            "allotment",
            f"{allotment} to {allotment.company.name or allotment.company.iec}",
            reservation.import_item.serial_number,
            reservation.quantity,
            reservation.cif_fc,
            allotment_id=allotment.pk,
        )
