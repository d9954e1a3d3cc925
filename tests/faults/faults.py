"""The faults of the storm: each strikes, lasts as long as the plan says, and is over when its function returns."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from django_setup import BACKEND
from servers import Servers
from tests.faults.daemon import Daemon
from tests.faults.world import HOT, LICENSES

SETTLE_SECONDS = 5
"""How long after a fault of PostgreSQL's a writer may still get its errors."""

NIGHT_SECONDS = QUARANTINE_SECONDS = 180
"""How long a reconciliation, or the way into quarantine, may take in mid-storm: no measure of anything."""


@dataclass(frozen=True)
class Fault:
    """One fault of the plan."""

    at_seconds: float
    kind: str
    lasts_seconds: float
    which: float
    """A number below 1 by which it chooses."""
    licenses: tuple[int, ...]

    def choose(self, *choices: str) -> str:
        return choices[int(self.which * len(choices))]


def plan(seed: int, storm_seconds: float, kinds: list[str]) -> list[Fault]:
    """Every kind in turn, the turns shuffled; the more time there is, the longer are the pauses and the faults."""
    dice = random.Random(f"{seed}, faults")
    pause_seconds = min(3.0, storm_seconds / (len(kinds) + 2))
    longest_seconds = 4 if storm_seconds < 120 else 10
    faults: list[Fault] = []
    at_seconds = 2.0
    while True:
        for kind in dice.sample(kinds, len(kinds)):
            fault = Fault(
                at_seconds=at_seconds,
                kind=kind,
                lasts_seconds=dice.uniform(0.5, longest_seconds),
                which=dice.random(),
                licenses=(*sorted(dice.sample(HOT, 3)), *sorted(dice.sample(LICENSES[len(HOT) :], 97))),
            )
            at_seconds += dice.uniform(0, 2 * pause_seconds) if storm_seconds >= 120 else pause_seconds
            if at_seconds > storm_seconds:
                return faults
            faults.append(fault)


