"""History: one row for each recompute that changed a balance, with what it was, what it is, and what asked for it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import ProgrammingError, transaction
from django.db.models import QuerySet

from ledger import history
from ledger.engine import drain, due_for_retry, recompute
from ledger.models import (
    Allotment,
    AllotmentLine,
    BalanceHistory,
    BillOfEntry,
    BillOfEntryLine,
    LicenseBalance,
    LicenseChange,
    Quarantine,
)
from license.models import Company, ExportItem, ImportItem, License
from tests.conftest import assert_balances_follow_facts, one, sql

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def license(database: None) -> License:
    """A license of 1000.00 with one item, drained; what is remembered of that does not count here."""
    license = License.objects.create(license_number="0310000001", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=1000)
    ImportItem.objects.create(license=license, serial_number=1, quantity=100)
    drain()
    return license


def history_rows() -> QuerySet[BalanceHistory]:
    """All but the first row, the making of the license of these tests."""
    return BalanceHistory.objects.exclude(pk=1).order_by("id")


def remembered() -> list[tuple[Any, ...]]:
    """From, to and sources of each row, oldest first."""
    rows = history_rows()
    return [(row.previous_balance_cif, row.balance_cif, row.sources) for row in rows]


def debit(license: License, cif_fc: int | str, quantity: int = 0) -> BillOfEntryLine:
    bill = BillOfEntry.objects.create(number=str(BillOfEntry.objects.count() + 1))
    item = license.import_items.get()
    return BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, cif_fc=cif_fc, quantity=quantity)


def test_a_debit_is_remembered_with_from_to_source_and_when_it_was_made(license: License) -> None:
    debit(license, 400)
    made_at = LicenseChange.objects.get().created_at
    drain()
    row = history_rows().get()
    assert (row.license_id, row.sources, row.first_change_at) == (license.pk, ["ledger_billofentryline"], made_at)
    assert (row.previous_balance_cif, row.balance_cif) == (1000, 600)
    assert (row.credit_cif, row.debited_cif, row.allotted_cif, row.overdrawn_cif) == (1000, 400, 0, 0)
    assert (row.was_null, row.is_null, row.was_expired, row.is_expired) == (False, False, False, False)
    assert LicenseBalance.objects.get().computed_at <= row.changed_at <= datetime.now(UTC)


def test_a_burst_is_one_row_with_every_source_and_the_oldest_change(license: License) -> None:
    debit(license, 100)
    made_at = LicenseChange.objects.get().created_at
    debit(license, 100)
    ExportItem.objects.create(license=license, cif_fc=500)
    allotment = Allotment.objects.create(company=Company.objects.create(iec="0000000001"))
    AllotmentLine.objects.create(allotment=allotment, import_item=license.import_items.get(), cif_fc=50)
    drain()
    sources = ["ledger_allotmentline", "ledger_billofentryline", "license_exportitem"]
    assert remembered() == [(1000, 1250, sources)]
    assert history_rows().get().first_change_at == made_at


def test_each_license_remembers_its_own_sources(license: License) -> None:
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    debit(license, 100)
    ExportItem.objects.create(license=other, cif_fc=700)
    drain()
    assert sorted((row.license_id, *row.sources) for row in history_rows()) == [
        (license.pk, "ledger_billofentryline"),
        (other.pk, "license_exportitem", "license_license"),
    ]


def test_a_first_balance_comes_from_nothing_and_a_deleted_license_goes_to_nothing(license: License) -> None:
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    drain()
    assert remembered() == [(None, 0, ["license_license"])]
    assert history_rows().get().was_null is None
    other.delete()
    drain()
    assert remembered()[1:] == [(0, None, ["license_license"])]
    gone = history_rows().latest("id")
    assert (gone.credit_cif, gone.is_null, gone.was_null) == (None, None, True)
    assert_balances_follow_facts()


def test_a_change_of_an_item_alone_is_remembered_too(license: License) -> None:
    debit(license, 0, quantity=30)
    drain()
    assert remembered() == [(1000, 1000, ["ledger_billofentryline"])]
    license.import_items.get().delete()
    drain()
    assert remembered()[1:] == [(1000, 1000, ["license_importitem"])]


def test_what_changes_no_balance_leaves_no_row(license: License) -> None:
    line = debit(license, 0)
    drain()
    line.delete()
    recompute([license.pk])
    drain()
    assert remembered() == []


def test_a_move_is_remembered_by_both_licenses(license: License) -> None:
    line = debit(license, 400)
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    item = ImportItem.objects.create(license=other, serial_number=1)
    drain()
    before = history_rows().latest("id").pk
    BillOfEntryLine.objects.filter(pk=line.pk).update(import_item=item)
    drain()
    assert sorted((row.license_id, row.debited_cif) for row in history_rows().filter(pk__gt=before)) == [
        (license.pk, 0),
        (other.pk, 400),
    ]


def test_a_repair_that_nothing_pending_asked_for_has_no_source(license: License) -> None:
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1")
    recompute([license.pk])
    assert remembered() == [(1, 1000, [])]
    assert history_rows().get().first_change_at is None


def test_a_retry_says_since_when_it_was_in_quarantine(license: License) -> None:
    poison = ExportItem.objects.create(license=license, cif_fc=Decimal("9999999999999.99"))
    drain()
    assert remembered() == []
    since = Quarantine.objects.get().first_failed_at
    poison.delete()
    ExportItem.objects.update(cif_fc=900)
    sql("DELETE FROM ledger_licensechange")  # so that the retry alone finds it
    sql("UPDATE ledger_quarantine SET next_try_at = now()")
    recompute(due_for_retry())
    assert remembered() == [(1000, 900, ["ledger_quarantine"])]
    assert history_rows().get().first_change_at == since


def test_a_bad_license_in_the_batch_takes_no_source_from_the_others(license: License) -> None:
    licenses = [License.objects.create(license_number=f"03200000{n:02}", license_date="2026-01-01") for n in range(5)]
    for number, one_of_them in enumerate(licenses):
        ExportItem.objects.create(license=one_of_them, cif_fc="9999999999999.99" if number == 3 else "1")
    ExportItem.objects.create(license=licenses[3], cif_fc=1)
    drain()
    assert {row.license_id for row in history_rows()} == {
        each.pk for number, each in enumerate(licenses) if number != 3
    }
    assert {tuple(row.sources) for row in history_rows()} == {("license_exportitem", "license_license")}


def test_nobody_but_the_engine_writes_history(license: License) -> None:
    debit(license, 400)
    drain()
    for statement in (
        "UPDATE ledger_balancehistory SET balance_cif = 0",
        "DELETE FROM ledger_balancehistory",
        "INSERT INTO ledger_balancehistory (license_id, changed_at, sources) VALUES (1, now(), '{}')",
    ):
        with pytest.raises(ProgrammingError, match="is refused"), transaction.atomic():
            sql(statement)
    assert remembered() == [(1000, 600, ["ledger_billofentryline"])]


@pytest.mark.parametrize("at_once", [1, history.AT_ONCE])
def test_pruning_keeps_what_every_balance_was_at_that_moment(
    license: License, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    for value in (100, 200, 300, 400):
        debit(license, value)
        drain()
    debit_free = history_rows().get(license_id=other.pk).pk
    now = one("SELECT clock_timestamp()")
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        # those of `license`: 50, 40, 30, 20 and 10 days ago; the one of `other`: 40 days ago
        sql(
            "UPDATE ledger_balancehistory SET changed_at = %s - interval '10 days' * "
            "(CASE WHEN license_id = %s THEN 4 ELSE 1 + (SELECT count(*) FROM ledger_balancehistory AS later"
            " WHERE later.license_id = ledger_balancehistory.license_id AND later.id > ledger_balancehistory.id) END)",
            now,
            other.pk,
        )
    monkeypatch.setattr(history, "AT_ONCE", at_once)
    assert history.prune(now - timedelta(days=15)) == 3
    assert [(row.license_id, row.balance_cif) for row in BalanceHistory.objects.order_by("license_id", "id")] == [
        (license.pk, 400),  # 20 days ago: what it was 15 days ago
        (license.pk, 0),
        (other.pk, 0),
    ]
    assert BalanceHistory.objects.filter(pk=debit_free).exists()
    assert history.prune(now - timedelta(days=15)) == 0
