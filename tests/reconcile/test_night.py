"""The night: one run for each business date, its work in chunks, what it finds repaired and written down."""

import threading
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from ledger.engine import drain
from ledger.models import LicenseBalance, Quarantine
from license.clock import business_date
from license.models import ExportItem, ImportItem, License
from license.tasks import sync_all_licenses
from lmanagement.celery import app
from reconcile import night
from reconcile.models import Drift, ReconciliationChunk, ReconciliationRun, RunStatus, RunTrigger
from reconcile.tasks import check_night
from tests.conftest import assert_balances_follow_facts, one, sql

pytestmark = pytest.mark.usefixtures("database")

LICENSES = 7


@pytest.fixture(autouse=True)
def licenses(database: None) -> list[License]:
    """Licenses of 1000.00 with an item each, drained."""
    licenses = [License.objects.create(license_number=f"{n:010}", license_date="2026-01-01") for n in range(1, 8)]
    for license in licenses:
        ExportItem.objects.create(license=license, cif_fc=1000)
        ImportItem.objects.create(license=license, serial_number=1, quantity=100)
    drain()
    return licenses


def tamper(statement: str, *parameters: Any) -> None:
    """Write a balance by hand, as somebody does who means it."""
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql(statement, *parameters)


def sync(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    call_command("sync_licenses", *arguments)
    return capsys.readouterr().out


def drift() -> list[tuple[Any, ...]]:
    fields = ("license_number", "serial_number", "field", "stored", "expected", "cause", "repaired")
    return list(Drift.objects.order_by("license_number", "serial_number", "field").values_list(*fields))


def test_a_night_finds_repairs_and_writes_down(capsys: pytest.CaptureFixture[str]) -> None:
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = 3")
    tamper("DELETE FROM ledger_importitembalance WHERE license_id = 5")
    out = sync("--batch-size", "2", capsys=capsys)
    run = ReconciliationRun.objects.get()
    assert (run.business_date, run.trigger, run.status) == (business_date(), RunTrigger.NIGHT, RunStatus.COMPLETE)
    assert run.finished_at is not None
    assert (run.licenses_checked, run.licenses_drifted, run.licenses_repaired) == (LICENSES, 2, 2)
    assert drift() == [
        ("0000000003", None, "balance_cif", "1.00", "1000.00", "edited directly", True),
        ("0000000005", 1, "row", "missing", "present", "edited directly", True),
    ]
    ranges = ReconciliationChunk.objects.order_by("pk").values_list("first_license_id", "last_license_id", "attempts")
    assert list(ranges) == [(1, 2, 1), (3, 4, 1), (5, 6, 1), (7, 7, 1)]
    assert_balances_follow_facts()
    assert "7 licenses checked, 2 drifted" in out
    [line] = [line.split() for line in out.splitlines() if "balance_cif" in line]
    assert line[:6] == ["0000000003", "balance_cif", "1.00", "1,000.00", "edited", "directly:"]
    assert line[-1] == "repaired"


def test_expiry_flags_are_turned_and_are_no_drift() -> None:
    yesterday = business_date() - timedelta(days=1)
    License.objects.filter(pk=2).update(license_expiry_date=yesterday)
    drain()
    tamper(
        """
        UPDATE ledger_licensebalance
        SET is_expired = false, computed_at = now() - interval '2 days', seal = md5(ROW(
            license_id, credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif, is_null, false, rule_version
        )::text)::uuid
        WHERE license_id = 2
        """
    )
    assert sync_all_licenses()["status"] == "success"
    run = ReconciliationRun.objects.get()
    assert (run.licenses_drifted, run.licenses_expired, run.licenses_repaired) == (0, 1, 0)
    assert drift() == [("0000000002", None, "is_expired", "false", "true", "expiry", True)]
    assert LicenseBalance.objects.get(pk=2).is_expired


def test_what_is_pending_is_left_to_the_workers() -> None:
    ExportItem.objects.filter(license_id=2).update(cif_fc=2000)
    sync_all_licenses()
    assert drift() == []
    assert one("SELECT count(*) FROM ledger_licensechange") == 1


def test_without_items_their_drift_is_reported_and_stays(capsys: pytest.CaptureFixture[str]) -> None:
    tamper("UPDATE ledger_importitembalance SET available_quantity = 1 WHERE license_id = 4")
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = 4")
    sync("--no-items", capsys=capsys)
    assert [(row[1], row[6]) for row in drift()] == [(1, False), (None, True)]
    assert one("SELECT available_quantity FROM ledger_importitembalance WHERE license_id = 4") == 1
    assert night.is_owed(business_date())  # half a run is not the night
    sync(capsys=capsys)
    assert_balances_follow_facts()


def test_a_dry_run_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = 3")
    ExportItem.objects.filter(license_id=2).update(cif_fc=2000)
    tables = (
        "ledger_licensechange",
        "ledger_licensebalance",
        "ledger_importitembalance",
        "reconcile_reconciliationrun",
    )
    before = [sql(f"SELECT t.*, t.xmin::text FROM {table} AS t ORDER BY 1") for table in tables]
    out = sync("--dry-run", capsys=capsys)
    assert "7 licenses checked, 1 differences" in out
    assert "0000000003 balance_cif: 1.00, expected 1,000.00 (edited directly: UPDATE of license balances, " in out
    assert [sql(f"SELECT t.*, t.xmin::text FROM {table} AS t ORDER BY 1") for table in tables] == before


def test_one_license_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id IN (3, 4)")
    assert "is recomputed" in sync("--license", "3", capsys=capsys)
    assert [balance.balance_cif for balance in LicenseBalance.objects.filter(pk__in=[3, 4]).order_by("pk")] == [1000, 1]
    with pytest.raises(CommandError, match=r"No license has the number '0000004711'\."):
        call_command("sync_licenses", "--license", "4711")


@pytest.mark.parametrize("size", ["0", "-1", "x", "٣", "9" * 20])
def test_a_wrong_batch_size_is_refused(size: str) -> None:
    with pytest.raises(CommandError, match="is not a number of licenses"):
        call_command("sync_licenses", "--batch-size", size)


def test_the_result_is_as_documented() -> None:
    result = sync_all_licenses()
    assert set(result) == {"status", "output", "timestamp"}
    assert result["status"] == "success"
    when = datetime.fromisoformat(result["timestamp"])
    assert when.tzinfo is not None
    assert abs(timezone.now() - when) < timedelta(minutes=1)


def test_a_quarantined_license_is_counted_and_is_no_failure() -> None:
    ExportItem.objects.filter(license_id=2).update(cif_fc=Decimal("9999999999999.99"))
    ExportItem.objects.create(license_id=2, cif_fc=1)
    drain()
    result = sync_all_licenses()
    assert result["status"] == "success"
    assert "1 in quarantine" in result["output"]
    assert Quarantine.objects.get().attempts == 2  # the night tried it again
    assert {(row[0], row[5], row[6]) for row in drift()} == {("0000000002", "quarantined", False)}


def test_a_chunk_that_fails_stops_no_other_and_the_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1")
    find_drift = night.find_drift

    def fail_on_three(license_ids: list[int], faults: Any) -> Any:
        if 3 in license_ids:
            sql("SELECT 1 / 0")
        return find_drift(license_ids, faults)

    monkeypatch.setattr(night, "find_drift", fail_on_three)
    with pytest.raises(
        CommandError, match=r"1 chunks of the run failed: licenses 0000000003 to 0000000004: division by zero"
    ):
        call_command("sync_licenses", "--batch-size", "2")
    run = ReconciliationRun.objects.get()
    assert (run.status, run.licenses_checked) == (RunStatus.INCOMPLETE, 5)
    assert [chunk.attempts for chunk in run.chunks.order_by("pk")] == [1, night.ATTEMPTS, 1, 1]
    assert sorted(LicenseBalance.objects.filter(balance_cif=1).values_list("pk", flat=True)) == [3, 4]


def test_what_failed_is_tried_again_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trouble may have passed by then."""
    run = night.start(RunTrigger.NIGHT, batch_size=3)
    assert run is not None
    with monkeypatch.context() as patch:
        patch.setattr(night, "find_drift", lambda *_: sql("SELECT 1 / 0"))
        assert night.take_chunk(run) == 0
    assert night.take_chunk(run) == 3
    chunks = run.chunks.order_by("pk")
    assert [(chunk.attempts, chunk.finished_at is None) for chunk in chunks] == [(1, True), (1, False), (0, True)]
    night.work(run)
    assert run.chunks.filter(finished_at=None).count() == 0


def test_a_flag_that_was_edited_is_drift_and_no_expiry() -> None:
    tamper("UPDATE ledger_licensebalance SET is_expired = true WHERE license_id = 2")
    sync_all_licenses()
    run = ReconciliationRun.objects.get()
    assert (run.licenses_drifted, run.licenses_expired, run.licenses_repaired) == (1, 0, 1)


def test_the_failure_of_a_run_is_the_error_of_the_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        return sql("SELECT 1 / 0")

    monkeypatch.setattr(night, "find_drift", fail)
    result = sync_all_licenses()
    assert result["status"] == "error"
    assert "1 chunks of the run failed" in result["error"]
    [told] = [record for record in caplog.records if record.name == "license.tasks"]
    assert (told.levelname, told.getMessage()) == ("ERROR", f"the reconciliation failed: {result['error']}")


def test_a_second_run_takes_part_in_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    run = night.start(RunTrigger.NIGHT, batch_size=2)
    assert run is not None
    assert night.take_chunk(run) == 2
    assert night.start(RunTrigger.MANUAL) is None
    assert "A run is active since" in sync(capsys=capsys)
    run.refresh_from_db()
    assert (run.status, run.licenses_checked) == (RunStatus.COMPLETE, LICENSES)
    assert ReconciliationRun.objects.count() == 1


def test_two_beats_at_the_same_instant_begin_one_night() -> None:
    together, runs = threading.Barrier(4), []

    def begin() -> None:
        try:
            together.wait()
            runs.append(night.start(RunTrigger.NIGHT))
        finally:
            connection.close()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(run is not None for run in runs) == 1
    assert ReconciliationRun.objects.count() == 1
    assert ReconciliationChunk.objects.count() == 1


def test_a_scheduled_run_is_for_the_night_that_has_not_been() -> None:
    assert "the night" in sync_all_licenses(scheduled=True)["output"]
    assert "has been" in sync_all_licenses(scheduled=True)["output"]
    assert "by hand" in sync_all_licenses()["output"]
    assert sorted(ReconciliationRun.objects.values_list("trigger", flat=True)) == ["manual", "night"]


def test_an_owed_night_is_made_up() -> None:
    """Beat was down at midnight: what it asks every few minutes begins the night when it is back."""
    check_night()
    check_night()
    assert ReconciliationRun.objects.get().status == RunStatus.COMPLETE


def test_a_run_that_was_cut_off_is_gone_on_with() -> None:
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1")
    run = night.start(RunTrigger.NIGHT, batch_size=2)
    assert run is not None
    night.take_chunk(run)
    assert night._lease(run) is not None  # and here its worker dies
    check_night()
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING  # the dead one may still be alive, for all that anybody knows
    sql("UPDATE reconcile_reconciliationchunk SET leased_until = now() - interval '1 second' WHERE finished_at IS NULL")
    check_night()
    run.refresh_from_db()
    assert (run.status, run.licenses_checked, run.licenses_repaired) == (RunStatus.COMPLETE, LICENSES, LICENSES)
    assert_balances_follow_facts()


def test_one_that_lost_its_lease_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tamper("UPDATE ledger_licensebalance SET balance_cif = 1")
    run = night.start(RunTrigger.NIGHT)
    assert run is not None
    recompute = night.recompute

    def slow(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(night, "recompute", recompute)
        sql("UPDATE reconcile_reconciliationchunk SET leased_until = now() - interval '1 second'")
        night.work(run)  # another worker takes it, and is done first
        return recompute(*arguments, **options)

    monkeypatch.setattr(night, "recompute", slow)
    night.work(run)
    run.refresh_from_db()
    assert (run.status, run.licenses_checked) == (RunStatus.COMPLETE, LICENSES)
    assert len(drift()) == LICENSES


def test_beat_begins_it_at_midnight_in_india() -> None:
    entry = app.conf.beat_schedule["night"]
    assert entry["task"] == "license.tasks.sync_all_licenses"
    assert (entry["schedule"].hour, entry["schedule"].minute, app.conf.timezone) == ({18}, {30}, "UTC")
