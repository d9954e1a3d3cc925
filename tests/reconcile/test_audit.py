"""The audit finds every kind of drift, exactly, with its cause, and nothing else: also while others write."""

import csv
import io
import json
import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction

from ledger.engine import drain, recompute
from ledger.models import (
    Allotment,
    AllotmentLine,
    BillOfEntry,
    BillOfEntryLine,
    ImportItemBalance,
    LicenseBalance,
)
from license.clock import business_date
from license.models import Company, ExportItem, ImportItem, License
from license.queries import Queries
from reconcile.audit import Cause, audit_all, together
from reconcile.evidence import words
from reconcile.guard import trigger_faults
from reconcile.management.commands.audit_drift import _table
from reconcile.sql import queries
from tests.conftest import assert_balances_follow_facts, one, sql

pytestmark = pytest.mark.usefixtures("database")

ONE, TWO = "0310000001", "0310000002"


@pytest.fixture(autouse=True)
def two_licenses(database: None) -> None:
    """Two licenses of 1000.00 with two items each, a debit of 400.00 and an allotment of 100.00, all drained."""
    company, bill = Company.objects.create(iec="0000000001"), BillOfEntry.objects.create(number="1")
    for number in (ONE, TWO):
        license = License.objects.create(license_number=number, license_date="2026-01-01")
        ExportItem.objects.create(license=license, cif_fc=1000)
        items = [ImportItem.objects.create(license=license, serial_number=n, quantity=100) for n in (1, 2)]
        BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=items[0], quantity=40, cif_fc=400)
        allotment = Allotment.objects.create(company=company)
        AllotmentLine.objects.create(allotment=allotment, import_item=items[1], quantity=10, cif_fc=100)
    drain()


def found() -> list[tuple[Any, ...]]:
    audit = together(audit_all(trigger_faults()))
    return [(d.license_number, d.serial_number, d.field, d.stored, d.expected, d.cause) for d in audit.differences]


@contextmanager
def unguarded() -> Generator[None]:
    """As somebody who means it: the guard of the balances does not fire for the replica role."""
    with transaction.atomic():
        sql("SET LOCAL session_replication_role = replica")
        yield


def lose_changes() -> None:
    sql("DELETE FROM ledger_licensechange")


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert found() == []


def test_a_pending_change_is_lag_and_no_drift() -> None:
    ExportItem.objects.filter(license__license_number=ONE).update(cif_fc=2000)
    assert {(number, cause) for number, *_, cause in found()} == {(ONE, Cause.LAG)}
    assert together(audit_all([])).drift == []


def test_a_truncated_table_is_lag_for_every_license() -> None:
    sql("TRUNCATE ledger_allotmentline")
    assert {(number, cause) for number, *_, cause in found()} == {(ONE, Cause.LAG), (TWO, Cause.LAG)}


def test_a_lost_change() -> None:
    ExportItem.objects.filter(license__license_number=ONE).update(cif_fc=1200)
    lose_changes()
    assert found() == [
        (ONE, None, "balance_cif", "500.00", "700.00", Cause.CHANGE_LOST),
        (ONE, None, "credit_cif", "1000.00", "1200.00", Cause.CHANGE_LOST),
        (ONE, 1, "available_value", "500.00", "700.00", Cause.CHANGE_LOST),
        (ONE, 2, "available_value", "500.00", "700.00", Cause.CHANGE_LOST),
    ]


LOST = {
    "a debit": "UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1",
    "a reservation": "UPDATE ledger_allotmentline SET quantity = quantity + 1",
    "a released allotment": "INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) "
    "SELECT id, 1 FROM ledger_allotment",
    "an import item": "UPDATE license_importitem SET quantity = 7",
    "a license": "UPDATE license_license SET license_expiry_date = '2020-01-01'",
}


@pytest.mark.parametrize("write", LOST.values(), ids=LOST.keys())
def test_a_lost_change_of(write: str) -> None:
    sql(write)
    lose_changes()
    assert {cause for *_, cause in found()} == {Cause.CHANGE_LOST}
    assert {number for number, *_ in found()} == {ONE, TWO}


