"""From a write's commit to the commit that makes its balance visible, by PostgreSQL's own commit timestamps."""

import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Plot, Record, ratios, sizes, take_turns
from noop import RECEIVED, SENT, noop
from stack import (
    Trigger,
    check_balances,
    connect,
    cpu_seconds,
    make_world,
    pgbench,
    postmaster,
    set_up,
    until,
    up,
    wait_until_followed,
)
from where import Shares

WRITERS = 4
CLIENTS = 8
LEFT_MS = 250
ORM, NOOP = "ORM write", "no-op task"
SLEEPS, POLLS, ALWAYS = "relay that sleeps", "relay --poll", "NOTIFY at every write"
RELAYS = {SLEEPS: (), POLLS: ("--poll",), ALWAYS: ()}
LOADED_LICENSES = 250
"""The first ones are written by pgbench: of each, a batch of changes is one recompute."""
ALONE_A_SECOND = 20
LOADED_SAMPLES_A_SECOND = 5
DRAINS = 220
NEEDED_LATER = 2_000
"""Licenses that are kept for what comes after the search for the rate at which latency leaves LEFT_MS."""
MOST_INSERTS_A_SECOND = 25_000
INSERT = "INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc) VALUES "
LOAD = f"\\set item random(1, {LOADED_LICENSES * 8})\n{INSERT} (nextval('bench_bill'), :item, 1, 1);\n"

# Each license is written once, so its only newer row of history is that of the write.
LATENCIES = """
    SELECT extract(epoch FROM pg_xact_commit_timestamp(history.xmin) - pg_xact_commit_timestamp(line.xmin)) * 1000
    FROM unnest(%s::bigint[]) AS written (license_id)
    JOIN license_importitem AS item ON item.license_id = written.license_id AND item.serial_number = 1
    JOIN ledger_billofentryline AS line ON line.import_item_id = item.id AND line.bill_of_entry_id = %s
    JOIN ledger_balancehistory AS history ON history.license_id = written.license_id AND history.id > %s
"""
NOOP_LATENCIES = f"""
    SELECT extract(epoch FROM pg_xact_commit_timestamp(received.xmin) - pg_xact_commit_timestamp(sent.xmin)) * 1000
    FROM {SENT} AS sent JOIN {RECEIVED} AS received USING (number) WHERE number > %s
"""


