"""What /metrics tells: to whom, from which rows, in which trouble."""

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from ledger.engine import drain
from ledger.models import Quarantine, Upload
from ledger.tally import add_up
from license.clock import business_date
from monitor.sql import queries
from reconcile import night
from reconcile.guard import trigger_faults
from reconcile.models import RunTrigger
from servers import Servers
from tests.conftest import sql
from tests.engine.sessions import make_licenses, session
from tests.monitor.conftest import TOKEN, Scrape

OF_THE_BROKER = {f'lbe_queue_messages{{queue="{name}"}}' for name in ("recompute", "reconcile", "webhooks")}
UP_DATABASE, UP_BROKER = 'lbe_up{part="database"}', 'lbe_up{part="broker"}'


@pytest.mark.parametrize(
    ("setting", "sent", "status"),
    [
        ("", "", 404),
        ("", "Bearer ", 404),
        (TOKEN, "", 401),
        (TOKEN, "Bearer ", 401),
        (TOKEN, TOKEN, 401),
        (TOKEN, f"Bearer {TOKEN}x", 401),
        (TOKEN, "Bearer ünïcode-is-no-fault", 401),
        (TOKEN, f"Bearer {TOKEN}", 200),
    ],
)
def test_who_sends_the_token_may_read(database: None, settings: Settings, setting: str, sent: str, status: int) -> None:
    settings.METRICS_TOKEN = setting
    answer = Client(headers={"Authorization": sent}).get("/metrics")
    assert answer.status_code == status
    assert (b"lbe_" in answer.content) == (status == 200)
    assert "no-store" in answer["Cache-Control"]