def test_a_lost_deletion() -> None:
    """The trail tells of it; without one nothing does."""
    sql("DELETE FROM ledger_billofentryline")
    lose_changes()
    assert {cause for *_, cause in found()} == {Cause.CHANGE_LOST}
    with unguarded():
        sql("DELETE FROM ledger_trailentry")
        sql("DELETE FROM ledger_trailstatement")
    assert {cause for *_, cause in found()} == {Cause.UNKNOWN}


def test_an_edited_balance() -> None:
    with unguarded():
        sql("UPDATE ledger_licensebalance SET balance_cif = 999 WHERE balance_cif = 500 AND license_id = 1")
        sql("UPDATE ledger_importitembalance SET available_quantity = 1 WHERE (license_id, import_item_id) = (2, 4)")
    assert found() == [
        (ONE, None, "balance_cif", "999.00", "500.00", Cause.EDITED),
        (TWO, 2, "available_quantity", "1.000", "90.000", Cause.EDITED),
    ]


NOT_OF_THE_RULES = {"pk", "license", "import_item", "computed_at", "computed_xid", "seal"}
FIELDS = [
    (model._meta.db_table, field.name, field.get_internal_type() == "BooleanField")
    for model in (LicenseBalance, ImportItemBalance)
    for field in model._meta.fields
    if field.name not in NOT_OF_THE_RULES
]


@pytest.mark.parametrize(("table", "field", "is_flag"), FIELDS, ids=[f"{table}.{name}" for table, name, _ in FIELDS])
def test_no_field_is_overlooked(table: str, field: str, is_flag: bool) -> None:
    """By the first look, or by the second."""
    with unguarded():
        sql(f"UPDATE {table} SET {field} = {f'NOT {field}' if is_flag else f'{field} + 1'} WHERE license_id = 1")
    assert {(row[0], row[2]) for row in found()} == {(ONE, field)}


def test_deleted_and_invented_rows() -> None:
    with unguarded():
        sql("DELETE FROM ledger_licensebalance WHERE license_id = 1")
        sql("DELETE FROM ledger_importitembalance WHERE (license_id, import_item_id) = (2, 3)")
        sql("INSERT INTO ledger_importitembalance SELECT (t).* FROM (SELECT t FROM ledger_importitembalance t "
            "WHERE license_id = 2) x WHERE false")  # fmt: skip
        sql("UPDATE ledger_importitembalance SET import_item_id = 99 WHERE (license_id, import_item_id) = (2, 4)")
    assert found() == [
        (ONE, None, "row", "missing", "present", Cause.EDITED),
        (TWO, None, "row", "present", "missing", Cause.EDITED),
        (TWO, 1, "row", "missing", "present", Cause.EDITED),
        (TWO, 2, "row", "missing", "present", Cause.EDITED),
    ]


def test_balances_of_a_license_that_is_gone() -> None:
    License.objects.get(license_number=ONE).delete()
    lose_changes()
    assert found() == [
        ("", None, "row", "present", "missing", Cause.CHANGE_LOST),
        ("", None, "row", "present", "missing", Cause.CHANGE_LOST),
        ("", None, "row", "present", "missing", Cause.CHANGE_LOST),
    ]


def test_a_new_license_whose_change_was_lost() -> None:
    License.objects.create(license_number="0310000003", license_date="2026-01-01")
    lose_changes()
    assert found() == [("0310000003", None, "row", "missing", "present", Cause.CHANGE_LOST)]


def test_older_rules() -> None:
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET rule_version = 0 WHERE license_id = 1")
    [(number, item, field, stored, _, cause)] = found()
    assert (number, item, field, stored, cause) == (ONE, None, "rule_version", "0", Cause.OLDER_RULES)


def test_a_quarantined_license() -> None:
    ExportItem.objects.filter(license__license_number=ONE).update(cif_fc=Decimal("9999999999999.99"))
    ExportItem.objects.create(license=License.objects.get(license_number=ONE), cif_fc=1)
    assert drain().quarantined == {1}
    assert {(number, cause) for number, *_, cause in found()} == {(ONE, Cause.QUARANTINED)}


