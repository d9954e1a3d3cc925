"""What the doctor tells of an installation in which something is really wrong; of a sound one it tells nothing."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import redis
from aiosmtpd.controller import Controller
from celery import current_app
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from api.models import Webhook, WebhookState
from django_setup import CHECKOUT
from doctor import balances, broker, database, examination, machine, mail, role, workers
from doctor.examination import CHECKS, DOORS, Check, Examination, Examined, Finding, Level, Part, examine
from ledger.relay import Relay
from license.clock import business_date
from processes import celery
from reconcile.models import ReconciliationRun
from servers import Servers
from tests.acceptance.conftest import WORKER, manage, until
from tests.conftest import one, sql
from tests.engine.sessions import make_licenses, session
from tests.roles import make_roles, url_of
from tests.web.conftest import forget_people

pytestmark = pytest.mark.usefixtures("database")

Look = Callable[[], Any]


def findings(look: Look) -> list[Finding]:
    """What a check finds in a connection of its own, as the doctor makes it."""
    [check] = [each for each in CHECKS if each.look is look]
    connection.close()
    door = DOORS.get(check.part)
    with door[1]() if door else ExitStack():
        return examination._findings(check)


def told(look: Look) -> list[str]:
    return [finding.what for finding in findings(look)]


@contextmanager
def while_it_is_so(done: str, undone: str) -> Iterator[None]:
    """The database is broken like this; then mended."""
    sql(done)
    try:
        yield
    finally:
        connection.close()
        sql("SET default_transaction_read_only = off")
        sql(undone)


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────────────────


def settings_told() -> list[str]:
    """But for those by which servers of tests are quick."""
    ours = ("fsync is off: a power cut may destroy the database", "autovacuum is off: tables and the outbox grow")
    said = told(database.settings_of_postgresql)
    assert ours[0] in said
    return [line for line in said if not line.startswith(ours)]


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("synchronous_commit", "off", "synchronous_commit is off: a crash loses"),
        ("session_replication_role", "replica", "session_replication_role is replica: most triggers"),
        ("standard_conforming_strings", "off", "standard_conforming_strings is off:"),
        ("zero_damaged_pages", "on", "zero_damaged_pages is on:"),
        ("statement_timeout", "'10s'", "statement_timeout is 10000 ms: the night"),
        ("lock_timeout", "'10ms'", "lock_timeout is 10 ms:"),
        ("idle_in_transaction_session_timeout", "'1s'", "idle_in_transaction_session_timeout is 1000 ms:"),
    ],
)
def test_a_setting_that_does_harm_is_told(setting: str, value: str, says: str) -> None:
    name = connection.settings_dict["NAME"]
    with while_it_is_so(f"ALTER DATABASE {name} SET {setting} = {value}", f"ALTER DATABASE {name} RESET {setting}"):
        [said] = settings_told()
    assert said.startswith(says)
    assert settings_told() == []


def test_a_setting_of_the_server_that_does_harm_is_told() -> None:
    def set_to(value: str) -> None:
        sql(f"ALTER SYSTEM SET full_page_writes = {value}")
        sql("SELECT pg_reload_conf()")
        until(lambda: one("SHOW full_page_writes") == value, "it is reloaded")

    set_to("off")
    try:
        [said] = settings_told()
    finally:
        set_to("on")
    assert said.startswith("full_page_writes is off:")


def test_a_database_that_takes_no_writes_is_told() -> None:
    name = connection.settings_dict["NAME"]
    setting = "default_transaction_read_only"
    assert told(database.server_takes_writes) == []
    with while_it_is_so(f"ALTER DATABASE {name} SET {setting} = on", f"ALTER DATABASE {name} RESET {setting}"):
        [said] = told(database.server_takes_writes)
    assert said.startswith("Sessions are read-only")


def test_connections_that_run_out_are_told() -> None:
    name = connection.settings_dict["NAME"]
    assert told(database.connections_are_left) == []
    with while_it_is_so(f"ALTER DATABASE {name} CONNECTION LIMIT 5", f"ALTER DATABASE {name} CONNECTION LIMIT -1"):
        [said] = told(database.connections_are_left)
    assert " of 5 connections of the database are in use" in said


def test_triggers_that_are_not_as_declared_are_told() -> None:
    assert told(database.triggers) == []
    table = "license_license"
    [trigger] = sql(f"SELECT min(tgname) FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND tgenabled = 'A'")[0]
    with while_it_is_so(
        f"ALTER TABLE {table} DISABLE TRIGGER {trigger}", f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}"
    ):
        [found] = findings(database.triggers)
    assert found.what.startswith(f"Trigger {trigger} on {table}: disabled.")
    assert "As license_owner run manage.py pgtrigger install" in found.do  # the worker is refused


def test_a_database_that_lacks_a_migration_is_told_and_one_that_is_ahead_is_a_note() -> None:
    row = "('ledger', '9999_newer', now())"
    with while_it_is_so(
        f"INSERT INTO django_migrations (app, name, applied) VALUES {row}",
        "DELETE FROM django_migrations WHERE name = '9999_newer'",
    ):
        [note] = findings(database.schema_is_current)
    assert note.level == Level.NOTE
    with while_it_is_so(
        "UPDATE django_migrations SET name = 'not_yet' WHERE app = 'ledger' AND name = '0001_initial'",
        "UPDATE django_migrations SET name = '0001_initial' WHERE app = 'ledger' AND name = 'not_yet'",
    ):
        [found] = findings(database.schema_is_current)
    assert (found.level, found.what) == (
        Level.WRONG,
        "The database is older than this code, and lacks ledger.0001_initial",
    )


def test_constraints_and_indexes_that_are_not_in_force_are_told() -> None:
    assert told(database.constraints_and_indexes) == []
    with while_it_is_so(
        """
        ALTER TABLE license_company ADD CONSTRAINT later CHECK (name <> 'x') NOT VALID;
        CREATE INDEX half_made ON license_company (name);
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half_made'::regclass
        """,
        "ALTER TABLE license_company DROP CONSTRAINT later; DROP INDEX half_made",
    ):
        constraint, index = told(database.constraints_and_indexes)
    assert constraint == "Constraint later on license_company is not validated: older rows may break it"
    assert index == "Index half_made on license_company is invalid: queries pass it by"


def test_a_transaction_that_nobody_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(database.old_transactions) == []
    monkeypatch.setattr(database, "LONG_TRANSACTION", timedelta())
    with session() as other:
        other.execute("SELECT")
        pid = other.info.backend_pid
        found = findings(database.old_transactions)
        connection.close()
        sql("SET ROLE license_worker")
        [*_, hidden] = database.old_transactions()
        with psycopg.connect(url_of("license_web")):  # the doctor is asked as it, too
            [*_, also_hidden] = database.old_transactions()
        connection.close()
    assert [each.do for each in found if f"Session {pid} of " in each.what] == [
        f"Find out what it does; SELECT pg_terminate_backend({pid}) ends it"
    ]
    assert "role for how long transactions of other roles are open (" in hidden.what
    assert hidden.level == Level.NOTE
    assert also_hidden == hidden


def test_a_replication_slot_that_nobody_reads_is_told() -> None:
    assert told(database.disk_is_kept_free) == []
    with while_it_is_so(
        "SELECT pg_create_physical_replication_slot('gone', true)", "SELECT pg_drop_replication_slot('gone')"
    ):
        assert told(database.disk_is_kept_free) == [
            "Nobody reads replication slot gone: WAL is kept for it, and fills the disk"
        ]


def test_a_database_without_a_backup_or_with_an_old_one_is_told() -> None:
    [note] = findings(database.last_backup)
    assert (note.what, note.level) == ("No backup of this database is known", Level.NOTE)
    sql("INSERT INTO reconcile_backup (began_at, size_bytes, file) VALUES (now() - interval '35 h', 1, 'x')")
    assert findings(database.last_backup) == []
    sql("UPDATE reconcile_backup SET began_at = now() - interval '36 h 1 s'")
    [found] = findings(database.last_backup)
    assert (found.what, found.level) == ("The last backup was begun 36 hours ago", Level.WRONG)


@pytest.mark.parametrize("look", [
    database.version_of_postgresql, database.pooler, database.clock_of_postgresql, database.database_is_sound,
    broker.version_of_redis, broker.clock_of_redis, broker.clients_of_redis, broker.redis_takes_writes,
    broker.results_are_kept,
])  # fmt: skip
def test_what_is_well_is_not_told(look: Look) -> None:
    assert findings(look) == []


@pytest.mark.parametrize(("seconds", "says"), [(-60, "60 seconds behind"), (60, "60 seconds ahead of"), (2, None)])
def test_clocks_that_differ_are_told(seconds: int, says: str | None) -> None:
    found = list(database.clock_finding("PostgreSQL", lambda: datetime.now(UTC) + timedelta(seconds=seconds)))
    assert [each.what for each in found] == (
        [f"The clock of PostgreSQL is {says} that of this machine"] if says else []
    )


def test_a_version_that_nobody_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "VERSIONS", range(98, 100))
    [said] = told(database.version_of_postgresql)
    assert said.endswith("only 98 to 99 are tried")


def test_damage_and_the_end_of_transaction_ids_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_TRANSACTIONS", 0)
    [said] = told(database.database_is_sound)
    assert said.endswith(" transactions without a freeze; at some 2,100 million it stops")
    monkeypatch.setattr(database, "MOST_TRANSACTIONS", 10)
    damaged = {"checksum_failures": 3, "transactions": 10}
    monkeypatch.setattr(type(database.queries), "dicts", lambda *_, **__: [damaged])
    assert list(database.database_is_sound()) == [
        Finding("PostgreSQL has read 3 damaged pages", "Check the disk; restore from a backup")
    ]


def test_a_standby_and_a_pooler_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database, "backend_of", lambda _: -1)
        [note] = findings(database.pooler)
    assert (note.what, note.level) == ("DATABASE_URL leads through a pooler", Level.NOTE)
    standby = {"is_standby": True, "is_read_only": True, "may_write": True}
    monkeypatch.setattr(type(database.queries), "dicts", lambda *_, **__: [standby])
    [said] = database.server_takes_writes()
    assert said.what == "This PostgreSQL is a standby: it takes no writes"


def test_what_a_role_may_not_see_could_not_be_told() -> None:
    def looks() -> list[Finding]:
        return sql("SELECT password FROM auth_user")

    sql("SET ROLE license_auditor")
    [finding] = examination._findings(Check(Part.DATABASE, "", looks))
    connection.close()
    assert finding.level == Level.UNKNOWN
    assert finding.do.startswith("Run deploy/roles.sql, or the doctor with the DATABASE_URL of a role that may")


def test_it_can_change_nothing() -> None:
    def writes() -> Iterator[Finding]:
        sql("DELETE FROM django_migrations")
        yield Finding("it has written", "")

    CHECKS.append(Check(Part.DATABASE, "", writes))
    try:
        [finding] = findings(writes)
    finally:
        CHECKS.pop()
    assert finding.level == Level.UNKNOWN
    assert "read-only transaction" in finding.what


# ── The role ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def told_as(name: str, look: Look = role.role) -> list[str]:
    connection.close()
    sql(f"SET ROLE {name}")
    try:
        return [finding.what for finding in look()]
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["license_web", "license_worker", "license_auditor"])
def test_the_roles_of_an_installation_may_what_they_need(name: str) -> None:
    assert told_as(name) == []
    assert told_as(name, role.role_may_what_it_must) == []


@pytest.mark.parametrize("name", ["license_web", "license_worker", "license_auditor"])
def test_rights_that_were_not_given_after_a_migration_are_told(name: str) -> None:
    lost = f"""
        REVOKE ALL ON ledger_settlement FROM {name};
        REVOKE INSERT, UPDATE, DELETE ON ledger_upload FROM {name};
        REVOKE EXECUTE ON FUNCTION ledger_feed_publish FROM {name};
    """
    with while_it_is_so(lost, "SELECT"):
        said = told_as(name, role.role_may_what_it_must)
    make_roles()
    assert said == [
        f"Role {name} may not {what}: what needs that fails"
        for what in (
            "call ledger_feed_publish(bigint)",
            "read ledger_settlement",
            "write ledger_settlement, ledger_upload",
        )
        if name != "license_auditor" or what.startswith("read")
    ]
    assert told_as(name, role.role_may_what_it_must) == []


@pytest.mark.parametrize("name", ["license_web", "license_worker", "license_auditor"])
def test_the_doctor_and_the_roles_agree_on_what_each_must(name: str) -> None:
    """Or a table that is added to deploy/roles.sql is not looked at."""
    may = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND {} ORDER BY relname COLLATE "C"
    """
    for right, beginnings in (
        ("has_any_column_privilege(%s, oid, 'SELECT')", role.NOT_READ[name]),
        ("has_table_privilege(%s, oid, 'INSERT, UPDATE, DELETE')", role.NOT_WRITTEN[name]),
    ):
        assert [table for (table,) in sql(may.format(right), name)] == role.tables_but(beginnings)
    assert role.CALLED[name] == [
        routine
        for (routine,) in sql(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND has_function_privilege(%s, oid, 'EXECUTE')",
            name,
        )
    ]


