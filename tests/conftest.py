"""What every test of the database has: committed writes, and clean tables before each test."""

import gc
from collections.abc import Callable, Generator
from datetime import date
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from ledger.engine import drain
from license.clock import business_date
from tests import oracle
from tests.roles import make_roles

OUTBOX = "ledger_licensechange"
TABLES = """
    license_license, license_exportitem, license_importitem, license_importitem_item_names, license_itemname,
    license_matchrule, license_sionnorm, license_company, license_port, license_hscode, ledger_billofentry,
    ledger_billofentryline, ledger_allotment, ledger_allotmentline, ledger_allotment_bills_of_entry,
    ledger_allotmentrelease, ledger_allotting, ledger_licensechange, ledger_licensebalance, ledger_importitembalance,
    ledger_balancehistory, ledger_quarantine, api_token, ledger_overdraw, ledger_customsbalance, ledger_settlement,
    ledger_upload, ledger_uploadfile, ledger_uploadedlicense, ledger_trailstatement, ledger_trailentry,
    reconcile_reconciliationrun,
    reconcile_reconciliationchunk, reconcile_drift, reconcile_finding, desk_runrequest, api_webhook,
    ledger_failure, ledger_tally, reconcile_backup
"""
EMPTY_TABLES = f"""
    DO $$ DECLARE
        tables regclass[] := string_to_array('{TABLES}', ',');
        filled regclass;
        has_rows boolean;
    BEGIN
        LOCK TABLE {TABLES};
        SET LOCAL session_replication_role = replica;
        IF (SELECT sum(pg_relation_size(name)) FROM unnest(tables) AS name) > 2 ^ 20 THEN
            TRUNCATE {TABLES} RESTART IDENTITY;
            RETURN;
        END IF;
        FOR filled IN SELECT name FROM unnest(tables) AS name WHERE pg_relation_size(name) > 0 LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', filled) INTO has_rows;
            IF has_rows THEN
                EXECUTE format('DELETE FROM %s', filled);
            END IF;
        END LOOP;
        DELETE FROM {OUTBOX};  -- what the others' triggers wrote there
        DELETE FROM ledger_trailentry;
        DELETE FROM ledger_trailstatement;
        PERFORM setval(seqrelid, 1, false) FROM pg_sequence JOIN pg_depend ON objid = seqrelid
        WHERE refclassid = 'pg_class'::regclass AND refobjid = ANY (tables);
    END $$
"""
"""Of the few rows that a test leaves, DELETE is much quicker than TRUNCATE, which makes every file anew."""
REMEMBERED = "credit_cif, debited_cif, allotted_cif, balance_cif, overdrawn_cif, is_null, is_expired"

LOG_LINES = 200


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> None:
    """Migrate the private database itself: workers, beat and commands of a test then find it by DATABASE_URL."""
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
        make_roles()
        # rows are found in the order in which they were written, and plans do not depend on the minute
        sql("ALTER SYSTEM SET autovacuum = off")
        sql("SELECT pg_reload_conf()")
        connection.close()


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Generator[None]:
    """A clean database in which commits are commits: the engine and its triggers live by them."""
    with django_db_blocker.unblock():
        empty_tables()
        yield
        connection.close()


def pytest_collection_finish() -> None:
    """What is there by now stays: it would be looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows how the logs end of the processes that a failed test talked to."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder:
        for log in sorted(folder.glob("*.log")):
            report.sections.append((log.name, "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])))
    return report


def empty_tables() -> None:
    """Begin anew: no rows, and ids from 1. Waits until no other transaction has written to a table."""
    sql(EMPTY_TABLES)


def sql(statement: str, *parameters: Any) -> list[Any]:
    """Run a statement as any tool would. Its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def one(statement: str, *parameters: Any) -> Any:
    """The single value that a query yields."""
    [[value]] = sql(statement, *parameters)
    return value


def assert_balances_follow_facts(today: date | None = None) -> None:
    """Nothing is pending, every balance equals what the oracle makes of the facts, no row more, none less, and the
    newest history of every license says the same."""
    assert sql("SELECT * FROM ledger_licensechange") == []
    assert oracle.stored() == oracle.expected(today or business_date())
    assert sql(f"SELECT license_id, {REMEMBERED} FROM ledger_licensebalance ORDER BY license_id") == sql(
        f"""SELECT license_id, {REMEMBERED} FROM (
            SELECT DISTINCT ON (license_id) * FROM ledger_balancehistory ORDER BY license_id, id DESC
        ) AS newest WHERE balance_cif IS NOT NULL ORDER BY license_id"""
    )


@pytest.fixture
def drained(database: None) -> Callable[[], None]:
    """Drains the outbox and checks what came of it."""

    def drain_and_check() -> None:
        drain()
        assert_balances_follow_facts()

    return drain_and_check
