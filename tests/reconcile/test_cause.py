"""Each way by which a balance can come to be wrong, tried on purpose: the drift names who did it, when and by what, and
nobody else."""

import csv
import io
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from ledger.acting import acting
from ledger.engine import drain, recompute
from ledger.models import BillOfEntryLine, TrailEntry, TrailStatement
from ledger.trail_words import of_statement
from license.models import ExportItem, ImportItem, License
from reconcile.audit import Cause, audit_all, together
from reconcile.evidence import words
from reconcile.guard import trigger_faults
from reconcile.management.commands.audit_drift import _csv, _json, _table
from reconcile.models import Drift
from reconcile.night import start, work
from reconcile.report import gather
from reconcile.report_files import as_csv, as_json
from reconcile.report_html import as_html
from reconcile.report_text import as_text
from tests.conftest import one, sql
from tests.engine.sessions import make_licenses

pytestmark = pytest.mark.usefixtures("database")

Evidence = dict[str, Any]


@pytest.fixture(autouse=True)
def two_licenses(database: None) -> None:
    """Licenses 1 and 2 of 1000.00, with items 1 and 2, 3 and 4, and a debit of 100.00 on items 1 and 3; drained."""
    make_licenses(2)
    sql("UPDATE license_importitem SET id = 3 WHERE id = 2")
    sql("INSERT INTO license_importitem (id, license_id, serial_number, quantity) VALUES (2, 1, 2, 10), (4, 2, 2, 10)")
    sql("INSERT INTO ledger_billofentryline (id, bill_of_entry_id, import_item_id, cif_fc) "
        "VALUES (1, 1, 1, 100), (3, 1, 3, 100)")  # fmt: skip
    sql("SELECT setval(pg_get_serial_sequence('ledger_billofentryline', 'id'), 1000)")
    drain()
    with acting("earlier"):  # what the balances have seen
        BillOfEntryLine.objects.update(cif_fc=200)
        drain()


def found() -> dict[tuple[str, int | None, str], tuple[Cause, Evidence]]:
    differences = together(audit_all(trigger_faults())).differences
    return {(d.license_number, d.serial_number, d.field): (d.cause, d.evidence) for d in differences}


def causes() -> set[Cause]:
    return {cause for cause, _ in found().values()}


def who() -> set[str]:
    """The users that are named, of all that has evidence."""
    return {evidence.get("user", "") for _, evidence in found().values()}


def lose_changes() -> None:
    sql("DELETE FROM ledger_licensechange")


def reinstall() -> None:
    call_command("pgtrigger", "install", verbosity=0)


@contextmanager
def switched_off(table: str, triggers: str = "") -> Generator[None]:
    """The triggers of a table whose names begin so."""
    names = sql(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname LIKE %s AND NOT tgisinternal",
        table,
        f"pgtrigger\\_{triggers}%",
    )
    try:
        for (name,) in names:
            sql(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        yield
    finally:
        reinstall()


# ── A change is lost ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def clerk(database: None) -> Generator[psycopg.Connection[Any]]:
    """Somebody with a role of his own, and a program of his own."""
    sql("CREATE ROLE clerk SUPERUSER")
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], application_name="excel", autocommit=True) as other:
            other.execute("SET SESSION AUTHORIZATION clerk")
            yield other
    finally:
        sql("DROP ROLE clerk")


def test_what_another_program_wrote_and_hid(clerk: psycopg.Connection[Any]) -> None:
    before = timezone.now()
    clerk.execute("UPDATE ledger_billofentryline SET cif_fc = 250 WHERE import_item_id = 1; -- rounded up")
    clerk.execute("DELETE FROM ledger_licensechange")
    after = timezone.now()
    seen = found()
    assert set(seen) == {
        ("1", None, "debited_cif"), ("1", None, "balance_cif"), ("1", 1, "debited_value"), ("1", 1, "available_value"),
        ("1", 2, "available_value"),
    }  # fmt: skip
    for cause, evidence in seen.values():
        assert cause is Cause.CHANGE_LOST
        assert before < datetime.fromisoformat(evidence.pop("at")) < after
        assert evidence == {
            "statement_id": one("SELECT max(id) FROM ledger_trailstatement"),
            "user": "",
            "via": "",
            "role": "clerk",
            "application": "excel",
            "operation": "UPDATE",
            "table": "ledger_billofentryline",
            "statement": "UPDATE ledger_billofentryline SET cif_fc = 250 WHERE import_item_id = 1; -- rounded up",
        }