def test_a_superuser_and_an_owner_are_told() -> None:
    assert told(role.role) == ["DATABASE_URL logs in as license_manager, a superuser, whom nothing is refused"]
    [said] = told_as("license_owner")
    assert said.startswith("Role license_owner owns ")


@pytest.mark.parametrize(
    ("role", "right", "says"),
    [
        ("license_web", "UPDATE ON ledger_licensebalance", "writes balances"),
        ("license_web", "INSERT ON ledger_licensechange", "writes the outbox"),
        ("license_web", "TRUNCATE ON license_license", "empties tables"),
        ("license_worker", "SELECT ON django_session", "reads sessions"),
        ("license_auditor", "DELETE ON license_license", "writes facts"),
    ],
)
def test_a_right_that_a_role_need_not_is_told(role: str, right: str, says: str) -> None:
    with while_it_is_so(f"GRANT {right} TO {role}", f"REVOKE {right} FROM {role}"):
        [said] = told_as(role)
    assert said.startswith(f"Role {role}, which is for ")
    assert f" {says}, and need not" in said


def test_a_role_with_another_name_is_judged_by_what_it_can_do() -> None:
    with while_it_is_so(
        """
        CREATE ROLE other;
        GRANT USAGE ON SCHEMA public TO other;
        GRANT SELECT, INSERT ON license_license, ledger_licensebalance, django_session TO other
        """,
        "DROP OWNED BY other; DROP ROLE other",
    ):
        assert told_as("other") == [
            "Role other both reads sessions and writes balances: pages and workers are not kept apart"
        ]
        sql("REVOKE ALL ON ledger_licensebalance, django_session FROM other")
        sql("ALTER ROLE other CREATEROLE")
        assert told_as("other") == ["Role other may make roles, and need not"]