@pytest.mark.parametrize(("days", "cause"), [(1, Cause.EXPIRY), (2, Cause.MISSED_EXPIRY), (400, Cause.MISSED_EXPIRY)])
def test_an_expiry_that_turned(days: int, cause: Cause) -> None:
    """Computed on the expiry date itself, as it were, and not looked at since."""
    expiry = business_date() - timedelta(days=days)
    License.objects.filter(license_number=ONE).update(license_expiry_date=expiry)
    drain()
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql(
            """
            UPDATE ledger_licensebalance
            SET is_expired = false, computed_at = %s::timestamp AT TIME ZONE 'Asia/Kolkata', seal = md5(ROW(
                license_id, credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif, is_null, false,
                rule_version
            )::text)::uuid
            WHERE license_id = 1
            """,
            f"{expiry} 12:00",
        )
    assert found() == [(ONE, None, "is_expired", "false", "true", cause)]
    assert together(audit_all([])).drift == ([] if cause is Cause.EXPIRY else together(audit_all([])).differences)


def test_what_is_repaired_is_no_longer_found() -> None:
    with unguarded():
        sql("UPDATE ledger_licensebalance SET balance_cif = 999")
        sql("DELETE FROM ledger_importitembalance WHERE license_id = 2")
    recompute([1, 2])
    assert found() == []
    assert_balances_follow_facts()


# what somebody does to a trigger of a fact table, and what the guard says of it
TRIGGER = "pgtrigger_capture_update"
TAMPERING = {
    "disabled": "ALTER TABLE ledger_billofentryline DISABLE TRIGGER {name}",
    "not for the replica role": "ALTER TABLE ledger_billofentryline ENABLE TRIGGER {name}",
    "missing": "DROP TRIGGER {name} ON ledger_billofentryline",
    "replaced": "CREATE OR REPLACE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
    "SET search_path TO pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'",
}
HARMLESS = "not for the replica role"


@pytest.mark.parametrize(("state", "tamper"), TAMPERING.items(), ids=TAMPERING.keys())
def test_a_trigger_that_was_tampered_with_is_named_and_explains_the_drift(state: str, tamper: str) -> None:
    name = one(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger_billofentryline'::regclass AND tgname LIKE %s",
        f"{TRIGGER}%",
    )
    try:
        sql(tamper.format(name=name))
        assert [(f.table, f.trigger, f.state) for f in trigger_faults()] == [("ledger_billofentryline", name, state)]
        sql("UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1")
        if state == HARMLESS:
            drain()
            assert found() == []
        else:
            assert {cause for *_, cause in found()} == {Cause.TRIGGER}
            # a sum of other tables is not explained by it
            ExportItem.objects.update(cif_fc=2000)
            lose_changes()
            assert {cause for *_, field, _, _, cause in found() if field == "credit_cif"} == {Cause.CHANGE_LOST}
    finally:
        reinstall()
    assert trigger_faults() == []


def test_a_trigger_on_another_event_is_replaced() -> None:
    name = one(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'license_exportitem'::regclass AND tgname LIKE %s", f"{TRIGGER}%"
    )
    try:
        sql(f"DROP TRIGGER {name} ON license_exportitem")
        sql(
            f"CREATE TRIGGER {name} AFTER UPDATE ON license_exportitem REFERENCING OLD TABLE AS old_rows NEW TABLE AS "
            f"new_rows FOR EACH STATEMENT WHEN (false) EXECUTE FUNCTION public.{name}()"
        )
        sql(f"ALTER TABLE license_exportitem ENABLE ALWAYS TRIGGER {name}")
        assert [fault.state for fault in trigger_faults()] == ["replaced"]
    finally:
        reinstall()


def test_the_guard_of_the_balances_is_guarded_too() -> None:
    try:
        sql("ALTER TABLE ledger_importitembalance DISABLE TRIGGER ALL")
        assert {(fault.table, fault.state) for fault in trigger_faults()} == {("ledger_importitembalance", "disabled")}
    finally:
        reinstall()
    assert trigger_faults() == []


