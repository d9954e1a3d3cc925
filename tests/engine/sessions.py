"""Other sessions beside the test's own: plain ones, and engines that stop where a race needs them to."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from django.db import connection

from ledger.engine import Outcome
from ledger.sql import load
from tests.conftest import sql

DEADLINE_SECONDS = 20
GATE = 4242


def make_licenses(count: int, credit: int = 1000) -> None:
    """Licenses 1 to `count`, each with an export item, and with an import item of the same id. Committed at once."""
    sql(f"""
        INSERT INTO license_license (id, license_number, license_date)
            SELECT n, n, '2026-01-01' FROM generate_series(1, {count}) AS n;
        INSERT INTO license_exportitem (id, license_id, cif_fc)
            SELECT n, n, {credit} FROM generate_series(1, {count}) AS n;
        INSERT INTO license_importitem (id, license_id, serial_number, quantity)
            SELECT n, n, 1, 10 FROM generate_series(1, {count}) AS n;
        INSERT INTO ledger_billofentry (id, number) VALUES (1, '1'), (2, '2');
        INSERT INTO license_company (id, iec) VALUES (1, '0000000001');
        INSERT INTO ledger_allotment (id, company_id) VALUES (1, 1), (2, 1);
        SELECT setval(pg_get_serial_sequence(t, 'id'), 1000000) FROM unnest(ARRAY[
            'license_license', 'license_exportitem', 'license_importitem', 'ledger_billofentry', 'ledger_allotment'
        ]) AS t;
    """)


def outbox() -> list[Any]:
    """The whole outbox."""
    return sql("SELECT * FROM ledger_licensechange ORDER BY id")


def balances(which: str = "true") -> tuple[list[Any], list[Any]]:
    """Every balance row, with the place where it lies and the transaction that wrote it."""
    columns = "ctid::text, xmin::text, *"
    return (
        sql(f"SELECT {columns} FROM ledger_licensebalance WHERE {which} ORDER BY license_id"),
        sql(f"SELECT {columns} FROM ledger_importitembalance WHERE {which} ORDER BY license_id, import_item_id"),
    )


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.005)


@contextmanager
def session(*, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A session of somebody else. What it has not committed is rolled back at the end."""
    other = psycopg.connect(os.environ["DATABASE_URL"], autocommit=autocommit)
    try:
        yield other
    finally:
        other.rollback()
        other.close()


class Engine:
    """A drain or a recompute in a thread and a connection of its own. It stops once, before or after the first time
    that it runs a statement of ledger/sql, until `finish`. `with` waits until it stands there.
    """

    def __init__(self, work: Callable[[], Outcome], *, before: str = "", after: str = "") -> None:
        self.work, self.before, self.after = work, before, after
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self._is_there, self._may_go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if self.before or self.after:
            wait_until(lambda: self._is_there.is_set() or not self._thread.is_alive(), "the engine stops")
            assert self._is_there.is_set(), f"it ran through, without {self.before or self.after}: {self.error}"
        return self

    def __exit__(self, *_: object) -> None:
        self._may_go_on.set()
        self._thread.join(DEADLINE_SECONDS)

    def finish(self) -> Outcome:
        """Let it go on to its end. Raises what it raised."""
        self._may_go_on.set()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive(), "the engine does not come to an end"
        if self.error:
            raise self.error
        assert self.outcome is not None
        return self.outcome

    def _run(self) -> None:
        try:
            with connection.execute_wrapper(self._step):
                self.outcome = self.work()
        except BaseException as error:  # noqa: BLE001 (the test sees it in finish)
            self.error = error
        finally:
            connection.close()

    def _step(self, execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        if self.before and statement == load(self.before):
            self._stop()
        result = execute(statement, *rest)
        if self.after and statement == load(self.after):
            self._stop()
        return result

    def _stop(self) -> None:
        if not self._is_there.is_set():
            self._is_there.set()
            self._may_go_on.wait(DEADLINE_SECONDS)


@contextmanager
def gate(table: str, condition: str) -> Iterator[None]:
    """While this is open, whoever writes a row of `table` for which `condition` holds waits in mid-statement: it has
    taken its snapshot and computed, but not written yet."""
    sql(f"""
        CREATE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$ BEGIN
            PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW;
        END $$;
        CREATE TRIGGER gate BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({condition})
            EXECUTE FUNCTION public.gate();
    """)
    try:
        with session(autocommit=True) as keeper:
            keeper.execute("SELECT pg_advisory_lock(%s)", [GATE])
            yield
    finally:
        sql(f"DROP TRIGGER gate ON {table}; DROP FUNCTION public.gate()")


def wait_at_the_gate() -> None:
    waiting = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"
    wait_until(lambda: sql(waiting), "somebody waits at the gate")


@contextmanager
def failing(table: str, condition: str, code: str, *, once: bool = False) -> Iterator[None]:
    """Whoever writes a row of `table` for which `condition` holds fails with this SQLSTATE: always, or once."""
    sql(f"""
        CREATE SEQUENCE public.failures;
        CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('public.failures') = 1 OR {str(not once).lower()} THEN
                RAISE EXCEPTION 'made to fail' USING ERRCODE = '{code}';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({condition})
            EXECUTE FUNCTION public.fail();
    """)
    try:
        yield
    finally:
        sql(f"DROP TRIGGER fail ON {table}; DROP FUNCTION public.fail(); DROP SEQUENCE public.failures")
