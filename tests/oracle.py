"""What balances should be, a second time: in plain Python, from docs/rules.md and not from the SQL.

It reads the facts out of the database row by row and counts on its fingers. It must never share code with the engine,
and never learn anything from `expected.sql`.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import connection

CENT = Decimal("0.01")
ZERO = Decimal(0)


@dataclass(frozen=True)
class LicenseRow:
    credit_cif: Decimal
    debited_cif: Decimal
    allotted_cif: Decimal
    balance_cif: Decimal
    overdrawn_cif: Decimal
    is_null: bool
    is_expired: bool


@dataclass(frozen=True)
class ItemRow:
    debited_quantity: Decimal
    debited_value: Decimal
    allotted_quantity: Decimal
    allotted_value: Decimal
    available_quantity: Decimal
    overdrawn_quantity: Decimal
    available_value: Decimal
    overdrawn_value: Decimal


Balances = tuple[dict[int, LicenseRow], dict[tuple[int, int], ItemRow]]


def rows(table: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def expected(today: date) -> Balances:
    """Every balance, from the facts that are in the database now."""
    names = {name["id"]: name for name in rows("license_itemname")}
    norm_codes = {norm["id"]: norm["code"] for norm in rows("license_sionnorm")}
    names_of_item = defaultdict(list)
    for link in rows("license_importitem_item_names"):
        names_of_item[link["importitem_id"]].append(names[link["itemname_id"]])
    exports, items, debits, allotments = (defaultdict(list) for _ in range(4))
    for export in rows("license_exportitem"):
        exports[export["license_id"]].append(export)
    for item in rows("license_importitem"):
        items[item["license_id"]].append(item)
    for line in rows("ledger_billofentryline"):
        if line["transaction_type"] == "D":
            debits[line["import_item_id"]].append(line)
    released = {
        row["allotment_id"]
        for table in ("ledger_allotment_bills_of_entry", "ledger_allotmentrelease")
        for row in rows(table)
    }
    for line in rows("ledger_allotmentline"):
        if line["allotment_id"] not in released:
            allotments[line["import_item_id"]].append(line)

    license_rows, item_rows = {}, {}
    for license in rows("license_license"):
        ours = items[license["id"]]
        taken = {  # item id: debited quantity and value, allotted quantity and value
            item["id"]: (
                total(debits[item["id"]], "quantity"),
                total(debits[item["id"]], "cif_fc"),
                total(allotments[item["id"]], "quantity"),
                total(allotments[item["id"]], "cif_fc"),
            )
            for item in ours
        }
        credit = total(exports[license["id"]], "cif_fc")
        debited = sum((value for _, value, _, _ in taken.values()), ZERO)
        allotted = sum((value for _, _, _, value in taken.values()), ZERO)
        raw = credit - debited - allotted
        balance = max(raw, ZERO)
        expiry = license["license_expiry_date"]
        license_rows[license["id"]] = LicenseRow(
            credit, debited, allotted, balance, max(-raw, ZERO), balance < 500, expiry is not None and expiry < today
        )
        export_norms = {export["norm_id"] for export in exports[license["id"]]} - {None}
        names_bind = license["notification_number"] != "098/2009" and license["purchase_status"] != "CO"

        def pools_by_name(item: dict[str, Any]) -> set[tuple[int, Decimal]]:
            return {
                (name["sion_norm_id"], name["restriction_percentage"])
                for name in names_of_item[item["id"]]
                if name["sion_norm_id"] is not None and name["restriction_percentage"] > 0
            }

        def left_in_pool(percentage: Decimal, users: list[dict[str, Any]]) -> Decimal:
            limit = (credit * percentage / 100).quantize(CENT, ROUND_HALF_UP)
            return limit - sum((taken[user["id"]][1] + taken[user["id"]][3] for user in users), ZERO)

        for item in ours:
            debited_quantity, debited_value, allotted_quantity, allotted_value = taken[item["id"]]
            pools = []
            sheet = item["restriction_percentage"]
            if sheet is not None:
                if sheet > 0:
                    users = [other for other in ours if other["restriction_percentage"] == sheet]
                    pools.append(left_in_pool(sheet, users))
            elif names_bind:
                for norm_id, percentage in pools_by_name(item):
                    assert norm_id in norm_codes
                    if norm_id in export_norms:
                        users = [
                            other
                            for other in ours
                            if other["restriction_percentage"] is None and (norm_id, percentage) in pools_by_name(other)
                        ]
                        pools.append(left_in_pool(percentage, users))
            others = [other for other in ours if other is not item]
            carries_total = (
                item["serial_number"] == 1 and others and all(o["cif_fc"] == o["cif_inr"] == 0 for o in others)
            )
            has_no_value = item["cif_fc"] in (Decimal(0), Decimal("0.01"), Decimal("0.10"))
            if pools:
                value = min(pools)
            elif carries_total or has_no_value:
                value = raw
            else:
                value = item["cif_fc"] - debited_value - allotted_value
            quantity = item["quantity"] - debited_quantity - allotted_quantity
            item_rows[license["id"], item["id"]] = ItemRow(
                debited_quantity,
                debited_value,
                allotted_quantity,
                allotted_value,
                max(quantity, ZERO),
                max(-quantity, ZERO),
                min(max(value, ZERO), balance),
                max(-value, ZERO),
            )
    return license_rows, item_rows


def total(lines: list[dict[str, Any]], column: str) -> Decimal:
    return sum((line[column] for line in lines), ZERO)


def stored() -> Balances:
    """Every balance as it stands in the database."""
    license_columns, item_columns = LicenseRow.__dataclass_fields__, ItemRow.__dataclass_fields__
    return (
        {row["license_id"]: LicenseRow(*(row[c] for c in license_columns)) for row in rows("ledger_licensebalance")},
        {
            (row["license_id"], row["import_item_id"]): ItemRow(*(row[c] for c in item_columns))
            for row in rows("ledger_importitembalance")
        },
    )
