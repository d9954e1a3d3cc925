"""The processes that a user starts, real ones, against real servers: what is written comes out as a balance."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import transaction

from api import webhooks
from api.models import Webhook
from django_setup import BACKEND
from ledger import hints
from ledger.engine import drain
from ledger.models import Allotment, AllotmentLine, BillOfEntry, BillOfEntryLine
from license.models import Company, ExportItem, ImportItem, License
from license.tasks import sync_all_licenses
from processes import celery
from reconcile.models import ReconciliationRun
from reconcile.tasks import check_night
from servers import Servers
from tests.acceptance.conftest import WORKER, balance_of, is_idle, manage, nothing_is_pending, until
from tests.api.receiver import Receiver
from tests.conftest import assert_balances_follow_facts, sql
from tests.web.conftest import forget_people

pytestmark = pytest.mark.usefixtures("database")


def test_a_save_is_followed_without_beat_or_sweep(worker: subprocess.Popen[bytes], license: License) -> None:
    until(lambda: balance_of(license) == 1000, "the balance of a new license")
    bill = BillOfEntry.objects.create(number="1", date="2026-02-01")
    item = license.import_items.get()
    line = BillOfEntryLine.objects.create(bill_of_entry=bill, import_item=item, quantity=10, cif_fc=400)
    until(lambda: balance_of(license) == 600, "a debit")
    allotment = Allotment.objects.create(company=Company.objects.create(iec="0000000001"))
    AllotmentLine.objects.create(allotment=allotment, import_item=item, quantity=1, cif_fc=100)
    until(lambda: balance_of(license) == 500, "an allotment")
    allotment.bills_of_entry.add(bill)
    until(lambda: balance_of(license) == 600, "its release")
    line.delete()
    until(lambda: balance_of(license) == 1000, "a deleted debit")
    license.delete()
    until(lambda: sql("SELECT * FROM ledger_licensebalance") == [], "a deleted license")
    until(nothing_is_pending, "an empty outbox")
    assert_balances_follow_facts()


def test_a_worker_keeps_its_connections_and_replaces_those_that_broke(license: License, tmp_path: Path) -> None:
    export = license.export_items.get()
    sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'kept' AND backend_type = 'client backend'"

    def follow(amounts: range) -> set[int]:
        seen = set()
        for export.cif_fc in amounts:
            export.save()
            until(lambda: balance_of(license) == export.cif_fc, "the balance")
            seen |= {pid for (pid,) in sql(sessions)}
        return seen

    with celery(*WORKER, "--concurrency=2", log="1.log", folder=tmp_path, environment={"PGAPPNAME": "kept"}):
        kept = follow(range(1, 11))
        assert 1 <= len(kept) <= 2  # one for each process
        sql(f"SELECT pg_terminate_backend(pid) FROM ({sessions}) AS session")
        assert not kept & follow(range(11, 21))
    assert "Traceback" not in (tmp_path / "1.log").read_text()


def test_a_line_that_moves_is_followed_on_both_licenses(worker: subprocess.Popen[bytes], license: License) -> None:
    other = License.objects.create(license_number="0310000002", license_date="2026-01-01")
    ExportItem.objects.create(license=other, cif_fc=2000)
    theirs = ImportItem.objects.create(license=other, serial_number=1, quantity=100)
    line = BillOfEntryLine.objects.create(
        bill_of_entry=BillOfEntry.objects.create(number="1"), import_item=license.import_items.get(), cif_fc=400
    )
    until(lambda: balance_of(license) == 600, "a debit")
    line.import_item = theirs
    line.save()
    until(lambda: balance_of(license) == 1000 and balance_of(other) == 1600, "the debit moved")


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """A program that is told what changes."""
    receiver = Receiver()
    forget_people()
    user = User.objects.create(username="erp", is_superuser=True)
    receiver.secret = webhooks.add(user, receiver.url).secret
    with receiver.up():
        yield receiver
    Webhook.objects.all().delete()
    forget_people()
    assert receiver.wrong == []


def test_the_sweep_finds_what_no_signal_announced_and_a_webhook_tells_it(
    license: License, receiver: Receiver, tmp_path: Path
) -> None:
    hints.flush()
    # everybody else is told: PostgreSQL alone knows of this write
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE license_exportitem SET cif_fc = 1234")
    often = {"WEBHOOK_SECONDS": "0.5"}
    with celery(*WORKER, "--beat", "--concurrency=2", log="worker.log", folder=tmp_path, environment=often):
        until(lambda: balance_of(license) == 1234, "a raw write")
        until(nothing_is_pending, "an empty outbox")
        until(lambda: Webhook.objects.get().position > 0, "it is sent")
    [(_message, event)] = receiver.got
    assert [item["balance"]["balance_cif"] for item in event["data"]["items"]] == ["1234.00"]
    assert_balances_follow_facts()


def test_a_worker_killed_while_it_works_loses_nothing(license: License, tmp_path: Path) -> None:
    """kill -9 in mid-recompute, held there by somebody's lock on the balance; then another worker takes over."""
    with celery(*WORKER, "--beat", "--concurrency=1", log="1.log", folder=tmp_path) as first:
        until(lambda: balance_of(license) == 1000, "the first balance")
        with psycopg.connect(os.environ["DATABASE_URL"]) as holder:
            holder.execute("SELECT FROM ledger_licensebalance FOR UPDATE")
            ExportItem.objects.create(license=license, cif_fc=500)
            waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stored balances%'"
            until(lambda: sql(waits) != [], "it waits for the lock")
            for child in Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            first.kill()
            first.wait()
    assert not nothing_is_pending()
    assert balance_of(license) == 1000
    with celery(*WORKER, "--beat", "--concurrency=2", log="2.log", folder=tmp_path):
        until(lambda: balance_of(license) == 1500, "the balance")
        until(nothing_is_pending, "an empty outbox")
    assert_balances_follow_facts()


