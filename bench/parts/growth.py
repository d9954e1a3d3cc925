"""Growth: what one recompute costs while the database grows, and while one license does.

A machine that others use is not the same for each size. So a second process does a recompute in turn with each of ours,
in a small database of its own on the same server, and sizes are compared by their ratio to that.
"""

import math
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Plot, Record, ratios, sizes, take_turns  # isort: skip
from world import assert_fresh, check, create, grow, rows, run, seconds  # isort: skip

from ledger.engine import recompute

SIZE = sizes(
    small={"most_licenses": 100_000, "most_lines": 100_000, "recomputes": 300},
    full={"most_licenses": 1_000_000, "most_lines": 100_000, "recomputes": 1_000},
)
FIRST_LICENSES, FIRST_LINES = 1_000, 100
RECOMPUTES_OF_ONE = 25
BATCH = 100_000
"""How many new licenses are computed at once."""
MORE_LINES = """
INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc)
SELECT bill.id, item.id, 0.001, 0.01
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM ledger_billofentry WHERE number LIKE 'bench%%') AS bill
JOIN license_importitem AS item ON item.license_id = 1 AND item.serial_number = 1 + bill.n %% 8
WHERE bill.n > %s AND bill.n <= %s
"""


def main() -> None:
    if sys.argv[1:] == ["small"]:
        return be_small()
    record = Record("growth", "Growth", SIZE)
    create()
    with small_database() as small:
        of_database(record, small)
        of_license(record, small)
    return record.save()


