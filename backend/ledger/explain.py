"""What a balance is made of: its lines, each with its source, and the rule that gave each available value.

The numbers come from `expected.sql`, the one definition; the lines are read in the same snapshot.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from ledger.as_of import Moment, facts
from ledger.models import Allotment, BillOfEntry, LicenseBalance, Quarantine
from ledger.sql import queries
from license.formats import day, indian
from license.models import Company, License, Port, Source

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
        [pending] = queries.column("count_pending", license_id=license.pk)
        stored = LicenseBalance.objects.filter(pk=license.pk).first()
        return _explanation(
            license,
            license_ids=[license.pk],
            today=None,
            stored_balance_cif=stored.balance_cif if stored else None,
            computed_at=stored.computed_at if stored else None,
            pending=pending,
            quarantine=Quarantine.objects.filter(pk=license.pk).first(),
        )


def explain_as_of(license_number: str, moment: Moment) -> Explanation:
    """Explain what a license had left as of a moment, from the facts of that moment; what is stored is what was shown
    then. Raises License.DoesNotExist where there was no such license. Must not be called inside a transaction."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        parameters = moment.parameters
        license_ids = queries.column("as_of_license_ids", license_number=license_number)
        found = queries.dicts("as_of_license", given=facts(), license_ids=license_ids, **parameters)
        for row in found:
            stored_balance_cif, computed_at = row.pop("shown_balance_cif"), row.pop("shown_since")
            license = License(**row)
            if license.license_number == license_number:
                license.exporter = Company.objects.filter(pk=row["exporter_id"]).first()
                license.port = Port.objects.filter(pk=row["port_id"]).first()
                return _explanation(
                    license,
                    given=facts(),
                    **parameters | {"license_ids": [license.pk]},
                    stored_balance_cif=stored_balance_cif,
                    computed_at=computed_at,
                )
        raise License.DoesNotExist


def _explanation(
    license: License,
    *,
    stored_balance_cif: Decimal | None,
    computed_at: datetime | None,
    pending: int = 0,
    quarantine: Quarantine | None = None,
    **question: Any,
) -> Explanation:
    rows, lines = queries.dicts("explain_license", **question), queries.dicts("explain_lines", **question)
    total = rows[0]
    return Explanation(
        license=license,
        **{name: total[name] for name in ("today", "credit_cif", "debited_cif", "allotted_cif", "balance_cif")},
        **{name: total[name] for name in ("overdrawn_cif", "is_null", "is_expired")},
        is_norm_unknown=not any(line["code"] for line in lines if line["kind"] == "credit"),
        credits=[_credit(line) for line in lines if line["kind"] == "credit"],
        debits=[_debit(line) for line in lines if line["kind"] == "debit"],
        allotments=[_allotment(line) for line in lines if line["kind"] == "allotment"],
        items=[_item(row) for row in rows if row["import_item_id"] is not None],
        stored_balance_cif=stored_balance_cif,
        computed_at=computed_at,
        pending=pending,
        quarantine=quarantine,
    )


def _same(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("day", "cif_fc", "quantity", "serial_number", "disputed_since", "last_day")}


def _credit(line: dict[str, Any]) -> Line:
    norm = f"norm {line['code']}" if line["code"] else "norm unknown"
    document, name = f"export item {line['document_id']}, {norm}", f"{line['name'] or 'Export'}, {norm}"
    return Line(document, name, source=Source(line["source"]).label, **_same(line))


def _debit(line: dict[str, Any]) -> Line:
    bill = BillOfEntry(number=line["number"], date=line["day"])
    port = f", {line['code']}" if line["code"] else ""
    disputed = f", disputed since {day(line['disputed_since'])}" if line["disputed_since"] else ""
    document, name = f"{bill}{port}{disputed}", f"BE {bill.number}{port}"
    source = Source(line["source"]).label
    return Line(document, name, source=source, bill_of_entry_id=line["document_id"], **_same(line))


def _allotment(line: dict[str, Any]) -> Line:
    allotment, company = (
        Allotment(pk=line["document_id"], type=line["code"]),
        Company(iec=line["iec"] or "", name=line["name"] or ""),
    )
    document, name = f"{allotment} to {company}", f"{allotment} to {company.name or company.iec}"
    source = f"entered {day(line['day'])}"
    return Line(document, name, source=source, allotment_id=allotment.pk, **_same(line))


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