# ── Balances ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_change_that_nobody_works_off_is_told() -> None:
    make_licenses(1)
    assert told(balances.changes_are_worked_off) == []
    sql("UPDATE ledger_licensechange SET created_at = now() - interval '2 hours'")
    [said] = told(balances.changes_are_worked_off)
    assert "the oldest for 2:00:0" in said


def test_licenses_in_quarantine_are_told() -> None:
    assert told(balances.quarantine_is_empty) == []
    sql("""
        INSERT INTO ledger_quarantine (license_id, error, attempts, first_failed_at, next_try_at)
        VALUES (1, 'numeric field overflow', 1, now(), now())
    """)
    [said] = told(balances.quarantine_is_empty)
    assert said.startswith("1 license is in quarantine")


def test_a_relay_is_told_by_its_lock() -> None:
    [note] = findings(balances.relay_is_up)
    assert note.level == Level.NOTE
    connection.close()
    Relay(hand_over=lambda: True).arrive()
    assert list(balances.relay_is_up()) == []
    connection.close()


def test_a_night_that_is_owed_or_went_wrong_is_told() -> None:
    [said] = told(balances.last_night_is_of_today_and_complete)
    assert said.startswith("No night has been yet")
    night = ReconciliationRun.objects.create(business_date=business_date() - timedelta(days=2), trigger="night")
    sql("UPDATE reconcile_reconciliationrun SET status = 'complete'")
    [said] = told(balances.last_night_is_of_today_and_complete)
    assert said.endswith("was the last one: today's has not begun")
    sql("UPDATE reconcile_reconciliationrun SET business_date = %s", business_date())
    assert told(balances.last_night_is_of_today_and_complete) == []
    sql("UPDATE reconcile_reconciliationrun SET drift_counts = %s", '{"older rules": 5, "expiry": 1}')
    assert told(balances.last_night_is_of_today_and_complete) == []
    sql("UPDATE reconcile_reconciliationrun SET drift_counts = %s", '{"unknown": 1, "edited directly": 2, "expiry": 1}')
    [note] = findings(balances.last_night_is_of_today_and_complete)
    assert note.what.endswith(" found numbers that were not what the facts say (edited directly: 2, unknown: 1)")
    assert note.level == Level.NOTE
    sql("UPDATE reconcile_reconciliationrun SET drift_counts = '{}'")
    sql("UPDATE reconcile_reconciliationrun SET status = 'incomplete', mail_error = 'refused', findings_error = 'full'")
    assert [said.partition(str(night.business_date.year))[2] for said in told(
        balances.last_night_is_of_today_and_complete
    )] == [
        " is incomplete: a part of the licenses could not be looked at",
        " could not write down what it found",
        " could not be mailed: refused",
    ]  # fmt: skip
    sql("""
        UPDATE reconcile_reconciliationrun
        SET status = 'running', started_at = now() - interval '3 hours', mail_error = '', findings_error = ''
    """)
    [said] = told(balances.last_night_is_of_today_and_complete)
    assert said.endswith("has been running for 03:00:00")