class Bench:
    """Writes, each on a license that nothing else is written on, and what they took."""

    def __init__(self, session: psycopg.Connection, licenses: int, loaded_seconds: int) -> None:
        self.session = session
        unwritten = list(range(LOADED_LICENSES + 1, licenses + 1))
        random.Random(1).shuffle(unwritten)
        self.unwritten = iter(unwritten)
        self.left = len(unwritten) - NEEDED_LATER
        self.pool = ThreadPoolExecutor(WRITERS)
        self.reached = 0.0
        """How many writes a second were made last time."""
        self.first_bill = self._one("SELECT max(id) + 1 FROM ledger_billofentry")
        bills = loaded_seconds * MOST_INSERTS_A_SECOND
        session.execute(
            "INSERT INTO ledger_billofentry (number) SELECT 'b' || g FROM generate_series(0, %s) AS g", [bills]
        )
        session.execute(f"CREATE SEQUENCE bench_bill START {self.first_bill + 1} MAXVALUE {self.first_bill + bills}")
        for table in (SENT, RECEIVED):
            session.execute(f"CREATE TABLE {table} (number bigint)")

    def orm(self, rate: float, seconds: float) -> list[float]:
        """Latencies in ms of saves through the ORM, at so many a second, whenever the one before is done."""
        from ledger.models import BillOfEntryLine

        def write(license_id: int) -> None:
            BillOfEntryLine.objects.create(
                bill_of_entry_id=self.first_bill, import_item_id=license_id * 8 - 7, quantity=1, cif_fc=1
            )

        return self._written(rate, seconds, lambda license_id: self.pool.submit(write, license_id))

    def raw(self, rate: float, seconds: float) -> list[float]:
        """The same by a session of psycopg's, of which no signal tells."""
        values = f"{INSERT} (%s, %s, 1, 1)"
        with connect() as writer:
            return self._written(
                rate, seconds, lambda license_id: writer.execute(values, [self.first_bill, license_id * 8 - 7])
            )

    def noop(self, rate: float, seconds: float) -> list[float]:
        """The same for a row that is committed, then a task is sent, which commits a row."""
        from django.db import connection

        before = self._one(f"SELECT coalesce(max(number), 0) FROM {SENT}")

        def send(number: int) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {SENT} (number) VALUES (%s)", [number])
            noop.apply_async((number,), retry=False)

        numbers = list(range(before + 1, before + 1 + round(rate * seconds)))
        for number in paced(numbers, rate):
            self.pool.submit(send, number)
        received = f"SELECT count(*) FROM {RECEIVED} WHERE number > {before}"
        until("every task has run", lambda: self._one(received) >= len(numbers), pause_seconds=0.1)
        return self._checked(self.session.execute(NOOP_LATENCIES, [before]), len(numbers))

    def loaded(self, seconds: int) -> tuple[float, int, list[float]]:
        """Clients of pgbench at full speed: how many inserts a second, how many changes were pending when they stopped,
        and latencies in ms of single writes on other licenses beside them. What was inserted before is gone: a license
        with more lines takes longer."""
        self.session.execute("DELETE FROM ledger_billofentryline WHERE bill_of_entry_id > %s", [self.first_bill])
        wait_until_followed(self.session)
        self.session.execute("VACUUM ANALYZE ledger_billofentryline, ledger_licensechange, ledger_balancehistory")

        def load() -> tuple[float, int]:
            rate, _ = pgbench(LOAD, clients=CLIENTS, seconds=seconds)
            with connect() as session:
                return rate, session.execute("SELECT count(*) FROM ledger_licensechange").fetchone()[0]

        loading = self.pool.submit(load)
        time.sleep(0.5)
        took_ms = self.raw(LOADED_SAMPLES_A_SECOND, seconds - 1)
        return *loading.result(), took_ms

    def _written(self, rate: float, seconds: float, write: Callable[[int], object]) -> list[float]:
        licenses = [next(self.unwritten) for _ in range(round(rate * seconds))]
        self.left -= len(licenses)
        last = self._one("SELECT max(id) FROM ledger_balancehistory")
        start = time.monotonic()
        done = [write(license_id) for license_id in paced(licenses, rate)]
        for each in done:
            if hasattr(each, "result"):
                each.result()
        self.reached = len(licenses) / (time.monotonic() - start)
        wait_until_followed(self.session)
        return self._checked(self.session.execute(LATENCIES, [licenses, self.first_bill, last]), len(licenses))

    def _checked(self, rows: psycopg.Cursor, expected: int) -> list[float]:
        took_ms = [float(each) for (each,) in rows.fetchall()]
        if len(took_ms) != expected or min(took_ms) < 0:
            raise SystemExit(f"{expected} writes left {len(took_ms)} latencies, from {min(took_ms)} ms on")
        return took_ms

    def _one(self, query: str) -> int:
        return self.session.execute(query).fetchone()[0]


def paced(items: list[int], rate: float) -> Iterator[int]:
    """Each of them when it is due, at so many a second on average, at random intervals: nothing falls into step."""
    due = time.monotonic()
    for item in items:
        due += random.uniform(0.5, 1.5) / rate
        time.sleep(max(0, due - time.monotonic()))
        yield item