def test_it_is_read_and_nothing_else(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert Client(headers={"Authorization": f"Bearer {TOKEN}"}).post("/metrics").status_code == 405


def test_nothing_has_happened(scrape: Scrape) -> None:
    said = scrape()
    assert said[UP_DATABASE] == said[UP_BROKER] == said["lbe_night_owed"] == 1
    assert "lbe_beat_age_seconds" not in said
    for name in ("pending_changes", "oldest_pending_change_age_seconds", "quarantined_licenses", "relays"):
        assert said[f"lbe_{name}"] == 0
    assert said['lbe_trigger_faults{of="balances"}'] == said['lbe_trigger_faults{of="evidence"}'] == 0
    assert not any(name.startswith("lbe_last_run") for name in said)


def test_what_is_pending_and_how_long_it_waits(scrape: Scrape) -> None:
    make_licenses(3)
    pending = scrape()["lbe_pending_changes"]
    assert pending > 0
    sql("UPDATE ledger_licensechange SET created_at = created_at - interval '90 s' WHERE id = 2")
    said = scrape()
    assert (said["lbe_pending_changes"], 90 <= said["lbe_oldest_pending_change_age_seconds"] < 200) == (pending, True)
    drain()
    said = scrape()
    assert (said["lbe_pending_changes"], said["lbe_oldest_pending_change_age_seconds"]) == (0, 0)


def test_the_last_runs_and_the_drift_that_they_found(scrape: Scrape) -> None:
    make_licenses(2)
    drain()
    sql("SET session_replication_role = replica")
    sql("UPDATE ledger_licensebalance SET balance_cif = 1, overdrawn_cif = 2 WHERE license_id = 1")
    sql("RESET session_replication_role")
    run = night.start(RunTrigger.NIGHT)
    running = scrape()
    night.work(run)
    said = scrape()
    midnight = datetime.combine(business_date(), datetime.min.time(), ZoneInfo("Asia/Kolkata")).timestamp()
    assert said['lbe_last_run_business_date_timestamp_seconds{trigger="night"}'] == midnight
    assert running['lbe_last_run_state{state="running",trigger="night"}'] == 1
    states = {
        state: said[f'lbe_last_run_state{{state="{state}",trigger="night"}}'] for state in ("running", "complete")
    }
    assert states == {"running": 0, "complete": 1}
    assert (running["lbe_night_owed"], said["lbe_night_owed"]) == (0, 0)
    run.refresh_from_db()
    taken = (run.finished_at - run.started_at).total_seconds()
    assert said['lbe_last_run_duration_seconds{trigger="night"}'] == pytest.approx(taken)
    assert said['lbe_last_run_licenses{trigger="night",what="checked"}'] == 2
    assert said['lbe_last_run_licenses{trigger="night",what="drifted"}'] == 1
    assert said['lbe_last_run_licenses{trigger="night",what="repaired"}'] == 1
    of_night = {name: value for name, value in said.items() if name.startswith("lbe_last_run_drift")}
    assert of_night.pop('lbe_last_run_drift{cause="edited directly",trigger="night"}') == 2
    assert set(of_night.values()) == {0}
    assert not any("manual" in name or '"expiry"' in name or '"lag"' in name for name in said)


def test_a_night_of_yesterday_is_not_todays(scrape: Scrape) -> None:
    night.work(night.start(RunTrigger.NIGHT))
    assert scrape()["lbe_night_owed"] == 0
    sql("UPDATE reconcile_reconciliationrun SET business_date = business_date - 1")
    sql("UPDATE reconcile_reconciliationrun SET status = 'incomplete'")
    said = scrape()
    assert (said["lbe_night_owed"], said['lbe_last_run_state{state="incomplete",trigger="night"}']) == (1, 1)
    night.work(night.start(RunTrigger.NIGHT))
    assert scrape()['lbe_last_run_state{state="complete",trigger="night"}'] == 1


def test_a_report_that_could_not_be_mailed(scrape: Scrape) -> None:
    night.work(night.start(RunTrigger.NIGHT))
    assert scrape()['lbe_last_run_mail_failing{trigger="night"}'] == 0
    sql("UPDATE reconcile_reconciliationrun SET mail_error = 'refused'")
    assert scrape()['lbe_last_run_mail_failing{trigger="night"}'] == 1


def test_the_last_backup(scrape: Scrape) -> None:
    for hours in (30, 3, 300):
        sql(
            "INSERT INTO reconcile_backup (began_at, size_bytes, file) VALUES (now() - %s * interval '1 h', 1, 'x')",
            hours,
        )
    assert 3 * 3600 <= scrape()["lbe_backup_age_seconds"] < 3 * 3600 + 300


def test_a_trigger_at_fault(scrape: Scrape) -> None:
    sql("ALTER TABLE license_exportitem DISABLE TRIGGER USER")
    try:
        said = scrape()
        faults = len(trigger_faults())
    finally:
        call_command("pgtrigger", "install")
    counts = [said[f'lbe_trigger_faults{{of="{of}"}}'] for of in ("balances", "evidence")]
    assert (min(counts) > 0, sum(counts)) == (True, faults)
    after = scrape()
    assert after['lbe_trigger_faults{of="balances"}'] == after['lbe_trigger_faults{of="evidence"}'] == 0


def test_queues_quarantine_uploads_and_relays(scrape: Scrape, live_servers: Servers) -> None:
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        broker.delete("recompute", "reconcile", "webhooks")
        broker.rpush("reconcile", "a", "b")
    Quarantine.objects.create(license_id=1, error="x")
    sql("INSERT INTO ledger_upload (form, uploaded_by, state, asked_at) "
        "VALUES (gen_random_uuid(), 'a', 'load', now() - interval '100 s'), "
        "(gen_random_uuid(), 'a', 'previewed', now())")  # fmt: skip
    with session(autocommit=True) as relay, session(autocommit=True) as counting:
        relay.execute("SELECT pg_advisory_lock_shared((x'4C63'::bigint << 48) | 2)")
        counting.execute("SELECT pg_advisory_lock((x'4C63'::bigint << 48) | 4), pg_advisory_lock(2)")
        said = scrape()
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        broker.delete("reconcile")
    assert {said[name] for name in OF_THE_BROKER} == {0, 2}
    assert said['lbe_queue_messages{queue="reconcile"}'] == 2
    assert (said["lbe_quarantined_licenses"], said["lbe_relays"]) == (1, 1)
    assert (said['lbe_uploads_waiting{state="load"}'], said['lbe_uploads_waiting{state="preview"}']) == (1, 0)
    assert 100 <= said["lbe_oldest_upload_age_seconds"] < 200
    Upload.objects.update(state="loaded")
    assert scrape()["lbe_oldest_upload_age_seconds"] == 0


def test_webhooks(scrape: Scrape) -> None:
    make_licenses(2)
    drain()
    add_up()
    erp = User.objects.create(username="erp")
    try:
        sql("INSERT INTO api_webhook (id, user_id, url, secret, position, state, failing_since) VALUES "
            "(1, %s, 'x', 'x', 0, 'active', now() - interval '1 hour'), "
            "(2, %s, 'x', 'x', (SELECT max(position) FROM ledger_balancehistory), 'stopped', NULL)",
            erp.pk, erp.pk)  # fmt: skip
        said = scrape()
        sql("UPDATE license_exportitem SET cif_fc = 7 WHERE license_id = 1")
        drain()  # and nobody has published it
        later = scrape()
        sql("UPDATE api_webhook SET state = 'paused' WHERE id = 1")
        paused = scrape()
    finally:
        erp.delete()
    assert (said['lbe_webhook_changes_behind{webhook="1"}'], said['lbe_webhook_changes_behind{webhook="2"}']) == (2, 0)
    assert 3600 <= said['lbe_webhook_failing_seconds{webhook="1"}'] < 3700
    assert (said['lbe_webhook_stopped{webhook="1"}'], said['lbe_webhook_stopped{webhook="2"}']) == (0, 1)
    assert later['lbe_webhook_changes_behind{webhook="2"}'] == 1
    assert paused['lbe_webhook_failing_seconds{webhook="1"}'] == 0


def test_it_writes_nothing_and_asks_as_much_of_many_licenses_as_of_few(scrape: Scrape) -> None:
    make_licenses(1)
    drain()
    scrape()
    with CaptureQueriesContext(
        connection,
    ) as few:
        scrape()
    empty = len(few)
    sql("INSERT INTO license_license (license_number, license_date) SELECT 'x' || n, '2026-01-01' "
        "FROM generate_series(1, 50) AS n")  # fmt: skip
    drain()
    with CaptureQueriesContext(connection) as many:
        scrape()
    assert len(many) == empty
    assert not any(word in query["sql"] for query in many for word in ("INSERT", "UPDATE ", "DELETE"))


def test_all_of_it_is_of_one_snapshot_and_given_up_before_prometheus_does(scrape: Scrape) -> None:
    settings_of_it = set()

    def write_meanwhile(execute: Any, statement: str, *rest: Any) -> Any:
        result = execute(statement, *rest)
        if statement == queries.load("state"):
            with session(autocommit=True) as other:
                other.execute("INSERT INTO ledger_failure (license_id) VALUES (1)")
            shown = "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')"
            settings_of_it.update(connection.connection.execute(shown).fetchone())
        return result

    with connection.execute_wrapper(write_meanwhile):
        assert scrape()["lbe_recompute_failures_total"] == 0
    assert settings_of_it == {"on", "5s"}
    assert scrape()["lbe_recompute_failures_total"] == 1


# ── Trouble ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_the_broker_the_rest_is_told(scrape: Scrape, live_servers: Servers) -> None:
    live_servers.redis.stop()
    try:
        said = scrape()
    finally:
        live_servers.redis.start()
    assert (said[UP_DATABASE], said[UP_BROKER]) == (1, 0)
    assert "lbe_pending_changes" in said
    assert not OF_THE_BROKER & said.keys()
    assert scrape().keys() >= OF_THE_BROKER


def test_a_broker_that_refuses_to_say_is_not_one_whose_queues_are_empty(scrape: Scrape, live_servers: Servers) -> None:
    with redis.Redis.from_url(live_servers.broker_url) as broker:
        broker.delete("webhooks")
        broker.set("webhooks", "no list")
        said = scrape()
        broker.delete("webhooks")
    assert said[UP_BROKER] == 0
    assert not OF_THE_BROKER & said.keys()


def test_without_the_database_the_rest_is_told_and_later_everything(scrape: Scrape, live_servers: Servers) -> None:
    before = scrape()
    live_servers.postgres.stop()
    try:
        said = scrape()
    finally:
        live_servers.postgres.start()
        connection.close()
    assert said.keys() == {UP_DATABASE, UP_BROKER} | OF_THE_BROKER
    assert (said[UP_DATABASE], said[UP_BROKER]) == (0, 1)
    assert scrape().keys() == before.keys()


@pytest.mark.long
def test_servers_that_hang_are_waited_for_no_longer_than_prometheus_waits(
    scrape: Scrape, live_servers: Servers
) -> None:
    scrape()
    hanging = [live_servers.postgres.pid, live_servers.redis.pid]
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    begun = datetime.now(tz=UTC)
    try:
        said = scrape()
    finally:
        for pid in hanging:
            os.kill(pid, signal.SIGCONT)
    assert said == {UP_DATABASE: 0, UP_BROKER: 0}
    assert datetime.now(tz=UTC) - begun < timedelta(seconds=10)


def test_a_table_that_is_not_there_is_told_as_a_database_that_does_not_answer(scrape: Scrape) -> None:
    sql("ALTER TABLE ledger_tally RENAME TO not_there")
    try:
        assert scrape()[UP_DATABASE] == 0
    finally:
        sql("ALTER TABLE not_there RENAME TO ledger_tally")
    assert scrape()[UP_DATABASE] == 1