def test_writes_go_on_without_a_broker_and_are_followed_when_it_is_back(
    license: License, tmp_path: Path, live_servers: Servers
) -> None:
    with celery("worker", "--beat", "--loglevel=info", "--concurrency=2", log="worker.log", folder=tmp_path):
        until(lambda: balance_of(license) == 1000, "the first balance")
        # one that has a result half told may stall, and be ended by its watchdog for systemd to start another
        until(lambda: is_idle(tmp_path / "worker.log"), "the worker is idle")
        live_servers.redis.stop()
        try:
            with transaction.atomic():
                ExportItem.objects.create(license=license, cif_fc=500)
        finally:
            live_servers.redis.start()
        until(lambda: balance_of(license) == 1500, "the balance after the outage")
    assert_balances_follow_facts()


def test_a_database_that_was_read_only_is_followed_again(license: License, tmp_path: Path) -> None:
    """A session that begins meanwhile would stay read-only."""
    hints.flush()
    [[name]] = sql("SELECT quote_ident(current_database())")
    sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        with celery(*WORKER, "--beat", "--concurrency=1", log="worker.log", folder=tmp_path):
            until(lambda: "in a read-only transaction" in (tmp_path / "worker.log").read_text(), "it is refused")
            assert balance_of(license) is None
            sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            until(lambda: balance_of(license) == 1000, "the balance")
            until(nothing_is_pending, "an empty outbox")
    finally:
        sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert_balances_follow_facts()