LOST: dict[str, tuple[Callable[[], Any], str]] = {
    "a debit deleted": (lambda: BillOfEntryLine.objects.get(pk=1).delete(), "DELETE ledger_billofentryline"),
    "a debit moved away": (
        lambda: BillOfEntryLine.objects.filter(pk=1).update(import_item_id=2), "UPDATE ledger_billofentryline",
    ),
    "a credit": (lambda: ExportItem.objects.filter(pk=1).update(cif_fc=5), "UPDATE license_exportitem"),
    "an item deleted": (lambda: ImportItem.objects.filter(pk=2).delete(), "DELETE license_importitem"),
    "a reservation": (
        lambda: sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (1, 1, 7)"),
        "INSERT ledger_allotmentline",
    ),
    "an expiry date": (
        lambda: License.objects.filter(pk=1).update(license_expiry_date="2020-01-01"), "UPDATE license_license",
    ),
    "a percentage, on which no sum depends": (
        lambda: ImportItem.objects.filter(pk=2).update(restriction_percentage=2), "UPDATE license_importitem",
    ),
    "a whole license deleted": (lambda: License.objects.get(pk=1).delete(), "DELETE license_license"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "told"), LOST.values(), ids=LOST.keys())
def test_what_asha_wrote_and_a_program_hid(write: Callable[[], Any], told: str) -> None:
    sql("UPDATE license_license SET notification_number = '098/2009' WHERE id = 1")
    drain()
    with acting("asha", via="POST /entry/"):
        write()
    lose_changes()
    seen = found()
    assert seen
    assert {cause for cause, _ in seen.values()} == {Cause.CHANGE_LOST}
    assert {(evidence["user"], evidence["via"]) for _, evidence in seen.values()} == {("asha", "POST /entry/")}
    assert told in {f"{evidence['operation']} {evidence['table']}" for _, evidence in seen.values()}


def test_a_new_license() -> None:
    with acting("asha"):
        License.objects.create(license_number="3", license_date="2026-01-01")
    lose_changes()
    [(cause, evidence)] = found().values()
    assert (cause, evidence["user"], evidence["operation"]) == (Cause.CHANGE_LOST, "asha", "INSERT")


def test_a_released_allotment() -> None:
    sql("INSERT INTO ledger_allotmentline (allotment_id, import_item_id, cif_fc) VALUES (1, 1, 7)")
    drain()
    with acting("asha"):
        sql("INSERT INTO ledger_allotment_bills_of_entry (allotment_id, billofentry_id) VALUES (1, 1)")
    lose_changes()
    seen = found()
    assert ("1", 1, "allotted_value") in seen
    assert {e["table"] for _, e in seen.values()} == {"ledger_allotment_bills_of_entry"}


def test_only_who_can_have_done_it_is_named() -> None:
    with acting("asha"):
        BillOfEntryLine.objects.filter(pk=1).update(cif_fc=250)
    with acting("ravi"):
        sql("INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) VALUES (2, 2, 5)")
    with acting("meera"):  # no balance depends on these
        BillOfEntryLine.objects.filter(pk=1).update(cif_inr=1, disputed_since="2026-01-01")
        ImportItem.objects.update(description="Cashew")
    with acting("somebody else"):
        BillOfEntryLine.objects.filter(pk=3).update(cif_fc=1)
    lose_changes()
    named = {place: evidence["user"] for place, (_, evidence) in found().items() if place[0] == "1"}
    assert named == {
        ("1", None, "debited_cif"): "ravi",  # the newest
        ("1", None, "balance_cif"): "ravi",
        ("1", 1, "debited_value"): "asha",
        ("1", 1, "available_value"): "ravi",
        ("1", 2, "debited_value"): "ravi",
        ("1", 2, "available_value"): "ravi",
    }


# ── A trigger is off ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_written_while_a_capture_trigger_was_off() -> None:
    with switched_off("ledger_billofentryline", "capture"):
        with acting("asha"):
            BillOfEntryLine.objects.filter(pk=1).update(cif_fc=250)
        assert causes() == {Cause.TRIGGER}
        assert who() == {"asha"}
    assert causes() == {Cause.CHANGE_LOST}
    assert who() == {"asha"}