def test_a_guard_of_the_trail_that_looks_away_is_replaced() -> None:
    table = "ledger_trailentry"
    [(name, definition)] = sql(
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " WHERE tgrelid = %s::regclass AND tgname LIKE '%%guard_insert%%'",
        table,
    )
    try:
        sql(f"DROP TRIGGER {name} ON {table}; " + definition.replace("depth() = 0", "depth() = 9"))
        assert [(fault.table, fault.trigger, fault.state) for fault in trigger_faults()] == [(table, name, "replaced")]
    finally:
        sql(f"DROP TRIGGER {name} ON {table}; {definition}")
    assert trigger_faults() == []


def reinstall() -> None:
    call_command("pgtrigger", "install", verbosity=0)


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = 0
    try:
        call_command("audit_drift", *arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    except CommandError as error:
        status = error.returncode
    return status, capsys.readouterr().out


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out = run(capsys=capsys)
    assert (status, out) == (0, "2 licenses checked, 0 differences; 0 changes pending.\n")
    with unguarded():
        sql("UPDATE ledger_licensebalance SET balance_cif = 999 WHERE license_id = 1")
    ExportItem.objects.filter(license__license_number=TWO).update(cif_fc=2000)
    pending = one("SELECT count(*) FROM ledger_licensechange")

    status, out = run("--format", "json", capsys=capsys)
    assert status == 1
    drift = {
        "license_number": ONE,
        "serial_number": None,
        "field": "balance_cif",
        "stored": "999.00",
        "expected": "500.00",
        "cause": "edited directly",
    }
    told = json.loads(out)
    [line] = [words(row.pop("evidence")) for row in told["drift"]]
    assert line.startswith("UPDATE of license balances, ")
    assert told == {
        "business_date": business_date().isoformat(),
        "licenses_checked": 2,
        "pending": pending,
        "triggers": [],
        "drift": [drift],
    }
    file = tmp_path / "drift.csv"
    assert run("--format", "csv", "--output", str(file), capsys=capsys) == (1, "")
    assert list(csv.DictReader(io.StringIO(file.read_text()))) == [{**drift, "serial_number": "", "evidence": line}]
    status, out = run(capsys=capsys)
    assert status == 1
    assert "edited directly" in out
    assert "1 licenses follow in a moment" in out
    assert run("--license", TWO, capsys=capsys)[0] == 0
    assert run("--license", "310000001", capsys=capsys)[0] == 1
    assert run("--license", "4711", capsys=capsys) == (2, "")
    assert run("--output", str(tmp_path), capsys=capsys) == (2, "")


def test_the_audit_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: Any) -> None:
        sql("UPDATE license_exportitem SET cif_fc = 1")

    monkeypatch.setattr("reconcile.management.commands.audit_drift.audit_all", write)
    with pytest.raises(Exception, match="read-only transaction"):
        call_command("audit_drift")
    assert one("SELECT min(cif_fc) FROM license_exportitem") == 1000


def test_the_plan_of_an_audit_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    with unguarded():
        sql("UPDATE ledger_licensebalance SET balance_cif = 999 WHERE license_id = 1")
    seen = {}

    def rows(name: str, **parameters: Any) -> list[Any]:
        seen[name] = one("SELECT current_setting('jit')")
        return Queries.rows(queries, name, **parameters)

    def dicts(name: str, **parameters: Any) -> list[dict[str, Any]]:
        seen[name] = one("SELECT current_setting('jit')")
        return Queries.dicts(queries, name, **parameters)

    monkeypatch.setattr(queries, "rows", rows)
    monkeypatch.setattr(queries, "dicts", dicts)
    together(audit_all([]))
    assert (seen["look"], seen["list_differences"]) == ("off", "off")
    assert one("SELECT current_setting('jit')") == one("SELECT reset_val FROM pg_settings WHERE name = 'jit'")


