"""`make metrics`: what a scrape takes with LICENSES=100000 licenses, each with a history of two rows, and what counting
costs the engine: drains of 4,000 changes beside `add_up` called again and again, against the same alone.

Only the ratios mean anything: to a look-up by primary key, and of the two drains, which take turns.
"""

import os
import statistics
import threading
import time

import world  # sets Django up

# isort: split
from django.conf import settings
from django.db import connection, transaction
from django.test import Client

from ledger import tally
from ledger.engine import drain
from ledger.models import LicenseBalance
from ledger.sql import queries as ledger_queries
from monitor.sql import queries
from reconcile.guard import trigger_faults

LICENSES = int(os.environ.get("LICENSES", "100000"))
ROUNDS = 40
DRAINS = 24
CHANGES = 4_000
PAUSE_SECONDS = 0.25
"""Between two countings: a hundred times as often as beat asks."""


def main() -> None:
    world.call_command("migrate", verbosity=0)
    world.run(
        "INSERT INTO license_license (id, license_number, license_date) "
        "SELECT n, lpad(n::text, 10, '0'), '2026-01-01' FROM generate_series(1, %(n)s) AS n",
        {"n": LICENSES},
    )
    world.run(
        "INSERT INTO license_exportitem (license_id, cif_fc) SELECT n, 1000 FROM generate_series(1, %(n)s) AS n",
        {"n": LICENSES},
    )
    drain()
    world.run("UPDATE license_exportitem SET cif_fc = 2000", {})
    drain()
    world.run("VACUUM ANALYZE", {})
    settings.METRICS_TOKEN = "of-this-benchmark-alone"  # noqa: S105
    client = Client(headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}", "Host": "localhost"})
    for path in ("/metrics", "/health/ready"):
        if client.get(path).status_code != 200:
            raise SystemExit(f"{path} does not answer")
    looked_up_ms = median_ms(lambda: LicenseBalance.objects.get(pk=LICENSES // 2))
    print(f"a look-up by primary key: {looked_up_ms:.2f} ms")
    for what in (f"{2 * LICENSES} rows of history not counted yet", "all of it counted"):
        if what == "all of it counted":
            tally.add_up()
            world.run("VACUUM ANALYZE", {})
        scrape_ms = median_ms(lambda: client.get("/metrics"))
        print(f"a scrape, {what}: {scrape_ms:.1f} ms, {scrape_ms / looked_up_ms:.0f} x the look-up")
    for name in ("state", "last_runs", "webhooks"):
        print(f"of which {name}: {median_ms(lambda name=name: queries.dicts(name)):.2f} ms")
    print(f"of which counts: {median_ms(tally.read):.2f} ms")
    print(f"of which triggers: {median_ms(trigger_faults):.2f} ms")
    print(f"is it ready: {median_ms(lambda: client.get('/health/ready')):.1f} ms")
    explain()
    world.run("INSERT INTO ledger_licensechange (license_id, source, operation) SELECT n, '', '' "
              "FROM generate_series(1, 100000) AS n", {})  # fmt: skip
    print(f"state with 100000 pending changes: {median_ms(lambda: queries.dicts('state')):.1f} ms")
    world.run("DELETE FROM ledger_licensechange", {})
    world.run("VACUUM ledger_licensechange", {})
    alone, beside = [], []
    for number in range(DRAINS):
        order = ((alone, False), (beside, True))[:: 1 if number % 2 else -1]
        for times, is_counting in order:
            times.append(drained_ms(number, is_counting=is_counting))
    ratios = sorted(b / a for a, b in zip(alone, beside, strict=True))
    print(
        f"a drain of {CHANGES} changes beside counting: {statistics.median(ratios):.2f} x the same alone "
        f"(80 % between {ratios[2]:.2f} and {ratios[-3]:.2f}, {DRAINS} rounds, {statistics.median(alone):.0f} ms)"
    )


def median_ms(work) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def explain() -> None:
    """How PostgreSQL runs what is asked at each scrape."""
    position = tally.Tally.objects.get().position
    parameters = {"position": position, "is_published": False, "bounds": list(tally.BOUNDS)}
    with transaction.atomic(), connection.cursor() as cursor:
        for query, given in ((ledger_queries.load("tally_history"), parameters), (queries.load("state"), {})):
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {query}", given)
            print(*(line for (line,) in cursor.fetchall()), sep="\n")


def drained_ms(number: int, *, is_counting: bool) -> float:
    first = 1 + number * CHANGES % (LICENSES - CHANGES)
    world.run(
        "UPDATE license_exportitem SET cif_fc = cif_fc + 1 WHERE license_id >= %(first)s AND license_id < %(last)s",
        {"first": first, "last": first + CHANGES},
    )
    is_over = threading.Event()

    def count() -> None:
        while not is_over.wait(PAUSE_SECONDS):
            tally.add_up()
        connection.close()

    counting = threading.Thread(target=count)
    if is_counting:
        counting.start()
    begun = time.perf_counter()
    outcome = drain()
    took_ms = (time.perf_counter() - begun) * 1000
    is_over.set()
    if is_counting:
        counting.join()
    tally.add_up()
    if outcome.written != CHANGES:
        raise SystemExit(f"{outcome.written} balances were written: nothing was measured")
    return took_ms


if __name__ == "__main__":
    main()