def main() -> None:
    size = sizes(
        small={"licenses": 12_000, "rounds": 2, "seconds": 4, "quiet_seconds": 10},
        full={"licenses": 50_000, "rounds": 3, "seconds": 10, "quiet_seconds": 30},
    )
    rates = (1, 20, 100) if os.environ.get("SIZE", "small") == "small" else (1, 5, 20, 50, 100, 200)
    record = Record("latency", "From a commit to the visible balance", size)
    with commit_timestamps(), connect() as session:
        set_up()
        make_world(session, size["licenses"])
        bench = Bench(session, size["licenses"], size["seconds"] * size["rounds"] * len(RELAYS))
        at_rates(record, bench, rates, size)
        by_relays(record, bench, size)
        of_a_drain(record, session)
        record.notes.append(
            f"Every balance of the {check_balances():,} licenses was compared with its facts at the end."
        )
        record.save()


def at_rates(record: Record, bench: Bench, rates: tuple[int, ...], size: dict[str, int]) -> None:
    median: dict[str, list[tuple[float, float]]] = {ORM: [], NOOP: []}
    p99: dict[str, list[tuple[float, float]]] = {ORM: [], NOOP: []}
    with up(include="noop") as engines:
        bench.orm(20, 1), bench.noop(20, 1)  # processes have opened their connections
        for rate in rates:
            seconds = size["quiet_seconds"] if rate < 5 else size["seconds"]
            took: dict[str, list[list[float]]] = {ORM: [], NOOP: []}

            def measure(way: str, of: Callable[[float, float], list[float]], rate: int = rate, seconds: int = seconds,
                        took: dict[str, list[list[float]]] = took) -> float:  # fmt: skip
                took[way].append(of(rate, seconds))
                return statistics.median(took[way][-1])

            medians = take_turns(
                {NOOP: lambda: measure(NOOP, bench.noop), ORM: lambda: measure(ORM, bench.orm)}, size["rounds"]
            )
            record.measured(f"{rate} a second, median", "ms", medians)
            record.measured(f"{rate} a second, 99th percentile", "ms", {
                way: [percentile_99([each for of_round in took[way] for each in of_round])] for way in medians
            })  # fmt: skip
            record.goal(f"commit to visible balance, ORM, {rate} a second: median, to a no-op Celery task",
                        ratios(medians[ORM], medians[NOOP]), at_most=2)  # fmt: skip
            for way, of_rounds in took.items():
                median[way].append((rate, statistics.median(medians[way])))
                p99[way].append((rate, percentile_99([each for of_round in of_rounds for each in of_round])))
        of_a_write(record, bench, rates[-1], size["seconds"], engines)
        where = where_it_leaves(bench, p99[ORM], size["seconds"])
    without_relay(record, bench, size)
    record.notes.append(f"The 99th percentile of ORM writes leaves {LEFT_MS} ms {where}.")
    record.plots.append(Plot("Latency over the rate of writes", "writes a second", "ms", {
        **{f"{way}, median": points for way, points in median.items()},
        **{f"{way}, 99th percentile": points for way, points in p99.items()},
    }))  # fmt: skip


def of_a_write(record: Record, bench: Bench, rate: int, seconds: int, engines: list[int]) -> None:
    """What processors do for a write that is saved by itself, until its balance is there."""
    server = postmaster(bench.session)
    before = cpu_seconds(server), sum(map(cpu_seconds, engines))
    writes = len(bench.orm(rate, seconds))
    used = cpu_seconds(server) - before[0], sum(map(cpu_seconds, engines)) - before[1]
    record.measured(f"CPU time of an ORM write, {rate} a second", "ms", {
        "PostgreSQL, the write itself included": [used[0] / writes * 1000],
        "worker and relay": [used[1] / writes * 1000],
    })  # fmt: skip


def without_relay(record: Record, bench: Bench, size: dict[str, int]) -> None:
    """The way of the signal alone: with a relay, a write that comes by itself is followed by that."""
    with up(include="noop", relay=None):
        bench.orm(20, 1), bench.noop(20, 1)
        ways = {NOOP: bench.noop, ORM: bench.orm}
        turns = {way: lambda of=of: statistics.median(of(ALONE_A_SECOND, size["seconds"])) for way, of in ways.items()}
        medians = take_turns(turns, size["rounds"])
        record.measured(f"{ALONE_A_SECOND} a second, no relay is up, median", "ms", medians)