def test_webhooks_that_are_stopped_or_fail_are_told() -> None:
    forget_people()
    user = User.objects.create(username="erp", is_superuser=True)
    for name in ("sound", "stopped", "failing"):
        Webhook.objects.create(user=user, name=name, url="https://x.example/", secret=name, position=0, answer="500")
    assert told(balances.webhooks_are_sent) == []
    Webhook.objects.filter(name="stopped").update(state=WebhookState.STOPPED)
    Webhook.objects.filter(name="failing").update(failing_since=datetime.now(UTC))
    stopped, failing = findings(balances.webhooks_are_sent)
    assert "(stopped) is stopped" in stopped.what
    assert (failing.level, "(failing) fails" in failing.what) == (Level.NOTE, True)
    Webhook.objects.filter(name__in=("stopped", "failing")).delete()
    User.objects.update(is_active=False)
    [held] = findings(balances.webhooks_are_sent)
    assert "(sound) is sent nothing: erp may not log in or not follow balances" in held.what
    assert held.level == Level.NOTE
    Webhook.objects.all().delete()
    forget_people()


# ── Broker ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def redis_server(live_servers: Servers) -> Generator[Any]:
    with closing(redis.Redis.from_url(live_servers.broker_url)) as client:
        client.flushdb()
        yield client
        client.flushdb()