def test_the_next_licenses_are_those_with_a_fact_or_a_balance() -> None:
    """Licenses 3, 4, 7; a balance is left of licenses 1, 2, 5, 6, 8 and 9."""
    with unguarded():
        sql("UPDATE license_license SET id = id + 2")
        sql("INSERT INTO license_license (id, license_number, license_date) VALUES (7, '0310000007', '2026-01-01')")
        for license_id in (5, 6, 8):
            sql("INSERT INTO ledger_licensebalance SELECT %s, credit_cif, debited_cif, allotted_cif, balance_cif, "
                "overdrawn_cif, is_null, is_expired, computed_at, computed_xid, rule_version, seal "
                "FROM ledger_licensebalance WHERE license_id = 1", license_id)  # fmt: skip
        sql("UPDATE ledger_importitembalance SET license_id = 9 WHERE import_item_id = 2")
    for at_once in range(1, 11):
        after, seen = 0, []
        while batch := queries.column("next_licenses", after=after, at_most=at_once):
            assert len(batch) <= at_once
            assert at_once == len(batch) or batch[-1] == 9
            seen += batch
            after = batch[-1]
        assert seen == list(range(1, 10)), at_once


SECONDS_OF_LOAD = 10
AUDITS = 20


def add_a_debit(chance: random.Random) -> None:
    bill = BillOfEntry.objects.create(number=str(chance.random())[:20])
    line = BillOfEntryLine(bill_of_entry=bill, import_item_id=chance.choice([1, 2, 3, 4]), cif_fc=chance.randint(0, 50))
    BillOfEntryLine.objects.bulk_create([line])


def change_a_credit(chance: random.Random) -> None:
    ExportItem.objects.filter(license_id=chance.choice([1, 2])).update(cif_fc=chance.randint(0, 5000))


def move_an_item(chance: random.Random) -> None:
    sql(
        "UPDATE license_importitem SET license_id = 3 - license_id, serial_number = %s WHERE id = %s",
        chance.randint(10, 10**6),
        chance.choice([1, 2, 3, 4]),
    )


def delete_a_debit(chance: random.Random) -> None:
    sql("DELETE FROM ledger_billofentryline WHERE id = (SELECT min(id) FROM ledger_billofentryline)")


def turn_the_allotments(chance: random.Random) -> None:
    sql("DELETE FROM ledger_allotment_bills_of_entry")
    if chance.random() < 0.5:
        sql(LOST["a released allotment"] + " ON CONFLICT DO NOTHING")


WRITES = (add_a_debit, change_a_credit, move_an_item, delete_a_debit, turn_the_allotments)


def write_something(chance: random.Random) -> None:
    try:
        with transaction.atomic():
            for _ in range(chance.randint(1, 3)):
                chance.choice(WRITES)(chance)
    except OperationalError as error:
        if "deadlock" not in str(error):  # of writers with each other, as they always could
            raise


def in_a_loop(
    work: Callable[[random.Random], Any], seed: int, over: threading.Event, failures: list[Exception]
) -> None:
    chance = random.Random(seed)
    try:
        while not over.is_set():
            work(chance)
    except Exception as error:  # noqa: BLE001 (a thread has nobody to raise to: the test looks)
        failures.append(error)
    finally:
        connection.close()


def test_no_false_alarm_while_others_write() -> None:
    """Four writers, two engines, and an audit in a loop: every difference it sees is lag."""
    over, failures = threading.Event(), list[Exception]()
    works = [write_something] * 4 + [lambda _: drain()] * 2
    threads = [threading.Thread(target=in_a_loop, args=(work, seed, over, failures)) for seed, work in enumerate(works)]
    for thread in threads:
        thread.start()
    audits, alarms, lags = 0, [], 0
    end = time.monotonic() + SECONDS_OF_LOAD
    try:
        while (time.monotonic() < end or audits < AUDITS) and not failures:
            seen = together(audit_all([]))
            audits += 1
            alarms += seen.drift
            lags += bool(seen.differences)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert alarms == []
    assert lags > 0  # it did look while they wrote
    drain()
    assert found() == []
    assert_balances_follow_facts()


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_table_cuts_no_number_on_a_narrow_terminal(columns: str) -> None:
    license = License.objects.create(license_number="0310009999", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc="9999999999999.99")
    drain()
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = %s", license.pk)
    text = _table(together(audit_all([])), [], int(columns))
    assert " 99,99,99,99,99,999.99 " in text
    assert "balance_cif" in text
    assert "…" not in text