def of_a_drain(record: Record, session: psycopg.Connection) -> None:
    """Where its time goes. Nobody else works anything off."""
    from ledger.engine import drain

    shares = Shares()
    for number in range(DRAINS):
        session.execute("UPDATE license_exportitem SET cif_fc = cif_fc + 1 WHERE license_id = %s", [number + 1])
        if number < 20:  # statements are being prepared
            drain()
            continue
        with shares.counted():
            drain()
    record.measured("Where a drain of one change takes its time", "%", shares.percent())


def where_it_leaves(bench: Bench, p99: list[tuple[float, float]], seconds: int) -> str:
    """The rate of ORM writes at which the 99th percentile leaves LEFT_MS: one of those measured, or one that doubles
    until it does or the writers of this machine get no faster."""
    for rate, took_ms in p99:
        if took_ms > LEFT_MS:
            return f"at {rate:.0f} writes a second"
    while True:
        rate *= 2
        if rate * seconds > bench.left:
            return f"at no rate up to {rate / 2:.0f} a second, the most that this part has licenses for"
        took_ms = percentile_99(bench.orm(rate, seconds))
        if took_ms > LEFT_MS:
            return f"between {rate / 2:.0f} and {rate:.0f} writes a second"
        if bench.reached < 0.9 * rate:
            return (
                f"at no rate: the writers made {bench.reached:.0f} a second at most, and then it was {took_ms:.0f} ms"
            )


def by_relays(record: Record, bench: Bench, size: dict[str, int]) -> None:
    trigger = Trigger(bench.session)
    quiet: dict[str, list[float]] = {NOOP: [], **{way: [] for way in RELAYS}}
    latency: dict[str, list[float]] = {way: [] for way in RELAYS}
    throughput: dict[str, list[float]] = {way: [] for way in RELAYS}
    pending: dict[str, list[float]] = {way: [] for way in RELAYS}
    for number in range(size["rounds"]):
        for way in list(RELAYS)[:: -1 if number % 2 else 1]:
            trigger.install(trigger.notify_always if way == ALWAYS else trigger.function)
            with up(include="noop", relay=RELAYS[way]):
                bench.raw(5, 1), bench.noop(20, 1)
                quiet[way].append(statistics.median(bench.raw(1, size["quiet_seconds"])))
                if way == SLEEPS:
                    quiet[NOOP].append(statistics.median(bench.noop(1, size["quiet_seconds"])))
                rate, count, took_ms = bench.loaded(size["seconds"])
                throughput[way].append(rate)
                pending[way].append(count)
                latency[way].append(statistics.median(took_ms))
    trigger.install(trigger.function)
    record.measured("raw SQL, one write a second, median", "ms", quiet)
    record.goal("commit to visible balance, raw SQL, quiet: median, to a no-op Celery task",
                ratios(quiet[SLEEPS], quiet[NOOP]), at_most=3)  # fmt: skip
    record.measured(f"{CLIENTS} writers at full speed: inserts", "inserts a second", throughput)
    record.measured(f"{CLIENTS} writers at full speed: latency of raw SQL beside them, median", "ms", latency)
    record.measured(f"{CLIENTS} writers at full speed: pending when they stopped", "changes", pending)


def percentile_99(values: list[float]) -> float:
    """The value that one of a hundred exceeds; of fewer values, the greatest."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


@contextmanager
def commit_timestamps() -> Iterator[None]:
    """Servers of our own, of which PostgreSQL keeps when each transaction was committed."""
    from servers import temporary_servers

    with temporary_servers(is_durable=True) as live:
        with psycopg.connect(live.database_url, autocommit=True) as session:
            session.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        live.postgres.restart()
        os.environ |= {"DATABASE_URL": live.postgres.url, "CELERY_BROKER_URL": live.broker_url}
        yield


if __name__ == "__main__":
    main()