def test_a_broker_that_forgets_is_told(redis_server: Any) -> None:
    assert told(broker.memory_of_redis) == []
    try:
        redis_server.config_set("maxmemory-policy", "allkeys-lru")
        [note] = findings(broker.memory_of_redis)
        redis_server.config_set("maxmemory", 10**9)
        [found] = findings(broker.memory_of_redis)
        redis_server.config_set("maxmemory-policy", "volatile-lru")
        [of_results] = findings(broker.memory_of_redis)
        redis_server.config_set("maxmemory-policy", "noeviction")
        redis_server.config_set("maxmemory", redis_server.info("memory")["used_memory"])
        [full] = told(broker.memory_of_redis)
    finally:
        redis_server.config_set("maxmemory", 0)
        redis_server.config_set("maxmemory-policy", "noeviction")
    assert (note.level, found.level) == (Level.NOTE, Level.WRONG)
    assert found.what == "Redis forgets messages and queues when it is full (maxmemory-policy allkeys-lru)"
    assert full.startswith("Redis has used ")
    assert of_results.what == "Redis forgets results when it is full (maxmemory-policy volatile-lru)"
    assert of_results.level == Level.NOTE


def test_a_broker_that_takes_no_writes_is_told(redis_server: Any) -> None:
    redis_server.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        assert told(broker.redis_takes_writes) == ["This Redis is a replica: it takes no messages"]
    finally:
        redis_server.execute_command("REPLICAOF", "NO", "ONE")