@contextmanager
def small_database() -> Iterator[Callable[[], float]]:
    """What does one recompute in it and returns its ms."""
    run("CREATE DATABASE bench_small")
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/bench_small"
    with subprocess.Popen(
        [sys.executable, __file__, "small"],
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def recompute_there() -> float:
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        recompute_there()
        yield recompute_there
        process.stdin.close()


def be_small() -> None:
    create()
    grow(FIRST_LICENSES)
    recompute(range(1, FIRST_LICENSES + 1))
    run("TRUNCATE ledger_licensechange")
    run("VACUUM ANALYZE")
    chance = random.Random(0)
    for _ in sys.stdin:
        print(recompute_one(chance.randint(1, FIRST_LICENSES)), flush=True)


def of_database(record: Record, small: Callable[[], float]) -> None:
    """A license by chance, a line of it changed, its recompute."""
    took: dict[int, dict[str, list[float]]] = {}
    done = 0
    for licenses in decades(FIRST_LICENSES, SIZE["most_licenses"]):
        grow(licenses)
        for first in range(done + 1, licenses + 1, BATCH):
            outcome = recompute(range(first, min(first + BATCH, licenses + 1)))
            check(is_so=not outcome.quarantined and not outcome.busy, what="licenses were not computed")
        done = licenses
        run("TRUNCATE ledger_licensechange")
        run("VACUUM ANALYZE")
        ways = {"small": small, "grown": partial(by_chance, random.Random(licenses), licenses)}
        took[licenses] = take_turns(ways, SIZE["recomputes"])
    assert_fresh(done)
    record.measured("On disk, with indexes", "KiB", on_disk(done))
    record.measured(
        "One recompute in a growing database",
        "ms",
        {f"{licenses:,} licenses": by_tenths(each["grown"]) for licenses, each in took.items()},
    )
    against = {licenses: ratios(by_tenths(each["grown"]), by_tenths(each["small"])) for licenses, each in took.items()}
    record.measured(
        "The same, against one in a database of 1,000 licenses in turn with it",
        "×",
        {f"{licenses:,} licenses": values for licenses, values in against.items()},
    )
    smallest = min(statistics.median(values) for values in against.values())
    for licenses, values in against.items():
        record.goal(
            f"one recompute among {licenses:,} licenses, to the fastest size",
            [statistics.median(values) / smallest],
            at_most=1.3,
        )
    points = [(licenses, statistics.median(values)) for licenses, values in against.items()]
    record.plots.append(
        Plot("One recompute in a growing database", "licenses", "× one among 1,000", {"median": points})
    )


def on_disk(licenses: int) -> dict[str, list[float]]:
    """What a license takes, and what a row of history does."""
    [(facts, balances, history)] = rows("""
        SELECT
            sum(size) FILTER (WHERE name !~ 'balance|licensechange|quarantine'),
            sum(size) FILTER (WHERE name IN ('ledger_licensebalance', 'ledger_importitembalance')),
            sum(size) FILTER (WHERE name = 'ledger_balancehistory') / (SELECT count(*) FROM ledger_balancehistory)
        FROM (SELECT relname AS name, pg_total_relation_size(oid) AS size FROM pg_class
            WHERE relkind = 'r' AND relname ~ '^(license|ledger)_') AS of_table
    """)
    kib = {
        "facts of a license of 8 items of 4 lines": facts / licenses / 1024,
        "its balances": balances / licenses / 1024,
        "a row of history": history / 1024,
    }
    return {what: [float(size)] for what, size in kib.items()}


def by_chance(chance: random.Random, licenses: int) -> float:
    return recompute_one(chance.randint(1, licenses))


def recompute_one(license_id: int) -> float:
    """ms. The license has 8 items of 4 lines."""
    written = run(
        "UPDATE ledger_billofentryline SET cif_fc = cif_fc + 1 WHERE id = "
        "(SELECT l.id FROM ledger_billofentryline AS l JOIN license_importitem AS i ON i.id = l.import_item_id"
        " WHERE i.license_id = %s LIMIT 1)",
        [license_id],
    )
    check(is_so=written == 1, what="no line was changed")
    took = timed(license_id)
    run("DELETE FROM ledger_licensechange")
    return took


def timed(license_id: int) -> float:
    """ms of a recompute that writes."""
    outcomes = []
    took = seconds(lambda: outcomes.append(recompute([license_id]))) * 1000
    check(is_so=outcomes[0].written == 1, what=f"license {license_id} was not written")
    return took


def of_license(record: Record, small: Callable[[], float]) -> None:
    """The first license, with more and more lines on its 8 items."""
    counts = list(decades(FIRST_LINES, SIZE["most_lines"]))
    run("INSERT INTO ledger_billofentry (number) SELECT 'bench ' || g FROM generate_series(1, %s) AS g", [counts[-1]])
    took: dict[int, dict[str, list[float]]] = {}
    for lines in counts:
        [(there,)] = rows(
            "SELECT count(*) FROM ledger_billofentryline AS l JOIN license_importitem AS i ON i.id = l.import_item_id"
            " WHERE i.license_id = 1"
        )
        check(is_so=run(MORE_LINES, [there, lines]) == lines - there, what="lines are missing")
        recompute([1])
        run("VACUUM ANALYZE ledger_billofentryline")
        took[lines] = take_turns({"small": small, "grown": partial(recompute_one, 1)}, RECOMPUTES_OF_ONE)
    assert_fresh(SIZE["most_licenses"])
    record.measured(
        "One recompute of a growing license",
        "ms",
        {f"{lines:,} lines": each["grown"] for lines, each in took.items()},
    )
    points = {lines: statistics.median(ratios(each["grown"], each["small"])) for lines, each in took.items()}
    (few, few_times), *_ = points.items()
    (fewer, fewer_times), (many, many_times) = list(points.items())[-2:]
    one_ms = statistics.median(value for each in took.values() for value in each["small"])
    record.measured(
        "What a line adds", "µs a line", {"slope": [(many_times - few_times) * one_ms * 1000 / (many - few)]}
    )
    record.goal(
        "ten times the lines of a license: the exponent of its time, in the last decade",
        [math.log(many_times / fewer_times) / math.log(many / fewer)],
        at_most=1.1,
        unit="",
    )
    record.plots.append(
        Plot("One recompute of a growing license", "lines", "× one of 32 lines", {"median": list(points.items())})
    )


def decades(first: int, last: int) -> list[int]:
    """First, ten times that, and so on to the last."""
    found = [first]
    while found[-1] * 10 <= last:
        found.append(found[-1] * 10)
    return found


def by_tenths(values: list[float]) -> list[float]:
    """The medians of ten parts: single recomputes spread too far to be told by their extremes."""
    return [statistics.median(values[part::10]) for part in range(10)]


if __name__ == "__main__":
    main()
