"""What a balance is made of: its lines, each with its source, and the rule that gave each available value.

The numbers come from `expected.sql`, the one definition; the lines are read in the same snapshot.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from ledger.models import AllotmentLine, BillOfEntryLine, LicenseBalance, Quarantine, TransactionType
from ledger.sql import queries
from license.clock import INDIA
from license.formats import day, indian
from license.models import ExportItem, License

HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Line:
    """One amount that counts: a credit, a debit, or what an allotment reserves."""

    document: str
    name: str
    """Of the document, where its date stands beside it."""
    day: date | None
    source: str
    cif_fc: Decimal
    quantity: Decimal | None = None
    serial_number: int | None = None
    bill_of_entry_id: int | None = None
    allotment_id: int | None = None
    disputed_since: date | None = None
    last_day: date | None = None
    """On which an allotment reserves: at the midnight after it, it is given up."""


@dataclass(frozen=True, slots=True)
class ItemExplanation:
    """What is left of an import item, and the rule that decided its value, in words."""

    serial_number: int
    description: str
    hs_code: str | None
    unit: str
    quantity: Decimal
    debited_quantity: Decimal
    debited_value: Decimal
    allotted_quantity: Decimal
    allotted_value: Decimal
    available_quantity: Decimal
    overdrawn_quantity: Decimal
    available_value: Decimal
    overdrawn_value: Decimal
    rule: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that a balance is made of, in one snapshot."""

    license: License
    today: date
    credit_cif: Decimal
    debited_cif: Decimal
    allotted_cif: Decimal
    balance_cif: Decimal
    overdrawn_cif: Decimal
    is_null: bool
    is_expired: bool
    is_norm_unknown: bool
    credits: list[Line]
    debits: list[Line]
    allotments: list[Line]
    items: list[ItemExplanation]
    stored_balance_cif: Decimal | None
    """None: no balance is stored yet."""
    computed_at: datetime | None
    pending: int
    """Changes that mean this license and are not worked off yet."""
    quarantine: Quarantine | None
    """Set where the license cannot be recomputed: what is stored is older than its facts."""


def explain(license_number: str) -> Explanation:
    """Explain the balance of one license. Raises License.DoesNotExist. Must not be called inside a transaction."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        license = License.objects.select_related("exporter", "port").get(license_number=license_number)
        rows = queries.dicts("explain_license", license_ids=[license.pk], today=None)
        [pending] = queries.column("count_pending", license_id=license.pk)
        exports = list(license.export_items.select_related("norm").order_by("pk"))
        stored = LicenseBalance.objects.filter(pk=license.pk).first()
        total = rows[0]
        return Explanation(
            license=license,
            today=total["today"],
            **{name: total[name] for name in ("credit_cif", "debited_cif", "allotted_cif", "balance_cif")},
            **{name: total[name] for name in ("overdrawn_cif", "is_null", "is_expired")},
            is_norm_unknown=not any(export.norm_id for export in exports),
            credits=[_credit(license, export) for export in exports],
            debits=list(_debits(license)),
            allotments=list(_allotments(license)),
            items=[_item(row) for row in rows if row["import_item_id"] is not None],
            stored_balance_cif=stored.balance_cif if stored else None,
            computed_at=stored.computed_at if stored else None,
            pending=pending,
            quarantine=Quarantine.objects.filter(pk=license.pk).first(),
        )


def _credit(license: License, export: ExportItem) -> Line:
    norm = f"norm {export.norm.code}" if export.norm else "norm unknown"
    return Line(
        f"export item {export.pk}, {norm}",
        f"{export.description or 'Export'}, {norm}",
        license.license_date,
        export.get_source_display(),
        export.cif_fc,
        export.net_quantity,
    )


def _debits(license: License) -> Iterator[Line]:
    lines = BillOfEntryLine.objects.filter(import_item__license=license, transaction_type=TransactionType.DEBIT)
    for line in lines.select_related("bill_of_entry__port", "import_item").order_by(
        F("bill_of_entry__date").asc(nulls_first=True), "bill_of_entry__number", "import_item__serial_number"
    ):
        bill = line.bill_of_entry
        port = f", {bill.port.code}" if bill.port else ""
        disputed = f", disputed since {day(line.disputed_since)}" if line.disputed_since else ""
        yield Line(
            f"{bill}{port}{disputed}",
            f"BE {bill.number}{port}",
            bill.date,
            line.get_source_display(),
            line.cif_fc,
            line.quantity,
            line.import_item.serial_number,
            bill_of_entry_id=bill.pk,
            disputed_since=line.disputed_since,
        )


def _allotments(license: License) -> Iterator[Line]:
    lines = AllotmentLine.objects.filter(
        import_item__license=license, allotment__bills_of_entry=None, allotment__release=None
    ).select_related("allotment__company", "import_item")
    for line in lines.order_by("allotment__created_at", "pk"):
        company = line.allotment.company
        entered = line.allotment.created_at.astimezone(INDIA).date()
        yield Line(
            f"{line.allotment} to {company}",
            f"{line.allotment} to {company.name or company.iec}",
            entered,
            f"entered {day(entered)}",
            line.cif_fc,
            line.quantity,
            line.import_item.serial_number,
            allotment_id=line.allotment.pk,
            last_day=line.allotment.last_day,
        )


def _item(row: dict[str, Any]) -> ItemExplanation:
    same = ItemExplanation.__dataclass_fields__.keys() - {"rule"}
    return ItemExplanation(**{name: row[name] for name in same}, rule=rule_in_words(row))


def rule_in_words(row: dict[str, Any]) -> str:
    """Which rule decided the available value of a row of `expected.sql`, with its numbers. Raises KeyError for a rule
    that it has no words for."""
    if row["value_rule"] == "restricted":
        by = f"norm {row['pool_norm']}" if row["pool_norm"] else "its condition sheet"
        words = (
            f"restricted to {row['pool_percentage'].normalize():f} % by {by}: pool {indian(row['pool_limit'])}, "
            f"used {indian(row['pool_used'])}"
        )
    else:
        words = {
            "first item carries the total": "first item, carries the total of the license",
            "no value of its own": "no value of its own: the total of the license",
            "own value": f"its own value, {indian(row['own_value'])} left of it",
        }[row["value_rule"]]
    if row["own_value"] > row["balance_cif"]:
        words += f"; capped at the license's balance of {indian(row['balance_cif'])}"
    return words