def test_a_broker_that_cannot_save_is_told_as_long_as_it_refuses_messages(redis_server: Any, tmp_path: Path) -> None:
    before = {name: redis_server.config_get(name)[name] for name in ("dir", "save")}
    (tmp_path / "gone").mkdir()
    try:
        redis_server.config_set("dir", str(tmp_path / "gone"))
        redis_server.config_set("save", "3600 1")
        redis_server.set("x", "x")
        (tmp_path / "gone").rmdir()
        redis_server.bgsave()
        until(lambda: redis_server.info("persistence")["rdb_last_bgsave_status"] == "err", "it could not save")
        with pytest.raises(examination.AwayError, match=r"Redis cannot write to its disk, .* \(MISCONF\)"):
            told(broker.redis_takes_writes)
        redis_server.config_set("save", "")  # what it says is to be done
        redis_server.set("x", "y")
        assert told(broker.redis_takes_writes) == []
    finally:
        redis_server.config_set("dir", before["dir"])
        redis_server.bgsave()
        until(lambda: redis_server.info("persistence")["rdb_last_bgsave_status"] == "ok", "it can save again")
        redis_server.config_set("save", before["save"])


def test_a_version_of_redis_that_nobody_tried_is_told(monkeypatch: pytest.MonkeyPatch, redis_server: Any) -> None:
    major, minor, *_ = map(int, redis_server.info("server")["redis_version"].split("."))
    monkeypatch.setattr(broker, "OLDEST", (major, minor))
    assert told(broker.version_of_redis) == []
    monkeypatch.setattr(broker, "OLDEST", (major, minor + 1))
    [said] = told(broker.version_of_redis)
    assert said.endswith(f"; nothing before {major}.{minor + 1} is tried")


def test_clients_of_redis_that_run_out_are_told(monkeypatch: pytest.MonkeyPatch, redis_server: Any) -> None:
    assert told(broker.clients_of_redis) == []
    monkeypatch.setattr(broker, "MOST_USED_PERCENT", 0)
    [said] = told(broker.clients_of_redis)
    assert said.endswith("clients of Redis are there: soon it refuses one")