class Faults:
    """What can strike: `strike[kind](fault)`. Faults of one server wait for each other; all else overlaps."""

    def __init__(
        self, servers: Servers, daemons: dict[str, Daemon], environment: dict[str, str], night_log: Path
    ) -> None:
        self.windows: list[tuple[str, float, float]] = []
        """Which kind of trouble PostgreSQL made for everybody, from when to when."""
        self.without_workers: list[tuple[float, float]] = []
        """From when to when."""
        self.complaints: list[str] = []
        self._servers = servers
        self._daemons = daemons
        self._environment = environment
        self._night_log = night_log
        self._postgres, self._redis, self._poisoning = threading.Lock(), threading.Lock(), threading.Lock()
        self.strike: dict[str, Callable[[Fault], None]] = {
            "worker killed": self._worker_killed,
            "workers gone": self._workers_gone,
            "beat killed": self._kill("beat"),
            "Redis flushed": self._redis_flushed,
            "Redis restarted": self._redis_restarted,
            "Redis stopped": self._redis_stopped,
            "Redis hanging": self._redis_hanging,
            "Redis full": self._redis_full,
            "PostgreSQL restarted": self._postgres_restarted,
            "PostgreSQL stopped at once": self._postgres_stopped_at_once,
            "PostgreSQL killed": self._postgres_killed,
            "sessions of the engine ended": self._sessions_ended,
            "PostgreSQL read-only": self._read_only,
            "connections used up": self._connections_used_up,
            "balances held": self._balances_held,
            "locks of the engine held": self._engine_locks_held,
            "a long transaction": self._long_transaction,
            "messages doubled": self._messages_doubled,
            "poison": self._poison,
            "a night": self._night,
            "relay killed": self._kill("relay"),
        }
        self.drills: dict[str, Callable[[Fault], None]] = {
            "Redis replaced": self._redis_replaced,
            "disk full": self._disk_full,
        }
        """What is not part of every storm: it needs somebody's hand in the end."""

    def _worker_killed(self, fault: Fault) -> None:
        self._daemons[fault.choose("worker 1", "worker 2")].kill(fault.choose(*("main", "child", "all") * 2))

    def _workers_gone(self, fault: Fault) -> None:
        seconds = 8 + fault.lasts_seconds
        for name in ("worker 1", "worker 2"):
            self._daemons[name].keep_away(seconds)
        self.without_workers.append((time.time(), time.time() + seconds))

    def _kill(self, name: str) -> Callable[[Fault], None]:
        return lambda _: self._daemons[name].kill("main")

    # ── Redis ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _broker(self) -> redis.Redis:
        return redis.Redis.from_url(self._servers.redis.url, socket_timeout=20)

    def _redis_flushed(self, _: Fault) -> None:
        with self._redis, self._broker() as broker:
            broker.flushall()

    def _redis_restarted(self, _: Fault) -> None:
        with self._redis:
            self._servers.redis.restart()

    def _redis_stopped(self, fault: Fault) -> None:
        with self._redis:
            self._servers.redis.stop()
            time.sleep(3 + fault.lasts_seconds)  # a worker tries again after 2 seconds, 4, 6 …
            self._servers.redis.start()

    def _redis_hanging(self, fault: Fault) -> None:
        with self._redis:
            os.kill(self._servers.redis.pid, signal.SIGSTOP)
            time.sleep(2 + fault.lasts_seconds)  # nobody waits longer than 2 seconds for it
            os.kill(self._servers.redis.pid, signal.SIGCONT)

    def _redis_full(self, fault: Fault) -> None:
        with self._redis, self._broker() as broker:
            broker.config_set("maxmemory-policy", "noeviction")
            broker.config_set("maxmemory", 1)
            time.sleep(fault.lasts_seconds)
            broker.config_set("maxmemory", 0)

    def _redis_replaced(self, fault: Fault) -> None:
        """It is lost. An empty one is found at another address, and who follows is restarted with that; but for the
        writers, whose hints go nowhere from now on."""
        with self._redis:
            self._servers.redis.stop()
            time.sleep(3 + fault.lasts_seconds)
            self._servers.redis.port = 0
            self._servers.redis.start()
            url = self._servers.redis.url
            self._environment |= {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
            for daemon in self._daemons.values():
                daemon.restart_with(CELERY_BROKER_URL=url, CELERY_RESULT_BACKEND=url)

    # ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _disk_full(self, fault: Fault) -> None:
        """Of data and log of PostgreSQL alike. Then somebody makes room, and starts it where it has given up."""
        with self._trouble("disk full"), self._also("away"):
            ballast = self._servers.postgres.folder / "ballast"
            until = time.monotonic() + 4 + fault.lasts_seconds
            with ballast.open("wb", buffering=0) as file:
                while time.monotonic() < until:  # whatever room is made meanwhile is taken, too
                    with suppress(OSError):
                        while file.write(bytes(2**16)):
                            pass
                    if time.monotonic() > until - 2:  # it finds no room for its log either, and panics
                        with suppress(psycopg.Error), self._connect() as session:
                            session.execute("SELECT pg_logical_emit_message(false, 'storm', ''), pg_switch_wal()")
                    time.sleep(0.01)
            ballast.unlink()
            # it may be at its recovery, and may give that up, too: what it wanted to write found no room
            while True:
                with suppress(psycopg.OperationalError):
                    self._servers.postgres.start()
                    with self._connect() as session:
                        session.execute("CHECKPOINT")
                        return
                time.sleep(0.1)

    @contextmanager
    def _also(self, kind: str) -> Iterator[None]:
        began = time.time()
        yield
        self.windows.append((kind, began, time.time() + SETTLE_SECONDS))

    @contextmanager
    def _trouble(self, kind: str) -> Iterator[None]:
        """Nobody else makes PostgreSQL trouble meanwhile, and writers' errors are put down to this."""
        with self._postgres:
            began = time.time()
            try:
                yield
            finally:
                self.windows.append((kind, began, time.time() + SETTLE_SECONDS))

    def _postgres_restarted(self, _: Fault) -> None:
        with self._trouble("away"):
            self._servers.postgres.restart()

    def _postgres_stopped_at_once(self, _: Fault) -> None:
        with self._trouble("away"):
            os.kill(self._servers.postgres.pid, signal.SIGQUIT)
            self._servers.postgres.restart()

    def _postgres_killed(self, _: Fault) -> None:
        with self._trouble("away"):
            self._servers.postgres.kill()
            self._servers.postgres.start()

    def _sessions_ended(self, _: Fault) -> None:
        with suppress(psycopg.OperationalError), self._somebody() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'engine%'"
            )

    def _read_only(self, fault: Fault) -> None:
        with self._trouble("read-only"), self._somebody() as session:
            session.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            session.execute("SELECT pg_reload_conf()")
            time.sleep(fault.lasts_seconds)
            session.execute("ALTER SYSTEM RESET default_transaction_read_only")
            session.execute("SELECT pg_reload_conf()")

    def _connections_used_up(self, fault: Fault) -> None:
        with self._trouble("full"):
            sessions: list[psycopg.Connection[Any]] = []
            until = time.monotonic() + fault.lasts_seconds
            try:
                while time.monotonic() < until:  # whatever is let go meanwhile is taken, too
                    try:
                        sessions.append(self._connect())
                    except psycopg.OperationalError:
                        time.sleep(0.01)
            finally:
                for session in sessions:
                    session.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._servers.database_url,
            autocommit=True,
            application_name="somebody",
            options="-c default_transaction_read_only=off",  # whoever holds or corrects something is not kept from it
        )

    @contextmanager
    def _somebody(self) -> Iterator[psycopg.Connection[Any]]:
        """A session beside the engine's and the writers'."""
        while True:
            try:
                session = self._connect()
                break
            except psycopg.OperationalError:
                time.sleep(0.1)
        with session:
            yield session

    def _balances_held(self, fault: Fault) -> None:
        statement = "SELECT FROM ledger_licensebalance WHERE license_id = ANY(%s) ORDER BY license_id FOR UPDATE"
        self._hold(statement, fault, fault.lasts_seconds)

    def _engine_locks_held(self, fault: Fault) -> None:
        statement = "SELECT pg_advisory_xact_lock((x'4C62'::bigint << 48) | l) FROM unnest(%s) AS l"
        self._hold(statement, fault, fault.lasts_seconds)

    def _long_transaction(self, fault: Fault) -> None:
        statement = "SELECT count(*) FROM license_license WHERE id = ANY(%s)"
        self._hold(statement, fault, 3 * fault.lasts_seconds, psycopg.IsolationLevel.REPEATABLE_READ)

    def _hold(self, statement: str, fault: Fault, seconds: float, level: psycopg.IsolationLevel | None = None) -> None:
        """Somebody's idle transaction that has run this for the licenses of the fault. It ends with PostgreSQL."""
        with suppress(psycopg.OperationalError), self._somebody() as session:
            session.isolation_level = level
            with session.transaction(force_rollback=True):
                session.execute(statement, [list(fault.licenses)])
                time.sleep(seconds)

    # ── Messages, data, nights ────────────────────────────────────────────────────────────────────────────────────────

    def _messages_doubled(self, fault: Fault) -> None:
        """Of licenses that have changed, that have not, and that never were, in no order, many times."""
        from ledger.tasks import recompute

        dice = random.Random(fault.which)
        with suppress(Exception):  # the broker may be away
            for _ in range(40):
                ids = [*dice.choices(fault.licenses, k=2), dice.randrange(10**9)]
                name = dice.choice(["license_id", "import_item_id", "allotment_id", "item_name_id"])
                for _ in range(dice.randint(1, 5)):
                    recompute.apply_async(kwargs={"keys": {name: ids} if dice.random() < 0.9 else {}}, retry=False)

    def _poison(self, fault: Fault) -> None:
        """Two debits whose sum exceeds its column. As soon as the license is in quarantine, a writer corrects them."""
        license, item = fault.licenses[0], fault.licenses[0] * 10 + 1
        with self._poisoning:
            self._write(
                "INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, cif_fc) "
                "SELECT bill, %s, 9999999999999.99 FROM generate_series(9000, 9001) AS bill ON CONFLICT DO NOTHING",
                item,
            )
            deadline = time.monotonic() + QUARANTINE_SECONDS
            while not self._write("SELECT 1 FROM ledger_quarantine WHERE license_id = %s", license):
                if time.monotonic() > deadline:
                    self.complaints.append(f"not in quarantine after {QUARANTINE_SECONDS} seconds: license {license}")
                    break
                time.sleep(0.2)
            self._write(
                "DELETE FROM ledger_billofentryline WHERE bill_of_entry_id >= 9000 AND import_item_id = %s", item
            )

    def _write(self, statement: str, *parameters: object) -> bool:
        """As a writer would: tried until it is done. Whether there was such a row."""
        while True:
            with suppress(psycopg.Error), self._connect() as session:
                session.execute("SET application_name = 'writer of poison'")
                return session.execute(statement, parameters).rowcount > 0
            time.sleep(0.2)

    def _night(self, fault: Fault) -> None:
        """One that a worker is asked for, one by hand, or two at once."""
        from license.tasks import sync_all_licenses

        how = fault.choose("asked for", "by hand", "both", "twice by hand")
        with suppress(Exception):  # the broker may be away
            if how in ("asked for", "both"):
                sync_all_licenses.apply_async(retry=False)
        count = {"asked for": 0, "by hand": 1, "both": 1, "twice by hand": 2}[how]
        with self._night_log.open("ab") as log:
            runs = [
                subprocess.Popen(
                    [sys.executable, "manage.py", "sync_licenses", "--batch-size=20"],
                    cwd=BACKEND,
                    env={**os.environ, **self._environment, "PGAPPNAME": "engine night"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
                for _ in range(count)
            ]
        for run in runs:
            try:
                run.wait(NIGHT_SECONDS)
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                self.complaints.append(f"sync_licenses did not end within {NIGHT_SECONDS} seconds")
