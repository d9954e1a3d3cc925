"""Growth: what one recompute costs while the database grows, and while one license does."""

import math
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness import Plot, Record, sizes  # isort: skip
from world import assert_fresh, check, create, grow, rows, run, seconds  # isort: skip

from ledger.engine import recompute

SIZE = sizes(
    small={"most_licenses": 100_000, "most_lines": 100_000, "recomputes": 300},
    full={"most_licenses": 1_000_000, "most_lines": 100_000, "recomputes": 1_000},
)
FIRST_LICENSES, FIRST_LINES = 1_000, 100
RECOMPUTES_OF_ONE = 9
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
    record = Record("growth", "Growth", SIZE)
    create()
    of_database(record)
    of_license(record)
    record.save()


def of_database(record: Record) -> None:
    """A license by chance, a line of it changed, its recompute."""
    took_ms: dict[int, list[float]] = {}
    done = 0
    for licenses in decades(FIRST_LICENSES, SIZE["most_licenses"]):
        grow(licenses)
        for first in range(done + 1, licenses + 1, BATCH):
            outcome = recompute(range(first, min(first + BATCH, licenses + 1)))
            check(is_so=not outcome.quarantined and not outcome.busy, what="licenses were not computed")
        done = licenses
        run("TRUNCATE ledger_licensechange")
        run("VACUUM ANALYZE")
        chance = random.Random(licenses)
        took_ms[licenses] = [recompute_one(chance.randint(1, licenses)) for _ in range(SIZE["recomputes"])]
    assert_fresh(done)
    medians = {licenses: statistics.median(values) for licenses, values in took_ms.items()}
    rounds = {f"{licenses:,} licenses": by_tenths(values) for licenses, values in took_ms.items()}
    record.measured("One recompute in a growing database", "ms", rounds)
    smallest = min(medians.values())
    for licenses, median in list(medians.items())[1:]:
        record.goal(
            f"one recompute among {licenses:,} licenses, of that of the fastest size", [median / smallest], at_most=1.3
        )
    record.plots.append(
        Plot("One recompute in a growing database", "licenses", "ms", {"median": list(medians.items())})
    )


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


def of_license(record: Record) -> None:
    """The first license, with more and more lines on its 8 items."""
    counts = list(decades(FIRST_LINES, SIZE["most_lines"]))
    run("INSERT INTO ledger_billofentry (number) SELECT 'bench ' || g FROM generate_series(1, %s) AS g", [counts[-1]])
    took_ms: dict[int, list[float]] = {}
    for lines in counts:
        [(there,)] = rows(
            "SELECT count(*) FROM ledger_billofentryline AS l JOIN license_importitem AS i ON i.id = l.import_item_id"
            " WHERE i.license_id = 1"
        )
        run(MORE_LINES, [there, lines])
        recompute([1])
        run("VACUUM ANALYZE ledger_billofentryline")
        took_ms[lines] = [recompute_one(1) for _ in range(RECOMPUTES_OF_ONE)]
    record.measured(
        "One recompute of a growing license", "ms", {f"{lines:,} lines": values for lines, values in took_ms.items()}
    )
    medians = {lines: statistics.median(values) for lines, values in took_ms.items()}
    (few, few_ms), *_ = medians.items()
    (fewer, fewer_ms), (many, many_ms) = list(medians.items())[-2:]
    record.measured("What a line adds", "µs a line", {"slope": [(many_ms - few_ms) * 1000 / (many - few)]})
    record.goal(
        "ten times the lines of a license: the exponent of its time, in the last decade",
        [math.log(many_ms / fewer_ms) / math.log(many / fewer)],
        at_most=1.1,
        unit="",
    )
    record.plots.append(Plot("One recompute of a growing license", "lines", "ms", {"median": list(medians.items())}))


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