def test_results_that_cannot_be_kept_are_told(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    with closing(redis.Redis(port=1)) as nowhere:
        monkeypatch.setattr(broker, "current_app", SimpleNamespace(backend=SimpleNamespace(client=nowhere)))
        assert list(broker.results_are_kept()) == []
        settings.CELERY_RESULT_BACKEND = "redis://127.0.0.1:1/0"
        [said] = broker.results_are_kept()
    assert said.what.startswith("Results cannot be kept: ")


def test_messages_that_nobody_takes_are_told(redis_server: Any) -> None:
    redis_server.rpush("recompute", *["x"] * 1_000)
    redis_server.hset("unacked", mapping={str(n): "x" for n in range(1_000)})
    assert told(broker.messages_are_taken) == []
    redis_server.rpush("recompute", "x")
    redis_server.hset("unacked", "more", "x")
    assert told(broker.messages_are_taken) == [
        "1,001 messages wait in queue recompute",
        "Workers hold 1,001 messages that they have not begun",
    ]


# ── This machine ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_disk_that_is_nearly_full_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gigabyte = 1024**3
    monkeypatch.setattr(machine, "FOLDERS", (str(tmp_path), str(tmp_path / "not there"), "/proc"))
    for total, free, is_full in ((100, 4, True), (100, 6, False), (1000, 6, False), (50, 4, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, t=total, f=free: SimpleNamespace(
            total=t * gigabyte, free=f * gigabyte
        ))  # fmt: skip
        said = told(machine.disks_have_room)
        assert bool(said) == is_full
        assert len([line for line in said if "/proc" in line]) == is_full
        assert len(said) == len({line.split()[3] for line in said})
    monkeypatch.undo()
    assert len({Path(folder).stat().st_dev for folder in (machine.settings.BACKEND, tmp_path, "/proc")}) >= 2


def test_that_nobody_may_ask_is_told(settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    [note] = findings(machine.somebody_is_told_of_trouble)
    assert note.level == Level.NOTE
    settings.METRICS_TOKEN = "x" * 20
    assert findings(machine.somebody_is_told_of_trouble) == []


# ── Workers and beat ──────────────────────────────────────────────────────────────────────────────────────────────────


OFTEN = {"SWEEP_SECONDS": "0.5", "WEBHOOK_SECONDS": "0.5"}


@pytest.fixture
def impatient(settings: Any) -> Callable[[], None]:
    """Has the doctor wait for beat as if it asked twice a second."""

    def set_so() -> None:
        schedule = settings.CELERY_BEAT_SCHEDULE
        settings.CELERY_BEAT_SCHEDULE = {name: entry | {"schedule": 0.5} for name, entry in schedule.items()}

    return set_so


@pytest.mark.long
def test_workers_and_beat_are_told_by_what_they_do(
    redis_server: Any, impatient: Callable[[], None], tmp_path: Path
) -> None:
    one_process = ("--concurrency=1", "-Q", "recompute,webhooks")
    with celery(*WORKER, *one_process, log="worker.log", folder=tmp_path):
        with celery("beat", log="beat.log", folder=tmp_path, environment=OFTEN):
            until(lambda: "succeeded" in (tmp_path / "worker.log").read_text(), "the worker does what beat asks for")
            assert told(workers.beat_is_up) == []
        impatient()
        [said] = told(workers.beat_is_up)
        assert said.startswith("Beat is not up")
        assert told(workers.workers_answer_and_consume_every_queue) == ["No worker consumes queue reconcile"]
        [note] = findings(workers.workers_have_processes_enough)
        assert note.level == Level.NOTE
        assert told(workers.workers_run_this_code) == []
        newer = current_app.tasks["ledger.tasks.sweep"].__class__()
        newer.name = "ledger.tasks.of_newer_code"
        current_app.tasks.register(newer)
        try:
            [said] = told(workers.workers_run_this_code)
        finally:
            current_app.tasks.unregister(newer.name)
        assert "has older code than this: it does not know ledger.tasks.of_newer_code," in said


@pytest.mark.long
def test_workers_and_beat_that_are_not_up(redis_server: Any, impatient: Callable[[], None], tmp_path: Path) -> None:
    """Without a worker, beat is told by its messages."""
    [said] = told(workers.workers_answer_and_consume_every_queue)
    assert said.startswith("No worker answers")
    with celery("beat", log="beat.log", folder=tmp_path, environment=OFTEN):
        until(lambda: redis_server.llen("webhooks") > 0, "beat is up")
        assert told(workers.beat_is_up) == []
    impatient()
    [said] = told(workers.beat_is_up)
    assert said.startswith("Beat is not up")


@pytest.mark.long
def test_a_worker_is_waited_for_once(redis_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with celery(*WORKER, log="worker.log", folder=tmp_path) as worker, workers.connected():
        until(lambda: " ready." in (tmp_path / "worker.log").read_text(), "the worker is up")
        assert len(workers.ask("ping")) == 1
        with monkeypatch.context() as patient:
            patient.setattr(workers, "ANSWER_SECONDS", 3600)
            assert len(workers.ask("stats")) == 1
        worker.send_signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError, match="answered before, and does not within 3 seconds now"):
            workers.ask("stats")
        worker.send_signal(signal.SIGCONT)


# ── Mail ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mail_server_is_greeted(settings: Any) -> None:
    [note] = findings(mail.somebody_gets_the_report)
    assert (note.level, findings(mail.mail_server_answers)) == (Level.NOTE, [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings.REPORT_RECIPIENTS = ["desk@example.com"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    [said] = told(mail.mail_server_answers)
    assert said.startswith(f"The mail server 127.0.0.1:{port} takes no mail: ")
    controller = Controller(object(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        assert told(mail.mail_server_answers) == []
        settings.EMAIL_HOST_USER = "desk"
        assert told(mail.mail_server_answers) == ["The mail server 127.0.0.1 takes no password on this connection"]
        settings.EMAIL_USE_TLS = True
        [said] = told(mail.mail_server_answers)
        assert "STARTTLS" in said
    finally:
        controller.stop()


# ── All of it ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_page_that_it_names_is_there() -> None:
    for page in {each.page for each in CHECKS} | {page for page, _door in DOORS.values()}:
        path, _, anchor = page.partition("#")
        text = (CHECKOUT / path).read_text(encoding="utf-8")
        titles = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
        anchors = {"".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_") for title in titles}
        assert not anchor or anchor in anchors, page


def test_all_together_while_everything_is_down() -> None:
    """Of a server that is away one line is told, and no more is asked of it."""
    away = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    done = manage("doctor", "--format", "json", **away, CELERY_RESULT_BACKEND="django-db")
    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert said["status"] == "wrong"
    made = [
        each
        for each in said["checks"]
        if each["findings"] is not None and each["part"] not in ("settings", "this machine", "mail")
    ]
    assert [(each["part"], each["name"]) for each in made] == [
        (part, "is there") for part in ("PostgreSQL", "balances", "broker", "workers", "beat")
    ]
    assert {each["findings"][0]["what"].partition(":")[0] for each in made} == {
        "PostgreSQL cannot be reached", "The broker at redis",
    }  # fmt: skip


def test_the_report_and_its_exit_status(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def doctor(*found: Finding | None) -> tuple[int, list[str]]:
        made = [
            Examined(Part.BROKER, "a check", "docs/x.md", None if finding is None else [finding]) for finding in found
        ]
        whole = Examination([*made, Examined(Part.MAIL, "another", "docs/x.md", [])])
        monkeypatch.setattr("doctor.management.commands.doctor.examine", lambda: whole)
        status = 0
        try:
            call_command("doctor")
        except SystemExit as stop:
            status = int(str(stop.code))
        return status, capsys.readouterr().out.splitlines()

    wrong, unknown, note = (Finding(f"It is {level}", "Do this", level) for level in Level)
    assert doctor() == (0, ["1 of 1 checks found nothing."])
    assert doctor(note)[0] == 0
    assert doctor(note, unknown)[0] == 2
    assert doctor(None) == (2, ["? broker: 1 of its checks could not be made.", "1 of 2 checks found nothing."])
    assert doctor(note, wrong, wrong, unknown) == (
        1,
        [
            "! broker: It is wrong.", "    Do this (docs/x.md).",
            "? broker: It is could not be told.", "    Do this (docs/x.md).",
            "· broker: It is note.", "    Do this (docs/x.md).",
            "1 of 5 checks found nothing: 1 wrong, 1 could not be told, 1 note.",
        ],
    )  # fmt: skip


def test_nobody_waits_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def hangs() -> Iterator[Finding]:
        ended.wait()
        yield Finding("too late", "")

    monkeypatch.setattr(examination, "CHECKS", [Check(Part.MAIL, "docs/x.md", hangs)])
    monkeypatch.setattr(examination, "DOORS", {})
    whole = examine(patience_seconds=0.2)
    ended.set()
    assert [(each.name, each.findings and each.findings[0].what) for each in whole.made] == [
        ("answers", "The mail server has not answered within 0.2 seconds"),
        ("hangs", None),
    ]


@pytest.mark.long
def test_it_is_sound_with_the_role_of_a_worker(live_servers: Servers) -> None:
    """But for what is wrong with servers of tests, and for what is not up there."""
    done = manage(
        "doctor", "--format", "json", DATABASE_URL=url_of("license_worker"), SECRET_KEY="k3y-" * 20 + "abcdefgh",
        ALLOWED_HOSTS="desk.example",
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert [
        finding["what"] for each in said["checks"] for finding in each["findings"] if finding["level"] != "note"
    ] == [
        "fsync is off: a power cut may destroy the database",
        "autovacuum is off: tables and the outbox grow without end, and plans get bad",
        "No night has been yet: nothing has proven the balances",
        "No worker answers: balances wait for the relay, nights and uploads wait for a worker",
        "Beat is not up: nobody looks for changes that nothing announced, and no night begins",
    ]


@pytest.mark.long
def test_servers_that_take_connections_and_say_nothing_are_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        done = manage("doctor", DATABASE_URL=f"postgres://x@{address}/x", CELERY_BROKER_URL=f"redis://{address}/0")
        assert time.monotonic() - began < 40
    assert done.returncode == 1
    assert "! PostgreSQL: PostgreSQL " in done.stdout
    assert "! broker: The broker " in done.stdout