@pytest.mark.parametrize("command", [["drain_changes"], ["explain_balance", "1"], ["import_icegate", os.devnull]])
def test_a_database_that_is_away_is_one_line_and_no_traceback(command: list[str]) -> None:
    done = manage(*command, DATABASE_URL="postgres://nobody@127.0.0.1:1/nothing")
    if command[0] == "import_icegate":  # the file is read first, and there is nothing in it
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "DATABASE_URL" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "sqlite:///x.db"),
        ("DATABASE_URL", "postgres://"),
        ("DATABASE_URL", "postgres://h:abc/y"),
        ("SWEEP_SECONDS", "abc"),
        ("SWEEP_SECONDS", "-1"),
        ("DEBUG", "maybe"),
        ("CELERY_ENABLE_UTC", "maybe"),
        ("CELERY_BROKER_URL", "nonsense"),
    ],
)
def test_a_wrong_setting_is_one_line(name: str, value: str) -> None:
    done = manage("drain_changes", **{name: value})
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("-c default_transaction_read_only=on", "The database is read-only"),
        ("-c role=license_web", "lacks a right"),
        ("-c search_path=nowhere", "run manage.py migrate"),
    ],
)
@pytest.mark.parametrize("command", ["drain_changes", "sync_licenses"])
def test_a_database_that_refuses_is_one_line(
    command: str, options: str, says: str, license: License, live_servers: Servers
) -> None:
    done = manage(command, PGOPTIONS=options, DATABASE_URL=live_servers.database_url)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert says in line


def test_a_statement_that_takes_too_long_is_one_line(license: License) -> None:
    """Of an audit; recomputes have no limit."""
    done = manage("audit_drift", PGOPTIONS="-c statement_timeout=1ms")
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert "longer than its statement_timeout allows" in line


def test_drain_changes_needs_no_broker(license: License) -> None:
    done = manage("drain_changes", CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Recomputed 1 licenses" in done.stdout
    assert_balances_follow_facts()


def test_the_worker_consumes_every_queue_and_asks_for_recomputes_first(worker: subprocess.Popen[bytes]) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "lmanagement", "inspect", "active_queues", "--json"],
        cwd=BACKEND,
        capture_output=True,
        text=True,
        timeout=60,
    )
    [queues] = json.loads(shown.stdout).values()
    assert [queue["name"] for queue in queues] == ["recompute", "reconcile", "webhooks"]


def test_a_worker_killed_in_the_night_leaves_its_chunk_to_another(license: License, tmp_path: Path) -> None:
    """kill -9 in the middle of a chunk, held there by somebody's lock on a balance that must be repaired."""
    drain()
    hints.flush()
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1")
    with (
        celery(*WORKER, "--concurrency=1", log="1.log", folder=tmp_path) as first,
        psycopg.connect(os.environ["DATABASE_URL"]) as holder,
    ):
        holder.execute("SELECT FROM ledger_licensebalance FOR UPDATE")
        sync_all_licenses.delay(scheduled=True)
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%stored balances%'"
        until(lambda: sql(waits) != [], "it is in the middle of a chunk")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    run = ReconciliationRun.objects.get()
    assert (run.status, run.licenses_checked) == ("running", 0)
    assert balance_of(license) == 1
    # nobody can know that it is dead before its lease is over
    assert "Others are at its last licenses" in sync_all_licenses()["output"]
    sql("UPDATE reconcile_reconciliationchunk SET leased_until = now()")
    with celery(*WORKER, "--concurrency=2", log="2.log", folder=tmp_path):
        check_night.delay()
        until(lambda: ReconciliationRun.objects.get().status == "complete", "the run is gone on with")
    run.refresh_from_db()
    assert (run.licenses_checked, run.licenses_drifted, run.licenses_repaired) == (1, 1, 1)
    assert_balances_follow_facts()


def test_workers_take_part_in_a_night_that_is_begun_elsewhere(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    licenses = License.objects.bulk_create(
        License(license_number=f"{n:010}", license_date="2026-01-01") for n in range(2_000)
    )
    drain()
    with transaction.atomic():
        sql("SET LOCAL ledger.engine = 'on'")
        sql("UPDATE ledger_licensebalance SET balance_cif = 1")
    done = manage("sync_licenses", "--batch-size", "10")
    assert done.returncode == 0, done.stderr
    until(lambda: ReconciliationRun.objects.get().status == "complete", "the last chunk")
    run = ReconciliationRun.objects.get()
    assert (run.licenses_checked, run.licenses_repaired) == (len(licenses), len(licenses))
    assert "reconcile.tasks.take_chunk" in (tmp_path / "worker.log").read_text()
    assert_balances_follow_facts()
