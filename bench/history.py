"""`make history`: what a row of history costs the engine: write_balances.sql as it is, against itself without the
history, for 1 and for 500 licenses whose balances all differ, each asked for by a change.

LICENSES=20000 says how many there are. The two take turns, each in a transaction of its own with its commit; only their
ratio means anything.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lmanagement.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from ledger.engine import recompute  # noqa: E402
from ledger.sql import load  # noqa: E402

LICENSES = int(os.environ.get("LICENSES", "20000"))
HERE = Path(__file__).parent
WITH_HISTORY = load("write_balances")
WITHOUT_HISTORY = (
    WITH_HISTORY[: WITH_HISTORY.index("), remembered AS (")]
    + """) SELECT license_id FROM license_written
    UNION SELECT license_id FROM item_written UNION SELECT license_id FROM item_removed
    UNION SELECT license_id FROM license_removed"""
)


def main() -> None:
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        for statement in (HERE / "world.sql").read_text().split(";\n"):
            if statement.strip():
                cursor.execute(statement, {"n": LICENSES})
        recompute(range(1, LICENSES + 1))
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT version()")
        print(cursor.fetchone()[0], f"{LICENSES} licenses of 8 items of 4 lines", sep="\n")
        for count, rounds in ((1, 400), (500, 24)):
            took_ms = {"with": [], "without": []}
            for number in range(rounds):
                first = 1 + (number * count * 37) % (LICENSES - count)
                for name, query in (("with", WITH_HISTORY), ("without", WITHOUT_HISTORY))[:: 1 if number % 2 else -1]:
                    took_ms[name].append(measure(cursor, query, list(range(first, first + count))))
            with_ms, without_ms = (statistics.median(times) for times in took_ms.values())
            for name, times in took_ms.items():
                low, high = statistics.quantiles(times, n=10)[0], statistics.quantiles(times, n=10)[-1]
                print(
                    f"{count:>4} licenses, {name:7} history: median {statistics.median(times):7.2f} ms "
                    f"(80 % between {low:.2f} and {high:.2f}, {rounds} rounds)"
                )
            print(f"{count:>4} licenses: with history {with_ms / without_ms:.2f} x without")
        cursor.execute("SELECT pg_total_relation_size('ledger_balancehistory') / count(*) FROM ledger_balancehistory")
        print(f"{cursor.fetchone()[0]} bytes a row of history, indexes included")


def measure(cursor, query: str, ids: list[int]) -> float:
    with transaction.atomic():
        cursor.execute("SET LOCAL ledger.engine = 'on'")
        cursor.execute("UPDATE ledger_licensebalance SET balance_cif = 1 WHERE license_id = ANY(%s)", [ids])
        cursor.execute("UPDATE ledger_importitembalance SET available_value = 0.01 WHERE license_id = ANY(%s)", [ids])
        cursor.execute(
            "INSERT INTO ledger_licensechange (license_id, source, operation) SELECT unnest(%s), 'x', 'y' RETURNING id",
            [ids],
        )
        changes = [change for (change,) in cursor.fetchall()]
    start = time.perf_counter()
    with transaction.atomic():
        cursor.execute(load("begin_recompute"))
        parameters = {"license_ids": ids, "today": None, "with_items": True}
        cursor.execute(query, parameters | {"change_ids": changes, "change_license_ids": ids})
        if len(cursor.fetchall()) != len(ids):
            raise SystemExit("the statement did not write every license: nothing was measured")
        cursor.execute(load("delete_changes"), {"change_ids": changes})
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
