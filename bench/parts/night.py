"""The night: what it costs to prove every balance, and to repair every one."""

import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["DJANGO_SETTINGS_MODULE"] = "peers.settings"

from harness import HERE, Record, ratios, sizes, take_turns  # isort: skip
from where import Shares  # isort: skip
from world import assert_fresh, check, create, falsify, grow, lose, rows, run, seconds  # isort: skip

from django.core.management import call_command
from django.db import transaction

from ledger.engine import recompute
from ledger.sql import load
from peers import today
from peers.installed import fill_computedfields
from peers.queries import queries as peers
from reconcile.models import ReconciliationRun, RunStatus, RunTrigger
from reconcile.night import start, work

SIZE = sizes(
    small={"licenses": 5_000, "today_licenses": 100, "computedfields_licenses": 300, "rounds": 3},
    full={"licenses": 100_000, "today_licenses": 500, "computedfields_licenses": 2_000, "rounds": 3},
)
LICENSES = SIZE["licenses"]
SUMS = """SELECT count(*), sum(debited_quantity), sum(debited_value), sum(allotted_quantity), sum(allotted_value)
FROM ({}) AS item (license_id, id, debited_quantity, debited_value, allotted_quantity, allotted_value)"""
# What asks for the licenses of an array asks for all, as in a view that somebody writes for all.
OF_AN_ARRAY = re.compile(r"\w+ = ANY\((%\(license_ids\)s::bigint\[\]|ARRAY\(SELECT id FROM item\))\)")
EXPECTED_OF_ALL = OF_AN_ARRAY.sub("true", load("expected")) % {"today": "NULL"}
TABLES = ("ledger_licensebalance", "ledger_importitembalance")


