"""`make plans`: how PostgreSQL runs expected.sql for 1, 500 and all licenses, beside the bare sums over the same lines.

LICENSES=100000 says how many there are. Times are medians of several runs with the spread, and only the ratio to the
bare sums of the same run means anything. Before that it says how much slower queries are while PostgreSQL knows nothing
of the tables, as after a first import or a restore, and while it compiles them (JIT). The last part is the plan itself,
in its joins, sorts and scans.
"""

import os
import re
import statistics
import sys
import time
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from ledger.sql import load  # noqa: E402
from reconcile.sql import queries as reconcile  # noqa: E402

LICENSES = int(os.environ.get("LICENSES", "100000"))
HERE = Path(__file__).parent
BARE_SUMS = (HERE / "bare_sums.sql").read_text()
NODE = re.compile(r"^( *)(?:->  )?(.*?)  \(cost=.*actual time=\S+ rows=([\d.]+) loops=(\d+)")


def main() -> None:
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        print(cursor.fetchone()[0], f"{LICENSES} licenses of 8 items of 4 lines", sep="\n")
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(license|ledger)_'")
        for (table,) in cursor.fetchall():  # it would analyse them at a moment of its own
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        *statements, vacuum, _ = (HERE / "world.sql").read_text().split(";\n")
        for statement in statements:
            cursor.execute(statement, {"n": LICENSES})
        cursor.execute("SET jit = off")
        unknown = measure_all(cursor)
        cursor.execute(vacuum)
        known = measure_all(cursor)
        cursor.execute("SET jit = on")
        compiled = measure_all(cursor)
        cursor.execute("SELECT pg_jit_available()")
        without = "" if cursor.fetchone()[0] else " (this server has none)"
        cursor.execute("SET jit = off")
        for name, took_ms in known.items():
            print(
                f"{name:27}: {took_ms:9.1f} ms; never vacuumed or analysed {unknown[name] / took_ms:.1f} x; "
                f"with JIT {compiled[name] / took_ms:.1f} x{without}"
            )
        queries = {"expected.sql": load("expected"), "bare sums": BARE_SUMS}
        for count, runs in ((1, 30), (500, 15), (None, 3)):
            ids = some_ids(count)
            took_ms = {name: measure(cursor, query, ids, runs) for name, query in queries.items()}
            for name, times in took_ms.items():
                print(
                    f"{count or 'all':>4} licenses, {name:12}: median {statistics.median(times):9.1f} ms "
                    f"({min(times):.1f} to {max(times):.1f}, {runs} runs)"
                )
            ratio = statistics.median(took_ms["expected.sql"]) / statistics.median(took_ms["bare sums"])
            print(f"{count or 'all':>4} licenses: expected.sql takes {ratio:.1f} x the bare sums")
        for count in (1, 500, None):
            ids = some_ids(count)
            print(f"\nplan for {count or 'all'} licenses")
            cursor.execute("SET enable_seqscan = off")
            cursor.execute(f"EXPLAIN ANALYZE {queries['expected.sql']}", {"license_ids": ids, "today": None})
            for (line,) in cursor.fetchall():
                if node := NODE.match(line):
                    print(f"{node[1]}{node[2]}  rows={float(node[3]):.0f} loops={node[4]}")
                elif line.startswith(("Planning Time", "Execution Time")):
                    print(line)


def measure_all(cursor) -> dict[str, float]:
    """The median times of what the engine and the audit ask while no balance is there: every license differs."""
    medians_ms = {}
    statements = {name: reconcile.load(name) for name in ("expected", "look", "audit")}
    for name, query in statements.items():
        for count, runs in ((1, 9), (10, 5), (500, 3)):
            ids = some_ids(count)
            medians_ms[f"{count:>4} licenses, {name}.sql"] = statistics.median(measure(cursor, query, ids, runs))
    return medians_ms


def some_ids(count: int | None) -> list[int]:
    """Of the licenses in the middle; None: of all."""
    return list(range(1, LICENSES + 1)) if count is None else list(range(LICENSES // 2, LICENSES // 2 + count))


def measure(cursor, query: str, ids: list[int], runs: int) -> list[float]:
    # as in the transactions of the engine and the audit (begin_recompute.sql, begin_audit.sql)
    cursor.execute(f"SET enable_seqscan = {'on' if query == BARE_SUMS else 'off'}")
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        cursor.execute(
            f"SELECT count(*), sum(length(q::text)) FROM ({query}) AS q",
            {"license_ids": ids, "today": None, "fault_tables": []},
        )
        cursor.fetchall()
        times.append((time.perf_counter() - start) * 1000)
    return times


if __name__ == "__main__":
    main()