def test_a_fault_of_the_trail_makes_no_balance_suspect() -> None:
    with switched_off("license_exportitem", "trail_delete"), switched_off("ledger_trailentry", "guard"):
        told = {str(fault).rpartition(": ")[2] for fault in trigger_faults()}
        assert told == {"disabled. Anybody may write to it.", "disabled. Who writes to it may be told by no trail."}
        assert found() == {}
        with acting("asha"):
            ExportItem.objects.filter(pk=1).update(cif_fc=5)
        lose_changes()
        assert causes() == {Cause.CHANGE_LOST}
        assert who() == {"asha"}
    assert trigger_faults() == []


# ── Balances are edited by hand ───────────────────────────────────────────────────────────────────────────────────────


def as_the_engine(statement: str) -> None:
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql(statement)


def as_the_replica_role(statement: str) -> None:
    with transaction.atomic():
        sql("SET LOCAL session_replication_role = replica")
        sql(statement)


def without_the_guard(statement: str) -> None:
    table = "ledger_importitembalance" if "ledger_importitembalance" in statement else "ledger_licensebalance"
    with switched_off(table, "guard"):
        sql(statement)


WAYS = [as_the_engine, as_the_replica_role, without_the_guard]
EDITS = {
    "UPDATE ledger_licensebalance SET balance_cif = 999 WHERE license_id = 1": {("1", None, "balance_cif")},
    "UPDATE ledger_importitembalance SET debited_value = 9 WHERE import_item_id = 1": {("1", 1, "debited_value")},
    "DELETE FROM ledger_licensebalance WHERE license_id = 1": {("1", None, "row")},
    "DELETE FROM ledger_importitembalance WHERE import_item_id = 1": {("1", 1, "row")},
    "INSERT INTO ledger_importitembalance SELECT (copy.b).* FROM (SELECT jsonb_populate_record(b, "
    "'{\"license_id\": 1}') AS b FROM ledger_importitembalance AS b WHERE import_item_id = 4) AS copy": {
        ("1", 2, "row")
    },
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("statement", EDITS)
def test_who_edits_a_balance_by_hand_is_named(way: Callable[[str], None], statement: str) -> None:
    with acting("asha"):
        way(statement)
    seen = found()
    assert {place: cause for place, (cause, _) in seen.items()} == dict.fromkeys(EDITS[statement], Cause.EDITED)
    for _, evidence in seen.values():
        assert (evidence["user"], evidence["operation"]) == ("asha", statement.partition(" ")[0])
        assert evidence["table"] in statement
        assert evidence["statement"] == statement[:200]


def test_of_several_edits_each_is_named_for_its_own() -> None:
    for user, change in (("asha", "balance_cif = 1"), ("ravi", "is_null = true"), ("meera", "is_expired = is_expired")):
        with acting(user):
            as_the_engine(f"UPDATE ledger_licensebalance SET {change} WHERE license_id = 1")
    assert {place: e["user"] for place, (_, e) in found().items()} == {
        ("1", None, "balance_cif"): "asha",
        ("1", None, "is_null"): "ravi",
    }


def test_nobody_is_named_for_an_edit_that_left_no_trail() -> None:
    """Neither who has edited the same field to the same value before the engine has put it right."""
    edit = "UPDATE ledger_licensebalance SET balance_cif = 999 WHERE license_id = 1"
    removal = "DELETE FROM ledger_importitembalance WHERE import_item_id = 1"
    for statement in (edit, removal):
        with acting("asha"):
            as_the_engine(statement)
    recompute([1])
    for statement, table in ((edit, "ledger_licensebalance"), (removal, "ledger_importitembalance")):
        with switched_off(table):
            sql(statement)
    assert list(found().values()) == [(Cause.EDITED, {})] * 2
    with acting("ravi"):  # another value, and then one without a trail
        as_the_engine("UPDATE ledger_licensebalance SET balance_cif = 5 WHERE license_id = 1")
    with switched_off("ledger_licensebalance"):
        sql("UPDATE ledger_licensebalance SET balance_cif = 6 WHERE license_id = 1")
    assert found()["1", None, "balance_cif"] == (Cause.EDITED, {})


def test_the_engine_leaves_no_trail() -> None:
    with acting("asha", via="POST /"):
        sql("UPDATE license_exportitem SET cif_fc = 5000")
        drain()
        ImportItem.objects.filter(pk=2).delete()
        License.objects.get(pk=2).delete()
        drain()
        as_the_engine("UPDATE ledger_licensebalance SET balance_cif = 1")
        as_the_engine("UPDATE ledger_importitembalance SET available_value = 1")
        run = start("manual")
        assert run is not None
        work(run)
    assert found() == {}
    of_balances = TrailStatement.objects.filter(table_name__endswith="balance").order_by("pk")
    assert [s.statement.split(" SET")[0] for s in of_balances] == [
        "UPDATE ledger_licensebalance",
        "UPDATE ledger_importitembalance",
    ]


def test_the_trail_of_balances_has_every_row() -> None:
    as_the_engine("UPDATE ledger_importitembalance SET license_id = 2 WHERE import_item_id = 1")
    as_the_engine("UPDATE ledger_importitembalance SET debited_value = debited_value")
    sql("TRUNCATE ledger_licensebalance")
    entries = TrailEntry.objects.filter(table_name__endswith="balance").order_by("pk")
    assert [
        (e.table_name, e.owner_id, e.row_id, *(image and image["license_id"] for image in (e.before, e.after)))
        for e in entries
    ] == [
        ("ledger_importitembalance", 1, 1, 1, None),
        ("ledger_importitembalance", 2, 1, None, 2),
        ("ledger_licensebalance", 1, 1, 1, None),
        ("ledger_licensebalance", 2, 2, 2, None),
    ]
    statements = TrailStatement.objects.filter(table_name__endswith="balance").order_by("pk")
    assert [(s.operation, s.row_count) for s in statements] == [("UPDATE", 2), ("TRUNCATE", 2)]
    [change, _] = of_statement(statements[1].pk, at_most=9)
    assert (change.subject, change.what) == ("balance of license 1", "deleted")
    assert "balance of item 1 of license 1" in {change.subject for change in of_statement(statements[0].pk, at_most=9)}


# ── Everything is off ─────────────────────────────────────────────────────────────────────────────────────────────────

OUTSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "UPDATE ledger_billofentryline SET cif_fc = 250, cif_inr = 1 WHERE id = 1": (
        "row 1 of bill-of-entry lines was written by no statement: cif_fc is 250.00 and was last 200.00",
        {"change": "changed", "columns": {"cif_fc": ["200.00", "250.00"]}},
    ),
    "DELETE FROM ledger_billofentryline WHERE id = 1": (
        "row 1 of bill-of-entry lines is gone, and no statement has deleted it",
        {"change": "gone", "columns": {}},
    ),
    "INSERT INTO ledger_billofentryline (id, bill_of_entry_id, import_item_id, cif_fc) VALUES (2001, 2, 1, 5)": (
        "row 2001 of bill-of-entry lines was written, and by no statement",
        {"row_id": 2001, "change": "unseen", "columns": {}},
    ),
}