def main() -> None:
    record = Record("night", "The night", SIZE)
    create()
    grow(LICENSES)
    recompute(range(1, LICENSES + 1))
    of_today = list(range(1, LICENSES + 1, LICENSES // SIZE["today_licenses"]))[: SIZE["today_licenses"]]
    of_computedfields = list(range(1, SIZE["computedfields_licenses"] + 1))
    today.fill(of_today)
    fill_computedfields(of_computedfields)
    run(f"CREATE MATERIALIZED VIEW bench_expected AS {EXPECTED_OF_ALL}")
    run("CREATE UNIQUE INDEX ON bench_expected (license_id, import_item_id)")
    for table in TABLES:
        run(f"CREATE TABLE right_{table} AS SELECT * FROM {table}")
        run(f"CREATE TABLE plain_{table} (LIKE {table} INCLUDING ALL) WITH (autovacuum_enabled = off)")
    run("VACUUM ANALYZE")
    assert_fresh(LICENSES)

    def batch_of_today() -> float:
        run("UPDATE peers_todayitem SET available_value = available_value + 1")
        took = seconds(lambda: today.sync(of_today)) / len(of_today)
        wrong = peers.column("wrong_today", license_ids=of_today, today=None)
        check(is_so=not wrong, what=f"the batch of today computed something else of {wrong[:3]}")
        return took * 1e6

    nothing = {
        "bare sums": bare_sums,
        "the night": night,
        "materialized view, refreshed": lambda: refresh(changed=False),
        "django-computedfields, updatedata": lambda: updatedata(of_computedfields, changed=False),
        "batch of today": batch_of_today,
    }
    took = take_turns(nothing, SIZE["rounds"])
    record.measured("Nothing to repair", "µs a license", took)
    record.goal(
        "nothing to repair: the batch of today, to the night (time a license)",
        ratios(took["batch of today"], took["the night"]),
        at_least=1000,
    )
    record.goal(
        "nothing to repair: the night, to the bare sums", ratios(took["the night"], took["bare sums"]), at_most=2
    )
    wrong = {
        "rows, by INSERT … SELECT": insert_rows,
        "the night": lambda: night(falsify),
        "engine.recompute of all": recompute_all,
        "materialized view, refreshed": lambda: refresh(changed=True),
        "django-computedfields, updatedata": lambda: updatedata(of_computedfields, changed=True),
        "batch of today": batch_of_today,
    }
    took = take_turns(wrong, SIZE["rounds"])
    record.measured("Every balance wrong", "µs a license", took)
    record.goal(
        "every balance wrong: the night, to a plain INSERT … SELECT of the rows",
        ratios(took["the night"], took["rows, by INSERT … SELECT"]),
        at_most=4,
    )
    # last: the peers' tables do not follow
    record.measured("Every change lost", "µs a license", take_turns({"the night": lambda: night(lose)}, SIZE["rounds"]))
    of_a_night(record)
    run_row = ReconciliationRun.objects.order_by("-id")[0]
    record.notes.append(f"A run found {sum(run_row.finding_counts.values()):,} things to tell people.")
    assert_fresh(LICENSES)
    record.save()


def per_license(do: Callable[[], object]) -> float:
    """µs."""
    return seconds(do) / LICENSES * 1e6


def bare_sums() -> float:
    query = SUMS.format((HERE / "bare_sums.sql").read_text())
    found: list[tuple] = []
    took = per_license(lambda: found.extend(rows(query, {"license_ids": None})))
    check(is_so=found[0][0] == 8 * LICENSES, what="the bare sums are not of every item")
    return took


def of_a_night(record: Record) -> None:
    """Where its time goes."""
    for words, spoil in (("nothing to repair", None), ("every balance wrong", falsify), ("every change lost", lose)):
        shares = Shares()
        night(spoil, shares)
        record.measured(f"Where a night takes its time, {words}", "%", shares.percent())


def night(spoil: Callable[[], None] | None = None, shares: Shares | None = None) -> float:
    """As in production: chunks, audits, repairs by the engine, what it found; in one process. After something has
    spoilt every balance, or nothing has."""
    if spoil:
        spoil()
    runs = []

    def whole() -> None:
        with shares.counted() if shares else nullcontext():
            runs.append(start(RunTrigger.MANUAL))
            work(runs[0])

    took = per_license(whole)
    [done] = runs
    done.refresh_from_db()
    wanted = LICENSES if spoil else 0
    check(
        is_so=done.status == RunStatus.COMPLETE
        and (done.licenses_checked, done.licenses_drifted, done.licenses_repaired) == (LICENSES, wanted, wanted)
        and not done.findings_error,
        what=f"{done.status}: {done.licenses_checked} checked, {done.licenses_repaired} repaired {done.findings_error}",
    )
    if spoil:
        assert_fresh(LICENSES)
        run("VACUUM ANALYZE ledger_licensebalance, ledger_importitembalance")
    return took


def recompute_all() -> float:
    falsify()
    outcomes = []
    took = per_license(lambda: outcomes.append(recompute(range(1, LICENSES + 1))))
    check(is_so=outcomes[0].written == LICENSES, what="not every license was written")
    run("VACUUM ANALYZE ledger_licensebalance, ledger_importitembalance")
    return took


def insert_rows() -> float:
    """Both tables of right balances, into empty tables with the same columns and indexes."""
    for table in TABLES:
        run(f"TRUNCATE plain_{table}")
    written = []

    def insert() -> None:
        with transaction.atomic():
            written.extend(run(f"INSERT INTO plain_{table} SELECT * FROM right_{table}") for table in TABLES)

    took = per_license(insert)
    check(is_so=written == [LICENSES, 8 * LICENSES], what=f"{written} rows were written")
    return took


def refresh(*, changed: bool) -> float:
    """Of a view with the rows of expected.sql. Where it is to change, every license's credit did; it changes back
    afterwards."""
    if changed:
        credit(+1)
    took = per_license(lambda: run("REFRESH MATERIALIZED VIEW CONCURRENTLY bench_expected"))
    [(differing, count)] = rows(
        f"SELECT (SELECT count(*) FROM (({EXPECTED_OF_ALL}) EXCEPT SELECT * FROM bench_expected) AS differing), "
        "(SELECT count(*) FROM bench_expected)"
    )
    check(is_so=(differing, count) == (0, 8 * LICENSES), what=f"{differing} of {count} rows of the view are wrong")
    if changed:
        credit(-1)
        run("REFRESH MATERIALIZED VIEW bench_expected")
    run("VACUUM ANALYZE bench_expected")
    return took


def credit(by: int) -> None:
    """More or less credit, unseen by the engine: it comes back before it looks."""
    with transaction.atomic():
        run("UPDATE license_exportitem SET cif_fc = cif_fc + %s", [by])
        run("DELETE FROM ledger_licensechange")
    run("VACUUM ANALYZE license_exportitem, ledger_licensechange")


def updatedata(licenses: list[int], *, changed: bool) -> float:
    """Its command that computes every field of every row."""
    if changed:
        run("UPDATE peers_license SET balance_cif = balance_cif + 1")
        run("UPDATE peers_importitem SET available_value = available_value + 1")
        run("VACUUM ANALYZE peers_license, peers_importitem")
    took = seconds(lambda: call_command("updatedata", "peers", stdout=io.StringIO())) / len(licenses)
    wrong = peers.column("wrong", license_ids=licenses, today=None)
    check(is_so=not wrong, what=f"computedfields computed something else of {wrong[:3]}")
    return took * 1e6


if __name__ == "__main__":
    main()
