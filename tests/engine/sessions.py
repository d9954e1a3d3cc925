"""Other sessions beside the test's own: plain ones, and engines that stop where a race needs them to."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from django.db import DatabaseError, connection, connections, transaction

from ledger.engine import Outcome
from ledger.sql import load
from tests.conftest import one, sql

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


class OpenTransaction:
    """A transaction of somebody else that stays open until `end`. Within `taking_part`, Django's connection is theirs,
    so every way to write is open to them."""

    def __init__(self) -> None:
        self._connection = connections.create_connection("default")
        self._block = transaction.atomic(durable=True)
        with self.taking_part():
            self._block.__enter__()
            self._pid = one("SELECT pg_backend_pid()")

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        ours = connections["default"]
        connections["default"] = self._connection
        try:
            yield
        finally:
            connections["default"] = ours

    def end(self, how: str) -> None:
        """By `commit`, `rollback` or a `kill`, from outside. Raises what the commit raised."""
        try:
            if how == "kill":
                kill(self._pid)
                return
            with self.taking_part():
                if how == "rollback":
                    transaction.set_rollback(True)
                self._block.__exit__(None, None, None)
        finally:
            self._connection.close()


def kill(pid: int) -> None:
    """End a session from outside, and wait until it is gone, with its locks."""
    assert one("SELECT pg_terminate_backend(%s, %s)", pid, DEADLINE_SECONDS * 1000)


class Walker:
    """An engine in a thread and a connection of its own that goes from statement to statement as it is told, and stands
    still in between, in the middle of its transaction. Nothing of it is left to chance: it moves only within `walk`."""

    def __init__(self, work: Callable[[], Outcome]) -> None:
        self.work = work
        self.outcome: Outcome | None = None
        self.is_through = False
        self._error: BaseException | None = None
        self._until: str | None = None
        self._pid: int | None = None
        self._is_to_crash = False
        self._may_go_on, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def walk(self, after: str | None = None) -> None:
        """Go on until it has run this statement of ledger/sql, or, where that does not come or there is none, to the
        end. Raises what it raised."""
        self._until = load(after) if after else None
        self._go_on()
        if self._error:
            raise self._error

    def die(self, how: str) -> None:
        """Where it stands: by a `crash` of the process, or a `kill` of its session."""
        if how == "crash":
            self._is_to_crash = True
        elif self._pid:
            kill(self._pid)
        self._until = None
        self._go_on()
        assert isinstance(self._error, Crash | DatabaseError), f"it outlived its end: {self.outcome}"

    def _go_on(self) -> None:
        self._may_go_on.release()
        assert self._stands.acquire(timeout=DEADLINE_SECONDS), "the engine does not come to an end"

    def _run(self) -> None:
        try:
            self._may_go_on.acquire()
            with connection.execute_wrapper(self._step):
                self.outcome = self.work()
        except BaseException as error:  # noqa: BLE001 (whoever has it walk gets to see it)
            self._error = error
        finally:
            connection.close()
            self.is_through = True
            self._stands.release()

    def _step(self, execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        result = execute(statement, *rest)
        if statement == self._until:
            self._pid = connection.connection.info.backend_pid
            self._stands.release()
            self._may_go_on.acquire()
            if self._is_to_crash:
                raise Crash
        return result


class Crash(BaseException):
    """The end of a process in mid-statement: nothing catches it."""
