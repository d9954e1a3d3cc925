"""How far more workers carry: a backlog worked off by one, two, four and eight processes, on one host and on two."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Plot, Record, ratios, sizes, take_turns
from hosts import Host, NoHosts, hosts
from stack import LOGS, check_balances, connect, cpu_seconds, make_world, postmaster, set_up, until

PROCESSES = (1, 2, 4, 8)
HOSTS = 2
SHARED = (2, 4)
"""How many processes are also split over the hosts: more have nothing to do on small machines."""
DRAINER = """
import json, sys
from django_setup import set_up_django
set_up_django()
from django.db import connection
from ledger import engine
engine.drain()  # opens the connection, and finds nothing
print("ready", flush=True)
sys.stdin.readline()
done = engine.drain()
print(json.dumps({"recomputed": done.recomputed, "changes": done.changes}), flush=True)
sys.stdin.readline()
"""
ASKER = """
import json, os, statistics, time
import psycopg, redis

def us(ask):
    times = []
    for _ in range(500):
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6

deadline = time.monotonic() + 5
while True:  # until PostgreSQL has read whom it may let in
    try:
        session = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, connect_timeout=5)
        break
    except psycopg.OperationalError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.05)
broker = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"], socket_connect_timeout=5)
print(json.dumps({"PostgreSQL": us(lambda: session.execute("SELECT 1")), "Redis": us(broker.ping)}))
"""


def main() -> None:
    size = sizes(small={"licenses": 10_000, "rounds": 3}, full={"licenses": 20_000, "rounds": 5})
    record = Record("workers", "More workers", size)
    set_up()
    with connect() as session, ExitStack() as stack:
        make_world(session, size["licenses"])
        others = two_hosts(stack, session, record)
        names = {count: f"{count} process{'es' if count > 1 else ''}" for count in PROCESSES}
        drains: dict[str, list[dict[str, float]]] = {}

        def drain(way: str, count: int, others: Sequence[Host]) -> float:
            drains.setdefault(way, []).append(measure(session, size["licenses"], count, others))
            return drains[way][-1]["rate"]

        ways: dict[str, Callable[[], float]] = {}
        for count, name in names.items():
            ways[name] = partial(drain, name, count, ())
            if others and count in SHARED:
                ways[apart(name)] = partial(drain, apart(name), count, others)
        rates = take_turns(ways, size["rounds"])
        record.measured("A backlog is worked off", "licenses a second", {
            name: rates[name] for name in names.values()
        })  # fmt: skip
        for what, unit, key in (
            ("CPU time of the engine's processes", "ms for each license", "python_ms"),
            ("CPU time of PostgreSQL", "ms for each license", "postgres_ms"),
            ("Cores in use, both together", "cores", "cores"),
            ("Processes that had any of it", "processes", "busy"),
        ):
            record.measured(what, unit, {
                name: [drained[key] for drained in drains[name]] for name in names.values()
            })  # fmt: skip
        for name in (names[count] for count in SHARED if others):
            record.measured(f"A backlog is worked off by {name}", "licenses a second", {
                "on one host": rates[name], "on two hosts": rates[apart(name)],
            })  # fmt: skip
            shares = {
                host: [drained[host] for drained in drains[apart(name)]]
                for host in (f"host {number + 1}" for number in range(HOSTS))
            }
            record.measured(f"Share of each of two hosts, {name}", "% of the changes", shares)
            if not all(map(any, shares.values())):
                raise SystemExit(f"one of the hosts did nothing: {shares}")
        [deadlocks] = session.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        if deadlocks:
            raise SystemExit(f"{deadlocks} deadlocks")
    medians = [statistics.median(rates[names[count]]) for count in PROCESSES]
    record.plots.append(Plot("Licenses a second over processes", "processes", "licenses a second", {
        "measured": list(zip(PROCESSES, medians, strict=True)),
        "as many times the first": [(count, medians[0] * count) for count in PROCESSES],
    }))  # fmt: skip
    best = max(PROCESSES, key=lambda count: medians[PROCESSES.index(count)])
    gain = ratios(rates[names[best]], rates[names[1]])
    record.notes.append(f"The most was done by {names[best]}: {statistics.median(gain):.2g} times what one does.")
    record.save()


def apart(name: str) -> str:
    return f"{name} on two hosts"


def two_hosts(stack: ExitStack, session: psycopg.Connection, record: Record) -> Sequence[Host]:
    """Hosts from which PostgreSQL and Redis answer, and how fast they do; or none, and why."""
    try:
        others = stack.enter_context(hosts(session, HOSTS))
        near, *far = [ask_servers(enter) for enter in ((), *(host.enter for host in others))]
    except NoHosts as why:
        others, note = (), f"Two hosts are left out: {why}."
    else:
        for server, what in (("PostgreSQL", "PostgreSQL answers `SELECT 1`"), ("Redis", "Redis answers `PING`")):
            record.measured(what, "µs", {
                "on its host": [near[server]], "from the two hosts": [each[server] for each in far],
            })  # fmt: skip
        note = f"Two hosts are two network namespaces, each joined by a veth pair; {others[0].delay}."
    print(note, flush=True)
    record.notes.append(note)
    return others


def ask_servers(enter: Sequence[str]) -> dict[str, float]:
    """The microseconds that each server takes to answer there."""
    asked = subprocess.run([*enter, sys.executable, "-c", ASKER], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise NoHosts(f"PostgreSQL or Redis does not answer there: {asked.stderr.strip().splitlines()[-1]}")
    return json.loads(asked.stdout)


def measure(session: psycopg.Connection, licenses: int, count: int, others: Sequence[Host]) -> dict[str, float]:
    """Change every license, and let so many processes drain, on the other hosts by turns if there are any: what it
    took. All that was asked for is done, once."""
    workers = [start(number, others[number % HOSTS].enter if others else ()) for number in range(count)]
    try:
        for worker in workers:
            if worker.stdout.readline().strip() != "ready":
                raise SystemExit(f"a process that drains does not start; its errors are in {LOGS}")
        expected = {host.address: count // HOSTS for host in others}
        until("PostgreSQL sees the processes come from their hosts", lambda: addresses(session) == expected)
        session.execute("UPDATE license_exportitem SET cif_fc = cif_fc + 1")
        server = postmaster(session)
        used = cpu_seconds(server), sum(cpu_seconds(worker.pid) for worker in workers)
        begin = time.monotonic()
        for worker in workers:
            tell(worker)
        done = [json.loads(worker.stdout.readline()) for worker in workers]
        until("nothing is left", lambda: not session.execute("SELECT 1 FROM ledger_licensechange").fetchone())
        seconds = time.monotonic() - begin
        postgres_seconds = cpu_seconds(server) - used[0]
        python_seconds = sum(cpu_seconds(worker.pid) for worker in workers) - used[1]
    finally:
        for worker in workers:
            with suppress(BrokenPipeError):  # it has ended by itself
                worker.stdin.close()
        for worker in workers:
            worker.wait()
    if sum(each["changes"] for each in done) != licenses or sum(each["recomputed"] for each in done) != licenses:
        raise SystemExit(f"{licenses} licenses were changed, and {done} done")
    of_hosts = [sum(each["changes"] for each in done[number::HOSTS]) for number in range(HOSTS)]
    check_balances()
    return {
        "rate": licenses / seconds,
        "python_ms": python_seconds / licenses * 1000,
        "postgres_ms": postgres_seconds / licenses * 1000,
        "cores": (python_seconds + postgres_seconds) / seconds,
        "busy": sum(each["changes"] > 0 for each in done),
        **{f"host {number}": 100 * changes / licenses for number, changes in enumerate(of_hosts, 1)},
    }


def addresses(session: psycopg.Connection) -> dict[str, int]:
    """From which other hosts PostgreSQL sees how many processes come."""
    return dict(
        session.execute(
            "SELECT host(client_addr), count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND client_addr <> '127.0.0.1' GROUP BY 1"
        ).fetchall()
    )


def start(number: int, enter: Sequence[str]) -> subprocess.Popen[str]:
    """A process that drains when it is told, and ends when it is told again or we end."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"drainer-{number}.log").open("wb") as errors:
        return subprocess.Popen(
            [*enter, sys.executable, "-c", DRAINER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=Path(__file__).resolve().parents[2] / "deploy" / "local",
            text=True,
        )


def tell(worker: subprocess.Popen[str]) -> None:
    worker.stdin.write("\n")
    worker.stdin.flush()


if __name__ == "__main__":
    main()
