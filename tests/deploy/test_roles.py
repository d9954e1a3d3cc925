"""deploy/roles.sql: each role can do what it has to, and G5 holds against the pages' whatever they set."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command
from psycopg import errors

from django_setup import BACKEND
from ledger import feed
from ledger.engine import drain
from license.models import ExportItem, License
from tests.conftest import one, sql
from tests.roles import make_roles, url_of

pytestmark = pytest.mark.usefixtures("database")

ROLES = ("license_web", "license_worker", "license_auditor")
DERIVED = ("ledger_licensebalance", "ledger_importitembalance")
NOT_OF_PAGES = (
    *DERIVED, "ledger_balancehistory", "ledger_quarantine", "ledger_licensechange", "ledger_trailstatement",
    "ledger_trailentry", "reconcile_reconciliationrun", "reconcile_drift", "reconcile_finding", "django_migrations",
)  # fmt: skip


@contextmanager
def session(role: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url_of(role), autocommit=True) as connection:
        yield connection


@pytest.fixture
def license() -> License:
    license = License.objects.create(license_number="0310000001", license_date="2026-01-01")
    ExportItem.objects.create(license=license, cif_fc=1000)
    drain()
    return license


@pytest.fixture
def shameless(license: License) -> Iterator[psycopg.Connection]:
    """Somebody who has got into the pages, and knows all that our own code says to our triggers."""
    with session("license_web") as connection:
        connection.execute("SET ledger.engine = 'on'")
        connection.execute(
            "SET pgtrigger.ignore = '{ledger_licensebalance:guard,ledger_capturedexportitem:capture_update}'"
        )
        yield connection


@pytest.mark.parametrize("table", NOT_OF_PAGES)
def test_pages_write_no_balance_and_none_of_what_proves_it(table: str, shameless: psycopg.Connection) -> None:
    column = one("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", table)
    for statement in (
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"INSERT INTO {table} DEFAULT VALUES",
        f"TRUNCATE {table} CASCADE",
        f"COPY {table} FROM STDIN",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            shameless.execute(statement)
    with pytest.raises(errors.InsufficientPrivilege), shameless.transaction():
        shameless.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "SET ROLE license_worker",
        "SET ROLE license_owner",
        "ALTER TABLE ledger_licensebalance DISABLE TRIGGER ALL",
        "ALTER TABLE license_exportitem DISABLE TRIGGER ALL",
        "DROP TRIGGER pgtrigger_guard_{guard} ON ledger_licensebalance",
        "CREATE OR REPLACE FUNCTION public.pgtrigger_guard_{guard}() RETURNS trigger LANGUAGE sql AS ''",
        "CREATE TABLE public.ledger_of_mine (id int)",
        "CREATE TEMPORARY TABLE ledger_licensechange (id int)",
        "CREATE TRIGGER mine AFTER INSERT ON license_license EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "TRUNCATE license_exportitem",
        "ALTER SYSTEM SET fsync = off",
        "COPY license_license TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
def test_pages_reach_no_other_right(statement: str, shameless: psycopg.Connection) -> None:
    guard = one("SELECT substr(tgname, 17) FROM pg_trigger WHERE tgname ~ '^pgtrigger_guard_' LIMIT 1")
    with pytest.raises(errors.InsufficientPrivilege):
        shameless.execute(statement.format(guard=guard))


def test_what_pages_write_is_captured_and_told_whatever_they_set(
    license: License, shameless: psycopg.Connection
) -> None:
    sql("DELETE FROM ledger_licensechange")
    shameless.execute("UPDATE license_exportitem SET cif_fc = 2000")
    assert sql("SELECT license_id, source, operation FROM ledger_licensechange") == [
        (license.pk, "license_exportitem", "UPDATE")
    ]
    assert sql("SELECT role, operation FROM ledger_trailstatement ORDER BY id DESC LIMIT 1") == [
        ("license_web", "UPDATE")
    ]
    assert one("SELECT balance_cif FROM ledger_licensebalance") == 1000
    drain()
    assert one("SELECT balance_cif FROM ledger_licensebalance") == 2000


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_balancehistory SET position = position + 1000",
        "UPDATE ledger_balancehistory SET position = NULL",
        "SELECT nextval('ledger_balancehistory_position_seq')",
        "SELECT setval('ledger_balancehistory_position_seq', 1)",
    ],
)
def test_pages_have_positions_given_and_choose_none(statement: str, shameless: psycopg.Connection) -> None:
    """Who follows would jump, or go back."""
    assert shameless.execute("SELECT ledger_feed_publish(10), ledger_feed_publish(10)").fetchone() == (1, 0)
    assert sql("SELECT position FROM ledger_balancehistory") == [(feed.newest(),)]
    with pytest.raises(errors.InsufficientPrivilege):
        shameless.execute(statement)
    with session("license_auditor") as auditor, pytest.raises(errors.InsufficientPrivilege):
        auditor.execute("SELECT ledger_feed_publish(10)")


def test_who_publishes_cannot_slip_a_table_under_it(license: License) -> None:
    with session("license_worker") as worker:
        worker.execute("CREATE TEMPORARY TABLE ledger_balancehistory (id bigint, position bigint)")
        worker.execute("SET search_path = pg_temp, public; SET ledger.engine = 'on'")
        assert worker.execute("SELECT public.ledger_feed_publish(10)").fetchone() == (1,)
    assert sql("SELECT position FROM ledger_balancehistory") == [(feed.newest(),)]


def test_an_auditor_reads_and_can_do_nothing_else(license: License) -> None:
    with session("license_auditor") as auditor:
        assert auditor.execute("SELECT username FROM auth_user").fetchall() == []
        assert auditor.execute("SELECT balance_cif FROM ledger_licensebalance").fetchall() == [(1000,)]
        auditor.execute("SET default_transaction_read_only = off")
        for statement in (
            "UPDATE license_license SET purchase_status = 'GE'",
            "INSERT INTO license_port (code) VALUES ('INXXX1')",
            "DELETE FROM ledger_trailentry",
            "SELECT password FROM auth_user",
            "SELECT * FROM auth_user",
            "SELECT digest FROM api_token",
            "SELECT secret FROM api_webhook",
            "SELECT session_key FROM django_session",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                auditor.execute(statement)


@pytest.mark.parametrize(
    "command",
    [
        ["audit_drift"],
        ["explain_balance", "0310000001"],
        ["trail", "--license", "0310000001"],
        ["balances_as_of", "--until", "2026-01-02"],
        ["freshness"],
    ],
)
def test_what_auditors_ask_needs_no_more(command: list[str], license: License) -> None:
    sql("SET ROLE license_auditor")
    try:
        call_command(*command)
    finally:
        sql("RESET ROLE")


def test_nobody_has_more_than_reading_and_writing_rows() -> None:
    """TRUNCATE goes past what a fact's row says; REFERENCES and TRIGGER hang things on what is not one's own."""
    found = sql(
        """SELECT grantee, privilege_type, table_name FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND grantee <> 'license_owner' AND (
            grantee = 'PUBLIC' OR privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
            OR grantee = 'license_auditor' AND privilege_type <> 'SELECT' OR is_grantable = 'YES'
        )"""
    )
    assert found == []
    assert (
        sql(
            """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
        AND relowner <> 'license_owner'::regrole UNION ALL
        SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
        AND proowner <> 'license_owner'::regrole"""
        )
        == []
    )
    assert sql("SELECT rolname FROM pg_roles WHERE rolname ~ '^license_' AND (rolsuper OR rolcreaterole)") in (
        [], [(urlsplit(os.environ["DATABASE_URL"]).username,)]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("license_owner", "lock_timeout", "5s"),
        ("license_web", "statement_timeout", "1min"),
        ("license_web", "idle_in_transaction_session_timeout", "1min"),
        ("license_worker", "statement_timeout", "1h"),
        ("license_auditor", "default_transaction_read_only", "on"),
    ],
)
def test_a_session_of_a_role_is_bounded(role: str, name: str, value: str) -> None:
    with session(role) as connection:
        assert connection.execute(f"SHOW {name}").fetchone() == (value,)


def rights() -> list[list[Any]]:
    """Who may do what, as PostgreSQL keeps it."""
    return [
        sql(
            """SELECT relname, relowner::regrole::text, array(SELECT acl::text FROM unnest(relacl) AS acl ORDER BY 1),
                array(SELECT attname || acl::text FROM pg_attribute, unnest(attacl) AS acl
                    WHERE attrelid = pg_class.oid ORDER BY 1)
            FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"""
        ),
        sql(
            """SELECT proname, proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL SELECT nspname, array(SELECT acl::text FROM unnest(nspacl) AS acl ORDER BY 1)::text
            FROM pg_namespace WHERE nspname = 'public'
            UNION ALL SELECT datname, array(SELECT acl::text FROM unnest(datacl) AS acl ORDER BY 1)::text
            FROM pg_database WHERE datname = current_database() ORDER BY 1"""
        ),
        sql("SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members ORDER BY 1, 2"),
        sql("SELECT rolname, rolcreatedb, rolbypassrls, rolreplication FROM pg_roles ORDER BY 1"),
    ]


def test_every_table_has_a_word_and_a_second_time_changes_nothing() -> None:
    before = rights()
    assert make_roles() == []
    assert rights() == before


@pytest.mark.parametrize(
    "given",
    [
        "GRANT license_owner TO license_web",
        "GRANT pg_write_all_data TO license_auditor",
        "ALTER ROLE license_web CREATEDB BYPASSRLS REPLICATION",
        "GRANT EXECUTE ON FUNCTION public.{trigger}() TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION public.{trigger}() TO license_worker",
        "GRANT CREATE ON SCHEMA public TO license_worker",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "GRANT TEMPORARY ON DATABASE {database} TO PUBLIC",
        "GRANT CREATE ON DATABASE {database} TO license_web",
        "GRANT UPDATE ON ledger_licensebalance TO license_web",
        "GRANT UPDATE (position) ON ledger_balancehistory TO license_web",
        "GRANT EXECUTE ON FUNCTION public.ledger_feed_publish(bigint) TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION public.ledger_feed_publish(bigint) TO license_auditor",
        "GRANT UPDATE (balance_cif) ON ledger_licensebalance TO license_web",
        "GRANT SELECT (password) ON auth_user TO license_auditor",
        "GRANT TRUNCATE ON license_license TO PUBLIC",
        "GRANT UPDATE ON SEQUENCE ledger_balancehistory_position_seq TO license_web",
        "GRANT USAGE ON SEQUENCE ledger_trailstatement_id_seq TO PUBLIC",
        "ALTER TABLE license_license OWNER TO license_web",
    ],
)
def test_what_somebody_has_given_by_hand_is_gone_afterwards(given: str) -> None:
    trigger = one("SELECT min(tgname) FROM pg_trigger WHERE tgname ~ '^pgtrigger_trail_insert_'")
    before = rights()
    sql(given.format(trigger=trigger, database=one("SELECT current_database()")))
    assert rights() != before
    make_roles()
    assert rights() == before


@pytest.mark.parametrize("where", ["", "IN DATABASE {database}"])
@pytest.mark.parametrize("role", ["license_owner", "license_web", "license_worker", "license_auditor"])
def test_what_a_role_has_set_for_itself_is_gone_afterwards(role: str, where: str) -> None:
    """As each may; with this one it would find none of its tables, and be told to migrate."""
    settings = "SELECT setdatabase, setrole, setconfig FROM pg_db_role_setting ORDER BY setdatabase, setrole"
    before = sql(settings)
    given = where.format(database=one("SELECT current_database()"))
    sql(f"SET ROLE {role}; ALTER ROLE {role} {given} SET search_path = pg_temp; RESET ROLE")
    assert sql(settings) != before
    make_roles()
    assert sql(settings) == before


def test_a_table_that_nobody_thought_of_is_told_of() -> None:
    sql("CREATE TABLE ledger_new (id int)")
    try:
        [said] = make_roles()
        assert said.endswith("so nobody but the owner can use them: ledger_new")
    finally:
        sql("DROP TABLE ledger_new")


@pytest.mark.long
def test_the_owner_migrates_and_needs_not_be_a_superuser() -> None:
    """As the guide says: the roles first, then migrate as the owner, then the roles again."""
    sql("CREATE DATABASE of_roles")
    try:
        make_roles("of_roles")
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"],
            cwd=BACKEND,
            env={**os.environ, "DATABASE_URL": url_of("license_owner", "of_roles")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert make_roles("of_roles") == []
    finally:
        sql("DROP DATABASE of_roles WITH (FORCE)")