@pytest.mark.parametrize("statement", OUTSIDE)
def test_what_was_written_with_everything_off(statement: str) -> None:
    with acting("earlier"):
        BillOfEntryLine.objects.filter(pk=3).update(cif_fc=1)
        ImportItem.objects.update(description="Cashew")
    drain()
    with switched_off("ledger_billofentryline"), acting("asha"):
        sql(statement)
    in_words, evidence = OUTSIDE[statement]
    seen = found()
    assert ("1", 1, "debited_value") in seen
    assert {number for number, *_ in seen} == {"1"}
    for cause, told in seen.values():
        assert cause is Cause.OUTSIDE_TRAIL
        assert told == {"table": "ledger_billofentryline", "row_id": 1} | evidence
        assert words(told) == in_words


def test_what_need_not_be_the_cause_gives_way_to_a_statement() -> None:
    """What no balance depends on; and a row that is gone, nobody knows since when."""
    with switched_off("ledger_billofentryline"):
        sql("UPDATE ledger_billofentryline SET cif_inr = 7")
        sql("DELETE FROM ledger_billofentryline WHERE id = 1")
    recompute([1])
    with acting("asha"):
        sql("INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) VALUES (2, 1, 5), (2, 3, 5)")
    lose_changes()
    assert causes() == {Cause.CHANGE_LOST}
    assert who() == {"asha"}


