"""The burst: many lines in one statement, followed by the real processes, against one recompute of the same."""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Record, ratios, sizes, take_turns  # isort: skip
from world import assert_fresh, check, create, grow, rows, run, seconds  # isort: skip

from ledger.engine import recompute
from processes import celery, relay
from reconcile.sql import queries as reconcile

SIZE = sizes(
    small={"licenses": 10_000, "touched": 10_000, "lines": 100_000, "rounds": 3},
    full={"licenses": 100_000, "touched": 10_000, "lines": 100_000, "rounds": 5},
)
TOUCHED, LINES = SIZE["touched"], SIZE["lines"]
PATIENCE_SECONDS = 600
WRITE = """
INSERT INTO ledger_billofentryline (bill_of_entry_id, import_item_id, quantity, cif_fc)
SELECT bill.id, item.id, 0.001, 0.01
FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM ledger_billofentry WHERE number LIKE 'bench%%') AS bill
JOIN license_importitem AS item
    ON item.license_id = 1 + bill.n %% %(touched)s AND item.serial_number = 1 + bill.n / %(touched)s %% 8
"""


def main() -> None:
    record = Record("burst", "Burst", SIZE)
    create()
    grow(SIZE["licenses"])
    recompute(range(1, SIZE["licenses"] + 1))
    run("INSERT INTO ledger_billofentry (number) SELECT 'bench ' || g FROM generate_series(1, %s) AS g", [LINES])
    run("VACUUM ANALYZE")
    assert_fresh(SIZE["licenses"])
    with TemporaryDirectory() as folder:
        ways = {
            "one recompute of the licenses": one_recompute,
            "worker and relay, from commit on": partial(followed, Path(folder)),
        }
        took = take_turns(ways, SIZE["rounds"])
    record.measured(f"{LINES:,} lines on {TOUCHED:,} licenses in one statement", "s", took)
    record.goal(
        "a burst: from commit until all is fresh, to one recompute",
        ratios(took["worker and relay, from commit on"], took["one recompute of the licenses"]),
        at_most=3,
    )
    record.save()


def one_recompute() -> float:
    """Of the ids, in this process, with no outbox to work off."""
    write()
    run("TRUNCATE ledger_licensechange")
    outcomes = []
    took = seconds(lambda: outcomes.append(recompute(range(1, TOUCHED + 1))))
    check(is_so=outcomes[0].written == TOUCHED, what="not every license was written")
    assert_fresh(SIZE["licenses"])
    undo()
    return took


def followed(folder: Path) -> float:
    """From the return of the statement, which commits by itself, until the outbox is empty."""
    with (
        celery("worker", "--concurrency=2", "--loglevel=info", log="worker.log", folder=folder),
        relay(log="relay.log", folder=folder),
    ):
        wait_until(lambda: "ready." in (folder / "worker.log").read_text(), "the worker is not ready")
        wait_until(lambda: reconcile.dicts("freshness")[0]["relays"] == 1, "there is no relay")
        write()
        start = time.perf_counter()
        while rows("SELECT EXISTS (SELECT FROM ledger_licensechange)") == [(True,)]:
            check(is_so=time.perf_counter() - start < PATIENCE_SECONDS, what="the outbox does not get empty")
            time.sleep(0.02)
        took = time.perf_counter() - start
        assert_fresh(SIZE["licenses"])
    undo()
    return took


def write() -> None:
    check(is_so=run(WRITE, {"touched": TOUCHED}) == LINES, what="not every line was written")


def undo() -> None:
    """The facts and balances are what they were."""
    run("DELETE FROM ledger_billofentryline WHERE quantity = 0.001")
    run("TRUNCATE ledger_licensechange")
    recompute(range(1, TOUCHED + 1))
    run("VACUUM ANALYZE")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        check(is_so=time.monotonic() < deadline, what=what)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
