"""The memory of a worker during the night."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Plot, Record, sizes
from stack import compute, connect, memory_mib, set_up, tree, until, up

LIMIT_MIB = 150
INTERVAL_SECONDS = 0.1
PROCESSES = 2
DAMAGED_EVERY = 1_000
DAMAGED_CHUNK_EVERY = 100_000
"""And of so many licenses a thousand together, items and all: what is found of a chunk passes through the worker."""
DAMAGED_TOGETHER = 1_000
POINTS = 200
# Only rows that a worker reads count for its memory: lines are summed up in PostgreSQL.
WORLD = """
    INSERT INTO license_license (license_number, license_date, license_expiry_date)
    SELECT lpad(g::text, 10, '0'), '2026-01-01', date '2100-01-01' FROM generate_series(1, %(licenses)s) AS g;
    INSERT INTO license_sionnorm (code) VALUES ('E1');
    INSERT INTO license_exportitem (license_id, cif_fc, norm_id)
    SELECT id, 10000 + id %% 90000, (SELECT id FROM license_sionnorm) FROM license_license;
    INSERT INTO license_importitem (license_id, serial_number, quantity)
    SELECT l.id, s, 1000 FROM license_license AS l, generate_series(1, %(items)s) AS s ORDER BY l.id, s;
    INSERT INTO ledger_billofentry (number) SELECT g FROM generate_series(1, %(lines)s) AS g;
    INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc)
    SELECT b.id, i.id, 1, 1 FROM license_importitem AS i, ledger_billofentry AS b;
    TRUNCATE ledger_licensechange;
    VACUUM ANALYZE
"""


class Watch(threading.Thread):
    """Memory of each process of a worker, with how many licenses were checked by then, until it is told to stop."""

    def __init__(self, worker: int) -> None:
        super().__init__(daemon=True)
        self.worker = worker
        self.samples: dict[int, list[tuple[int, float, float]]] = {}
        """By process: licenses checked, RSS and PSS in MiB."""
        self.is_over = threading.Event()

    def run(self) -> None:
        with connect() as session:
            while not self.is_over.wait(INTERVAL_SECONDS):
                [checked] = session.execute(
                    "SELECT coalesce(max(licenses_checked), 0) FROM reconcile_reconciliationrun"
                ).fetchone()
                for process in tree(self.worker):
                    if used := memory_mib(process):
                        self.samples.setdefault(process, []).append((checked, used["Rss"], used["Pss"]))


def main() -> None:
    size = sizes(
        small={"licenses": 100_000, "items": 8, "lines": 1}, full={"licenses": 1_000_000, "items": 8, "lines": 1}
    )
    record = Record("memory", "The memory of the night", size)
    set_up()
    with connect() as session:
        damaged = make_world(session, size)
        with up(processes=PROCESSES, beat=False, relay=None) as [worker], watched(worker) as watch:
            start = time.monotonic()
            result = night(session)
            took_seconds = time.monotonic() - start
        check(session, result, size["licenses"], damaged)
    processes = {process: samples for process, samples in watch.samples.items() if len(samples) > 1}
    names = {worker: "main process"} | {
        process: f"pool process {number}" for number, process in enumerate(sorted(set(processes) - {worker}), 1)
    }
    if len(names) != PROCESSES + 1:
        raise SystemExit(f"the worker had the processes {sorted(processes)}: one of them was replaced")
    record.measured("Most resident memory of a process", "MiB", {
        name: [max(rss for _, rss, _ in processes[process])] for process, name in names.items()
    })  # fmt: skip
    record.measured("The same with shared pages divided among those who share them", "MiB", {
        name: [max(pss for _, _, pss in processes[process])] for process, name in names.items()
    })  # fmt: skip
    growth = {}
    for process, name in names.items():
        quarters = [mean([rss for checked, rss, _ in processes[process] if low <= checked / size["licenses"] <= high])
                    for low, high in ((0, 0.25), (0.75, 1))]  # fmt: skip
        record.measured(f"{name}, mean", "MiB", {"first quarter": quarters[:1], "last quarter": quarters[1:]})
        growth[name] = quarters[1] / quarters[0]
    record.goal(
        f"memory of the night over {size['licenses']:,} licenses, greatest process",
        [max(rss for samples in processes.values() for _, rss, _ in samples)],
        at_most=LIMIT_MIB,
        unit="MiB",
    )
    record.goal("memory of the night, last quarter to first, process that grows most", [max(growth.values())],
                at_most=1.1)  # fmt: skip
    lines = {
        name: [(checked / 1000, rss) for checked, rss, _ in thinned(processes[process])]
        for process, name in names.items()
    }
    record.plots.append(
        Plot("Memory over the night", "licenses checked, thousands", "resident, MiB", lines, is_log=False)
    )
    record.notes.append(f"The night took {took_seconds:,.0f} s and checked {size['licenses']:,} licenses.")
    record.save()


def make_world(session: psycopg.Connection, size: dict[str, int]) -> int:
    """Licenses with balances, of which one in a thousand is wrong, and now and then a thousand together: how many
    fields of balances that are."""
    for statement in WORLD.split(";\n"):
        session.execute(statement, size)
    compute(range(1, size["licenses"] + 1))
    session.execute("VACUUM ANALYZE")
    with session.transaction():
        session.execute("SET LOCAL ledger.engine = 'on'")
        alone = session.execute(
            "UPDATE ledger_licensebalance SET balance_cif = balance_cif + 1 WHERE license_id %% %s = 0", [DAMAGED_EVERY]
        )
        together = session.execute(
            "UPDATE ledger_importitembalance SET available_value = available_value + 1 WHERE license_id %% %s < %s",
            [DAMAGED_CHUNK_EVERY, DAMAGED_TOGETHER],
        )
    return alone.rowcount + together.rowcount


def night(session: psycopg.Connection) -> dict[str, str]:
    """Have the worker do the night: what the task returned. The run is over; another process may have ended it."""
    from license.tasks import sync_all_licenses

    result = sync_all_licenses.delay(scheduled=True).get()
    running = "SELECT 1 FROM reconcile_reconciliationrun WHERE status = 'running'"
    until("the run is over", lambda: not session.execute(running).fetchone())
    return result


def check(session: psycopg.Connection, result: dict[str, str], licenses: int, damaged: int) -> None:
    """The night was whole, and repaired what was wrong."""
    runs = session.execute("SELECT status, licenses_checked FROM reconcile_reconciliationrun").fetchall()
    drift = session.execute("SELECT count(*), count(*) FILTER (WHERE repaired) FROM reconcile_drift").fetchone()
    if result["status"] != "success" or runs != [("complete", licenses)] or drift != (damaged, damaged):
        raise SystemExit(f"the night ended with {result}, {runs}, drift {drift}")


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def thinned(samples: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    return samples[:: max(1, len(samples) // POINTS)]


@contextmanager
def watched(worker: int) -> Iterator[Watch]:
    """Watch it meanwhile."""
    watch = Watch(worker)
    watch.start()
    try:
        yield watch
    finally:
        watch.is_over.set()
        watch.join()


if __name__ == "__main__":
    main()