def test_what_is_older_than_the_trail_is_not_outside_of_it() -> None:
    """The trail is younger than the facts, or what was old of it has been deleted."""
    sql("UPDATE ledger_billofentryline SET cif_inr = 1")
    with transaction.atomic():
        sql("SET LOCAL session_replication_role = replica")
        sql("DELETE FROM ledger_trailentry")
        sql("DELETE FROM ledger_trailstatement")
    as_the_engine("UPDATE ledger_licensebalance SET rule_version = rule_version")
    ExportItem.objects.filter(pk=1).update(description="new")
    with switched_off("license_exportitem"):
        sql("UPDATE license_exportitem SET cif_fc = 5 WHERE id = 1")
    with switched_off("ledger_billofentryline", "trail"):
        BillOfEntryLine.objects.filter(pk=3).update(cif_fc=3)
    lose_changes()
    seen = found()
    assert seen["1", None, "credit_cif"][0] is Cause.OUTSIDE_TRAIL
    assert seen["2", None, "debited_cif"] == (Cause.CHANGE_LOST, {})


# ── It is kept, and told to people ────────────────────────────────────────────────────────────────────────────────────

LINE = "UPDATE of bill-of-entry lines by asha (POST /entry/1/), 23 Nov 2026 17:05:12, as role web from gunicorn"


def test_in_words() -> None:
    said = {
        "statement_id": 1, "at": "2026-11-23T11:35:12.5+00:00", "user": "asha", "via": "POST /entry/1/", "role": "web",
        "application": "gunicorn", "operation": "UPDATE", "table": "ledger_billofentryline", "statement": "UPDATE …",
    }  # fmt: skip
    assert words(said) == LINE
    bare = said | {"user": "", "via": "", "application": "", "at": "2026-11-23T18:30:00+00:00"}
    assert words(bare) == "UPDATE of bill-of-entry lines, 24 Nov 2026 00:00:00, as role web"
    assert "\n" not in words(said | {"user": "a\nb\x1b[1m"})
    assert words({}) == ""


HOSTILE = "=<script>alert('1')</script>\"\n\x1b]0;x"


def test_a_night_and_an_audit_tell_it_and_nothing_in_it_does_harm() -> None:
    with acting(HOSTILE, via=HOSTILE):
        BillOfEntryLine.objects.filter(pk=1).update(cif_fc=250)
    with acting("asha"):
        sql(f"/* {HOSTILE} */ UPDATE license_exportitem SET cif_fc = 5 WHERE id = 2")
    lose_changes()
    audit = together(audit_all([]))
    by_item = {(d.license_id, d.serial_number, d.field): d.evidence for d in audit.differences}
    table = _table(audit, [], 1000)
    assert "change lost: UPDATE of export items by asha, " in table
    assert "\x1b" not in table
    assert json.loads(_json(audit, []))["drift"][0]["evidence"] == audit.drift[0].evidence
    rows = list(csv.DictReader(io.StringIO(_csv(audit, []))))
    assert all(row["evidence"].startswith("UPDATE of ") for row in rows)

    run = start("manual")
    assert run is not None
    work(run)
    run.refresh_from_db()
    kept = Drift.objects.filter(run=run)
    assert {(d.license_id, d.serial_number, d.field): d.evidence for d in kept} == by_item
    assert {d.evidence["user"] for d in kept} == {HOSTILE, "asha"}
    report = gather(run)
    assert "<script" not in as_html(report)
    assert "alert(&#x27;1&#x27;)" in as_html(report)
    assert "change lost: UPDATE of export items by asha, " in " ".join(as_text(report, 400).split())
    assert "\x1b" not in as_text(report)
    assert [row["evidence"] for row in json.loads(as_json(report))["drift"]] == [d.evidence for d in report.drift]
    lines = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert [row["words"] for row in lines if row["kind"] == "drift"] == [d.told for d in report.drift]


def test_what_a_spreadsheet_would_take_for_a_formula() -> None:
    """Whatever the evidence begins with."""
    with acting("asha"):
        ExportItem.objects.filter(pk=1).update(cif_fc=5)
    lose_changes()
    run = start("manual")
    assert run is not None
    work(run)
    sql('UPDATE reconcile_drift SET evidence = evidence || \'{"operation": "=1+1"}\'')
    [row, *_] = csv.DictReader(io.StringIO(as_csv(gather(run))))
    assert row["words"].startswith("'=1+1 of export items")
